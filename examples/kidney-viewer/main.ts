// The page: what its controls do, and what it says while the worker segments.
import { colourOf } from "./classes.ts";
import { Job } from "./job.ts";
import { NO_WEBGPU, explain, type ModelFacts, type Result } from "./messages.ts";
import { sampleScan } from "./sample.ts";
import { Viewer, windows, type Layout } from "./viewer.ts";

const find = <T extends Element = HTMLElement>(id: string): T => document.getElementById(id) as unknown as T;
const input = (id: string): HTMLInputElement => find(id);
const say = (id: string, text: string): void => void (find(id).textContent = text);
const show = (id: string, visible: boolean): void => void (find(id).hidden = !visible);

const viewer = new Viewer(find<HTMLCanvasElement>("canvas"));
const job = new Job();
/** The label map in view, to download. */
let labels: { bytes: ArrayBuffer; name: string } | null = null;

start();

function start(): void {
  for (const name of Object.keys(windows)) find("window").append(new Option(name));
  fillLegend(["background", "kidney", "tumor", "cyst"], null);
  takeFiles();
  controlView();
  find("cancel").addEventListener("click", cancel);
  find("download").addEventListener("click", download);
  job.onAnswer = (answer) => {
    if (answer.kind === "ready") tellGpu(answer.adapter, answer.software);
    else if (answer.kind === "model") tellModel(answer.facts);
    else if (answer.kind === "progress") tellProgress(answer.stage, answer.done, answer.total);
    else if (answer.kind === "error") fail(answer.name, answer.message);
  };
  if (navigator.gpu) job.start();
  else lacksWebGpu();
}

function takeFiles(): void {
  const file = input("file");
  for (const id of ["choose", "choose-again"]) find(id).addEventListener("click", () => file.click());
  for (const id of ["sample", "sample-again"]) find(id).addEventListener("click", () => openScan(sampleScan()));
  file.addEventListener("change", () => {
    if (file.files?.[0]) openScan(file.files[0]);
    file.value = "";
  });
  // The whole page takes drops: one beside the target would make the browser open the file in place of the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const dropped = event.dataTransfer?.files[0];
    if (dropped) openScan(dropped);
  });
}

function controlView(): void {
  viewer.onSlice = (slice, slices) => {
    Object.assign(input("slice"), { max: String(slices), value: String(slice + 1), disabled: false });
    say("slice-text", `${slice + 1} / ${slices}`);
  };
  input("slice").addEventListener("input", (event) =>
    viewer.setSlice((event.target as HTMLInputElement).valueAsNumber - 1),
  );
  input("opacity").addEventListener("input", (event) =>
    viewer.setOpacity((event.target as HTMLInputElement).valueAsNumber),
  );
  find("layout").addEventListener("change", () => viewer.setLayout(input("layout").value as Layout));
  find("window").addEventListener("change", () => viewer.setWindow(windows[input("window").value]));
}

/** Shows a scan and segments it. What was there stays where the file is no scan. */
async function openScan(scan: File | Promise<File>): Promise<void> {
  try {
    const file = await scan;
    const bytes = await file.arrayBuffer();
    show("message", false);
    await viewer.showScan(bytes, windows[input("window").value]).catch((error: Error) => {
      throw Object.assign(new Error(`${file.name}: ${error.message ?? error}`), { name: "DataError" });
    });
    show("welcome", false);
    say("scan", file.name);
    forget();
    if (!navigator.gpu) return lacksWebGpu();
    tellProgress("opening the GPU", 0, 1);
    show("working", true);
    const result = await job.segment({ bytes, name: file.name });
    if (result) await tellResult(result, file.name);
  } catch (error) {
    fail((error as Error).name, (error as Error).message);
  }
}

function cancel(): void {
  job.stop();
  show("working", false);
  say("timing", "cancelled");
}

/** Takes away what belongs to the scan before. */
function forget(): void {
  labels = null;
  (find("download") as HTMLButtonElement).disabled = true;
  fillLegend(["background", "kidney", "tumor", "cyst"], null);
  say("timing", "");
}

async function tellResult(result: Result, name: string): Promise<void> {
  show("working", false);
  labels = { bytes: result.labels, name: name.replace(/(\.nii)?(\.gz)?$/, "_labels.nii.gz") };
  await viewer.showLabels(result.labels, result.classes, result.centre);
  fillLegend(result.classes, result.millilitres);
  (find("download") as HTMLButtonElement).disabled = false;
  const nothing = result.centre ? "" : "no kidney found; ";
  say("timing", `${nothing}${result.seconds.toFixed(1)} s for the whole scan`);
}

function fillLegend(names: readonly string[], millilitres: readonly number[] | null): void {
  const rows = names.map((name, label) => {
    const row = document.createElement("tr");
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${colourOf[name]})`;
    row.insertCell().append(swatch, name);
    row.insertCell().append(millilitres ? `${millilitres[label].toFixed(1)} ml` : "–");
    return row;
  });
  find("legend")
    .querySelector("tbody")!
    .replaceChildren(...rows.slice(1)); // without the background
}

function tellGpu(adapter: string, software: boolean): void {
  const chip = find("gpu");
  chip.className = `chip ${software ? "slow" : "good"}`;
  chip.textContent = software ? `${adapter} (software: slow)` : adapter;
}

function tellModel({ preset, note, bytes }: ModelFacts): void {
  say("model", `${note} Preset ${preset}, ${(bytes / 2 ** 20).toFixed(1)} MB of weights.`);
}

/** Until the first slices of a network are done, its shaders are compiled: nobody knows for how long. */
function tellProgress(stage: string, done: number, total: number): void {
  say("working-text", total > 1 ? `${stage}: ${done} / ${total}` : stage);
  const bar = find<HTMLProgressElement>("progress");
  if (done === 0 && total > 0) bar.removeAttribute("value");
  else bar.value = done / Math.max(1, total);
}

function lacksWebGpu(raw = ""): void {
  const chip = find("gpu");
  chip.className = "chip bad";
  chip.textContent = "no WebGPU";
  tell(NO_WEBGPU.title, NO_WEBGPU.text, raw);
  say("model", "not loaded");
}

function fail(name: string, message: string): void {
  show("working", false);
  if (name === "AdapterError") return lacksWebGpu(message);
  const { title, text, raw } = explain(name, message);
  tell(title, text, raw);
}

function tell(title: string, text: string, raw: string): void {
  say("message-title", title);
  say("message-text", text);
  say("message-raw", raw);
  show("message-details", raw !== "");
  show("message", true);
}

function download(): void {
  if (!labels) return;
  const url = URL.createObjectURL(new Blob([labels.bytes], { type: "application/gzip" }));
  Object.assign(document.createElement("a"), { href: url, download: labels.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
