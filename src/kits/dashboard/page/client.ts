// The page: shows each part as it comes. Texts of the run are set as text, so that none of them can be markup.

import "./language.ts"; // before uPlot
import type { LinePlot } from "../../linePlot.ts";
import type { CurvesPart, LivePart, Parts, RunPart } from "../wire.ts";
import { chart, type Chart } from "./chart.ts";

const byId = (id: string): HTMLElement => document.getElementById(id)!;

function make(tag: string, text = "", className = ""): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

/** Shows a text in an element, or hides it. */
function tell(id: string, text: string | null): void {
  byId(id).textContent = text ?? "";
  byId(id).hidden = !text;
}

function showRun(run: RunPart): void {
  document.title = `${run.name}: ${run.status}`;
  byId("name").textContent = run.name;
  byId("status").textContent = run.status;
  byId("status").className = `badge ${run.status}`;
  tell("error", run.status === "running" ? null : run.error);
  const about = run.scores.map(([region, dice]) => `${region} ${dice === null ? "–" : dice.toFixed(3)}`);
  const sub = byId("sub");
  sub.replaceChildren();
  if (run.status === "waiting") sub.append("no run here yet; this page shows it when it begins");
  if (run.synthetic) sub.append("synthetic phantom, not patients. ");
  if (about.length > 0) sub.append(`Mean Dice of the test cases: ${about.join(", ")}. `);
  if (run.report) (sub.appendChild(make("a", "Open the report")) as HTMLAnchorElement).href = "/report.html";
  byId("stages").replaceChildren(...run.stages.map(stageItem));
  byId("facts").replaceChildren(
    ...run.facts.map(([name, text]) => {
      const row = make("div");
      row.append(make("dt", name), make("dd", text));
      return row;
    }),
  );
  byId("settings").innerHTML = run.settings; // made by the report's templates, which escape what they are given
  byId("warning-section").hidden = run.warnings.length === 0;
  byId("warnings").replaceChildren(...run.warnings.map((text) => make("li", text)));
  showPictures(run.pictures);
}

function stageItem({ name, state, epoch, epochs }: RunPart["stages"][number]): HTMLElement {
  const said = { done: "done", running: "training", waiting: "waiting", absent: "nothing to learn" }[state];
  const item = make("li", "", state);
  const predicting = state === "running" && epochs > 0 && epoch === epochs;
  item.append(make("b", name), make("span", predicting ? "predicting" : said));
  if (epochs > 0 && state !== "done") item.append(make("span", `, epoch ${epoch} of ${epochs}`));
  const track = item.appendChild(make("div", "", "track"));
  track.appendChild(make("div")).style.width =
    `${state === "done" ? 100 : epochs > 0 ? Math.round((100 * epoch) / epochs) : 0}%`;
  return item;
}

/** New pictures take the place of old ones once they are there, so that nothing flickers. */
function showPictures(pictures: RunPart["pictures"]): void {
  const box = byId("pictures");
  byId("picture-section").hidden = pictures.length === 0;
  const shown = new Map([...box.children].map((figure) => [(figure as HTMLElement).dataset.title, figure]));
  box.replaceChildren(
    ...pictures.map(({ title, url }) => {
      const figure = (shown.get(title) as HTMLElement) ?? make("figure");
      if (figure.dataset.url === url) return figure;
      const image = new Image();
      image.alt = title;
      image.onload = () => figure.replaceChildren(make("figcaption", title), image);
      image.src = url;
      Object.assign(figure.dataset, { title, url });
      return figure;
    }),
  );
}

function showLive({ phase, tiles, plots }: LivePart): void {
  byId("phase").hidden = !phase;
  byId("phase-text").textContent = phase?.text ?? "";
  byId("phase-detail").textContent = phase?.detail ?? "";
  byId("phase-bar").style.width = `${100 * (phase?.share ?? 0)}%`;
  byId("tiles").replaceChildren(
    ...tiles.map(({ name, value, note }) => {
      const tile = make("div", "", "tile");
      tile.append(make("small", name), make("b", value), make("small", note));
      return tile;
    }),
  );
  liveCharts.show(plots);
}

/** The charts of one place: kept while their titles stay, so that only values change. */
class Charts {
  readonly #box: HTMLElement;
  #charts = new Map<string, Chart>();

  constructor(id: string) {
    this.#box = byId(id);
  }

  show(plots: readonly LinePlot[]): void {
    const next = new Map<string, Chart>();
    for (const plot of plots) {
      const made = this.#charts.get(plot.title) ?? chart(plot, this.#box.id);
      next.set(plot.title, made);
    }
    for (const [title, old] of this.#charts) if (!next.has(title)) old.destroy();
    const changed = [...next.keys()].join("\n") !== [...this.#charts.keys()].join("\n");
    this.#charts = next;
    if (changed) this.#box.replaceChildren(...[...next.values()].map(({ element }) => element));
    for (const plot of plots) next.get(plot.title)!.update(plot);
  }
}

const liveCharts = new Charts("live");
const curveCharts = new Charts("curves");
let curves: CurvesPart = [];
/** The stage that the reader has chosen; else the newest is shown. */
let chosen: string | null = null;

function showCurves(): void {
  const current = curves.find(({ stage }) => stage === chosen) ?? curves.at(-1);
  byId("tabs").replaceChildren(
    ...curves.map(({ stage }) => {
      const tab = make("button", stage);
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-selected", String(stage === current?.stage));
      tab.onclick = () => {
        chosen = stage;
        showCurves();
      };
      return tab;
    }),
  );
  curveCharts.show(current?.plots ?? []);
}

const source = new EventSource("/events");
function on<K extends keyof Parts>(name: K, show: (part: Parts[K]) => void): void {
  source.addEventListener(name, (event) => show(JSON.parse((event as MessageEvent<string>).data)));
}
on("run", showRun);
on("live", showLive);
on("curves", (part) => {
  curves = part;
  showCurves();
});
source.onopen = () => tell("connection", null);
source.onerror = () =>
  tell("connection", "The server does not answer. This page keeps what it has, and goes on when it is back.");
source.addEventListener("end", () => {
  source.close();
  tell(
    "connection",
    "The server has ended; what is shown is the last. npm run dashboard:kits -- --run FOLDER serves it again.",
  );
});
