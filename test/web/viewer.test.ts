// The kidney viewer in a browser: a scan is opened, segmented and saved as a user would, and its labels are Node's.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPage } from "../../examples/kidney-viewer/build.mjs";
import { close, init } from "../../src/index.ts";
import { parseImage, parseLabels } from "../../src/kits/nifti_bytes.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { segment } from "../../src/kits/segment.ts";
import { saveTinyWeights, tinyOptions } from "../kits/tinyCascade.ts";
import { openPage, serve, startChromium } from "./chromium.ts";
import { downloadLabels, message, messageShown, open, text } from "./page.ts";

const chromium = await startChromium();
const work = mkdtempSync(join(tmpdir(), "wgrad-viewer-"));
const [pageFolder, run, downloads] = ["page", "run", "downloads"].map((name) => join(work, name));
const scan = join(work, "data/case_00000/imaging.nii.gz");
const options = tinyOptions({ seed: 3, coarseMasks: "regions", tumorRule: "voxels", keepLargest: 0 });
let weights: Awaited<ReturnType<typeof saveTinyWeights>>;

beforeAll(async () => {
  await init({ adapter: "swiftshader" });
  await writePhantom(join(work, "data"), { cases: 1, slices: 7, size: 40 });
  weights = await saveTinyWeights(options, run);
  const trained = { coarse: {}, kidney: {}, masses: {}, tumor: {} };
  writeFileSync(join(run, "run.json"), JSON.stringify({ preset: "tiny", options, data: { note: "Random." }, trained }));
  await buildPage(pageFolder, run);
});

afterAll(async () => {
  close();
  await chromium?.close();
  rmSync(work, { recursive: true });
});

test.skipIf(!chromium)(
  "a scan is opened, segmented and saved: Node's labels, and no request to anyone else",
  async () => {
    const server = await serve(pageFolder);
    const { page, errors, requests } = await openPage(chromium!, server.url);
    await open(page, scan);
    const saved = await parseLabels(readFileSync(await downloadLabels(page, downloads)), "saved");
    const source = await parseImage(readFileSync(scan), "scan");
    const { labels } = await segment(source, options, weights);
    expect(saved.header.affine).toEqual(source.header.affine);
    expect(new Set(labels).size, "random networks tell something apart").toBeGreaterThan(1);
    expect(Buffer.compare(saved.data, labels)).toBe(0);

    const millilitres = source.header.spacing.reduce((a, b) => a * b) / 1000;
    const kidney = labels.filter((label) => label === 1).length * millilitres;
    expect(await text(page, "legend")).toContain(`kidney${kidney.toFixed(1)} ml`);
    expect(await text(page, "timing")).toMatch(/s for the whole scan/);
    expect(await text(page, "gpu")).toMatch(/swiftshader/i);
    expect(await text(page, "model")).toContain("Random.");
    expect(await text(page, "slice-text")).toMatch(new RegExp(`/ ${source.header.shape[0]}$`));
    await page.focus("#slice");
    await page.keyboard.press("Home");
    expect(await text(page, "slice-text")).toMatch(/^1 \//);
    expect(await messageShown(page)).toBe(false);
    expect(errors).toEqual([]);

    // What is no scan is refused, and nothing is lost.
    const wrong = join(work, "notes.nii.gz");
    writeFileSync(wrong, "no scan at all");
    await open(page, wrong);
    await message(page);
    await soon(() => text(page, "message-title")).toBe("This file cannot be used");
    await soon(() => text(page, "scan")).toBe("imaging.nii.gz");
    await soon(() => text(page, "legend")).toContain(`kidney${kidney.toFixed(1)} ml`);

    // What takes too long is cancelled: the scan stays, its labels are gone until it is segmented again.
    await page.evaluate(CANCEL_AT_ONCE);
    await open(page, scan);
    await soon(() => text(page, "timing")).toBe("cancelled");
    await soon(() => page.evaluate(`document.getElementById("working").hidden`)).toBe(true);
    await soon(() => text(page, "legend")).toContain("kidney–");

    const foreign = requests.filter((url) => !url.startsWith(server.url) && !/^(data|blob):/.test(url));
    expect(foreign).toEqual([]);
    const elsewhere = await serve(work);
    const send = `fetch("${elsewhere.url}", { mode: "no-cors" }).then(() => "sent", () => "refused")`;
    expect(await page.evaluate(send), "the page's policy").toBe("refused");
    await elsewhere.close();
    await server.close();
  },
);

/** Clicks on the button as soon as it is there: from outside, a click could come after the end. */
const CANCEL_AT_ONCE = `
  const cancel = document.getElementById("cancel");
  const looking = setInterval(() => {
    if (!cancel.offsetParent) return;
    clearInterval(looking);
    cancel.click();
  }, 1);`;

/** What a page shows a moment after an action. */
const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 60_000 });

