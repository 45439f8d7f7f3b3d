// The dashboard in a browser: what a page shows of a run folder while it changes, after a reload, and at the end.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "fast-png";
import type { Page } from "puppeteer-core";
import { afterAll, expect, test } from "vitest";
import { startDashboard } from "../../src/kits/dashboard/server.ts";
import { palette } from "../../src/kits/linePlot.ts";
import type { TrainResult } from "../../src/kits/train.ts";
import { facts, line, live } from "../kits/dashboardRun.ts";
import { openPage, startChromium } from "./chromium.ts";

const chromium = await startChromium({ webgpu: false });
const work = mkdtempSync(join(tmpdir(), "wgrad-dashboard-page-"));
const folder = join(work, "run");

afterAll(async () => {
  await chromium?.close();
  rmSync(work, { recursive: true });
});

const write = (name: string, content: unknown): void =>
  writeFileSync(join(folder, name), content instanceof Uint8Array ? content : JSON.stringify(content));
const log = (stage: string, epoch: number): void => appendFileSync(join(folder, "log.jsonl"), line(stage, epoch));
const picture = (width: number): Uint8Array =>
  encode({ width, height: 1, data: new Uint8Array(3 * width), channels: 3 });

const [, ...channels] = /#(..)(..)(..)/.exec(palette[0])!;
/** Of the first line, as a canvas holds it. */
const firstColour = [...channels.map((hex) => Number(`0x${hex}`)), 255];

/**
 * Puts `look()` into the page: what a reader sees of it now. Of a chart that is what its legend says, and whether its first
 * line goes across the most of it: that of one epoch is a point.
 */
const LOOK = `
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (selector) => all(selector).filter((element) => !element.hidden).map((element) => element.textContent);
  function goesAcross(canvas) {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const colour = ${JSON.stringify(firstColour)};
    const columns = [];
    for (let i = 0; i < width * height; i++)
      if (colour.every((value, k) => data[4 * i + k] === value)) columns.push(i % width);
    return columns.length > 0 && Math.max(...columns) - Math.min(...columns) > width / 2;
  }
  globalThis.look = () => ({
    title: document.title,
    connection: text("#connection").join(),
    stages: text("#stages li"),
    tab: text("#tabs [aria-selected=true]").join(),
    curves: Object.fromEntries(all("#curves .chart").map((chart) => [
      chart.querySelector("h3").textContent,
      [chart.querySelector(".legend").textContent, goesAcross(chart.querySelector("canvas"))],
    ])),
    live: text("#live h3"),
    pictures: all("#pictures img").map(({ alt, naturalWidth }) => [alt, naturalWidth]),
    facts: text("#facts").join(),
    report: text("#sub a").includes("Open the report"),
  });`;

const trained: TrainResult = {
  ...{ best: { epoch: 3, validationLoss: 1 }, epochs: 3, images: 9, seed: 1, seconds: 1 },
  parameters: { network: 1, discriminators: 1 },
};

/** Waits until the page shows this. */
const shows = (page: Page, seen: object): Promise<void> =>
  expect.poll(() => page.evaluate("look()"), { timeout: 100_000 }).toMatchObject(seen);

test.skipIf(!chromium)(
  "a page follows a run from its first epoch to its end, and shows the same after a reload",
  async () => {
    const dashboard = await startDashboard({ folder, port: 0, say: () => {} });
    const { page, errors, requests } = await openPage(chromium!, dashboard.url, LOOK);
    await shows(page, { title: "run: waiting", tab: "", live: [], pictures: [] });

    mkdirSync(join(folder, "validation"), { recursive: true });
    write("run.json", facts({ trained: { coarse: trained } }));
    write("live.json", live());
    log("coarse", 1);
    log("kidney", 1);
    write("validation/kidney.png", picture(2));
    const first = {
      title: "run: running",
      stages: ["coarsedone", "kidneytraining, epoch 1 of 3", "masseswaiting", "tumorwaiting"],
      tab: "kidney",
      curves: { "kidney: loss": ["train 1validation 2", false], "kidney: learning rate": ["Adam 0.001", false] },
      live: ["kidney: loss of the steps", "kidney: discriminators' confidence"],
      pictures: [["kidney: validation slices", 2]],
      facts: expect.stringContaining("a <b> (software"),
      report: false,
      connection: "",
    };
    await shows(page, first);
    await page.reload();
    await shows(page, first);

    log("kidney", 2);
    write("validation/kidney.png", picture(3));
    await shows(page, {
      stages: expect.arrayContaining(["kidneytraining, epoch 2 of 3"]),
      curves: { "kidney: loss": ["train 0.5validation 1", true], "kidney: learning rate": ["Adam 0.001", true] },
      pictures: [["kidney: validation slices", 3]],
    });

    // A reader who looks at another stage is left there.
    await page.click("#tabs button");
    log("kidney", 3);
    await shows(page, {
      stages: expect.arrayContaining(["kidneypredicting, epoch 3 of 3"]),
      tab: "coarse",
      curves: { "coarse: loss": ["train 1validation 2", false] },
    });

    rmSync(join(folder, "live.json"));
    write("report.html", "<p>report");
    write("run.json", facts({ status: "finished", trained: { coarse: trained, kidney: trained } }));
    const last = {
      title: "run: finished",
      stages: ["coarsedone", "kidneydone", "masseswaiting", "tumorwaiting"],
      live: [],
      report: true,
    };
    await shows(page, last);
    await page.reload();
    await shows(page, {
      ...last,
      tab: "kidney",
      curves: { "kidney: loss": ["train 0.3333validation 0.6667", true] },
    });
    expect(requests.filter((asked) => !asked.startsWith(dashboard.url) && !asked.startsWith("data:"))).toEqual([]);
    expect(errors).toEqual([]);
    await dashboard.close();
    await shows(page, { connection: expect.stringContaining("The server has ended"), ...last });
  },
);