/** Has the GPU fail when the worker takes its 20th buffer: `fault` is text that runs there. */
const failing = (fault: string): string => `
  const { createBuffer } = GPUDevice.prototype;
  let taken = 0;
  GPUDevice.prototype.createBuffer = function (wanted) {
    if (++taken === 20) this.${fault};
    return createBuffer.call(this, wanted);
  };`;

const noMemory = `dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error: new GPUOutOfMemoryError("full") }))`;

test.skipIf(!chromium).each([
  ["memory is full", noMemory, "The GPU's memory is too small for this", /^OutOfMemoryError: out of GPU memory.*full/],
  ["device is lost", "destroy()", "The GPU went away", /^DeviceLostError: the GPU device was lost/],
])(
  "where the GPU's %s the page says so, keeps the scan, and goes on when it is opened again",
  async (_, fault, title, raw) => {
    const server = await serve(pageFolder);
    const { page, errors } = await openPage(chromium!, server.url);
    await page.waitForFunction(`document.getElementById("model").textContent.startsWith("Random.")`);
    const worker = page.workers().find((w) => w.url().endsWith("worker.js"))!; // the viewer has others
    await worker.evaluate(failing(fault));
    await open(page, scan);
    await message(page);
    await soon(() => text(page, "message-title")).toBe(title);
    await soon(() => text(page, "message-raw")).toMatch(raw);
    await soon(() => text(page, "message-text")).toMatch(/again/);
    await soon(() => page.evaluate(`document.getElementById("working").hidden`)).toBe(true);
    await soon(() => text(page, "scan")).toBe("imaging.nii.gz");
    await soon(() => text(page, "slice-text")).toMatch(/^[0-9]+ \/ [0-9]+$/);
    await soon(() => text(page, "legend")).toContain("kidney–");

    await open(page, scan);
    await page.waitForFunction(`!document.getElementById("download").disabled`);
    expect(await messageShown(page)).toBe(false);
    await soon(() => text(page, "legend")).toMatch(/kidney[0-9.]+ ml/);
    expect(errors).toEqual([]);
    await page.close();
    await server.close();
  },
);

test.skipIf(!chromium)(
  "without WebGPU the page says so, which browsers have it, and still shows the scan",
  async () => {
    const plain = await startChromium({ webgpu: false });
    const server = await serve(pageFolder);
    const { page } = await openPage(plain!, server.url); // it has navigator.gpu, but no adapter
    for (const load of ["no adapter", "no navigator.gpu"]) {
      if (load === "no navigator.gpu") {
        await page.evaluateOnNewDocument(`delete Navigator.prototype.gpu`);
        await page.reload();
      }
      await message(page);
      expect(await text(page, "message-title"), load).toBe("This browser has no WebGPU");
      expect(await text(page, "message-text"), load).toMatch(/Chrome.*Safari.*Firefox/);
      expect(await text(page, "gpu"), load).toBe("no WebGPU");
      await open(page, scan);
      await page.waitForFunction(`/[0-9] \\/ [0-9]/.test(document.getElementById("slice-text").textContent)`);
      await message(page);
    }
    await server.close();
    await plain!.close();
  },
);
