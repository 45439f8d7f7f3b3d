// The cascade in memory: the labels of the cascade by files, probabilities and progress that fit, and nothing of Node.
import { build } from "esbuild";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { close, init, OptionError } from "../../src/index.ts";
import { GpuSlices } from "../../src/kits/batch.ts";
import { openCache, type SliceCache } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { readImage, readLabels } from "../../src/kits/nifti.ts";
import type { RunOptions } from "../../src/kits/options.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { openSegmenter, segment, type CascadeWeights, type SegmentProgress } from "../../src/kits/segment.ts";
import type { SliceOptions } from "../../src/kits/slices.ts";
import { predictByFiles, saveTinyWeights, tinyOptions } from "./tinyCascade.ts";

let work: string;
let fine: SliceCache;
let coarse: SliceCache;

beforeAll(async () => {
  await init();
  work = mkdtempSync(join(tmpdir(), "wgrad-segment-"));
  await writePhantom(join(work, "data"), { cases: 2, slices: 7, size: 40 });
  [coarse, fine] = [await slices(16), await slices(32)];
});
afterAll(() => {
  for (const cache of [coarse, fine]) cache.close();
  close();
  rmSync(work, { recursive: true, force: true });
});

async function slices(size: number, window: Partial<SliceOptions> = {}): Promise<SliceCache> {
  const folder = join(work, `cache-${size}${Object.values(window).join("-")}`);
  await preprocess(await openDataset(join(work, "data")), folder, { size, ...window });
  return openCache(folder);
}

const scanOf = (id: string) => readImage(join(work, "data", id, "imaging.nii.gz"));
const values = (labels: Uint8Array) => [...new Set(labels)].sort();

describe("labels are those that the run itself gives, file by file", () => {
  const phantom = tinyOptions();
  const variants: [string, Partial<RunOptions>][] = [
    ["joined masks, whole lesions", {}],
    ["the paper's reading", { coarseMasks: "regions", tumorRule: "voxels", keepLargest: 0 }],
    ["no coarse network", { roi: { ...phantom.roi, from: "none" }, keepLargest: 0, tumorRule: "voxels" }],
  ];
  test.each(variants)("%s", async (name, change) => {
    const options = tinyOptions(change);
    const folder = join(work, name);
    const weights = await saveTinyWeights(options, folder);
    await predictByFiles(options, folder, fine, coarse);
    const segmenter = await openSegmenter(options, weights);
    const seen = new Set<number>();
    for (const id of ["case_00000", "case_00001"]) {
      const { labels, confidence } = await segmenter.segment(await scanOf(id));
      const byFiles = await readLabels(join(folder, "predictions", `${id}.nii.gz`));
      values(labels).forEach((label) => seen.add(label));
      expect(Buffer.compare(labels, byFiles.data)).toBe(0);
      for (const stage of ["kidney", "masses"] as const) {
        const path = join(folder, "stages", stage, "confidence", `${id}.nii.gz`);
        expect(Buffer.compare(confidence[stage]!, (await readLabels(path)).data)).toBe(0);
      }
    }
    expect(seen.size, "random networks tell labels apart").toBeGreaterThan(2);
    segmenter.free();
  });
});

test("through another window: what the run gives from slices of that window", async () => {
  const soft = { window: 300, level: 40 };
  const options = tinyOptions({ ...soft, tumorRule: "voxels", keepLargest: 0 });
  const folder = join(work, "soft");
  const weights = await saveTinyWeights(options, folder);
  const [small, large] = [await slices(16, soft), await slices(32, soft)];
  await predictByFiles(options, folder, large, small);
  for (const cache of [small, large]) cache.close();
  const scan = await scanOf("case_00000");
  const byFiles = await readLabels(join(folder, "predictions/case_00000.nii.gz"));
  const { labels } = await segment(scan, options, weights);
  expect(values(labels).length).toBeGreaterThan(2);
  expect(Buffer.compare(labels, byFiles.data)).toBe(0);
  const usual = await segment(scan, { ...options, window: 540, level: 140 }, weights);
  expect(Buffer.compare(labels, usual.labels)).not.toBe(0);
  const older: Partial<RunOptions> = { ...options, window: undefined };
  await expect(openSegmenter(older as RunOptions, weights)).rejects.toThrow(
    "window must be from 1 to 4096, got nothing",
  );
});

describe("what else it says", () => {
  let options: RunOptions;
  let weights: CascadeWeights;
  beforeAll(async () => {
    options = tinyOptions({ coarseMasks: "regions", tumorRule: "voxels", keepLargest: 0 });
    weights = await saveTinyWeights(options, join(work, "weights"));
  });

  test("the coarse network alone gives kidney and mass, as its stage does by files", async () => {
    const scan = await scanOf("case_00000");
    const found = await segment(scan, options, { coarse: weights.coarse }, { probabilities: true });
    expect(found.classes).toEqual(["background", "kidney", "mass"]);
    const byFiles = await readLabels(join(work, "the paper's reading/stages/coarse/case_00000.nii.gz"));
    expect(Buffer.compare(found.labels, byFiles.data)).toBe(0);
    expect(Object.keys(found.probabilities)).toEqual(["kidney", "masses"]);
    await expect(openSegmenter(options, { kidney: weights.kidney })).rejects.toThrow(OptionError);
  });

  test("probabilities: from a half on they are the mask; with mirror images they are the mean of four", async () => {
    const scan = await scanOf("case_00000");
    const [S, H, W] = scan.header.shape;
    const whole = { ...options, roi: { ...options.roi, from: "none" as const } };
    const plain = await segment(scan, whole, weights, { probabilities: true });
    for (let i = 0; i < S * H * W; i++) expect(plain.labels[i] >= 2).toBe(plain.probabilities.masses![i] >= 128);
    const column = (i: number) => i - (i % W) + (W - 1 - (i % W)); // left and right exchanged
    const row = (i: number) => i + W * (H - 1 - 2 * (Math.floor(i / W) % H)); // top and bottom
    const mirrors = [(i: number) => i, column, row, (i: number) => row(column(i))];
    const masses = async (mirror: (i: number) => number, tta: boolean) => {
      const data = scan.data.map((_, i) => scan.data[mirror(i)]);
      const found = await segment({ ...scan, data }, whole, weights, { probabilities: true, tta });
      return found.probabilities.masses!.map((_, i, all) => all[mirror(i)]);
    };
    const each: Uint8Array[] = [];
    for (const mirror of mirrors) each.push(await masses(mirror, false));
    const mean = await masses(mirrors[0], true);
    const off = mean.filter((p, i) => Math.abs(p - each.reduce((sum, one) => sum + one[i], 0) / 4) > 2);
    expect(off.length).toBe(0);
    for (const one of each) {
      const other = one.filter((p, i) => Math.abs(p - mean[i]) > 2);
      expect(other.length).toBeGreaterThan(0.1 * one.length);
    }
  });

  test("progress counts every slice of every network, and the signal ends it", async () => {
    const scan = await scanOf("case_00000");
    const told: SegmentProgress[] = [];
    await segment(scan, options, weights, { onProgress: (at) => told.push(at) });
    const stages = [...new Set(told.map(({ stage }) => stage))];
    expect(stages).toEqual(["slices", "coarse", "kidney", "masses", "tumor", "labels"]);
    for (const name of stages) {
      const { done, total } = told.findLast(({ stage }) => stage === name)!;
      expect(done).toBe(total);
    }
    expect(told.findLast(({ stage }) => stage === "kidney")!.total).toBe(scan.header.shape[0]);
    const ending = new AbortController();
    const ended = segment(scan, options, weights, {
      signal: ending.signal,
      onProgress: ({ stage, done }) => stage === "kidney" && done > 0 && ending.abort(new Error("enough")),
    });
    await expect(ended).rejects.toThrow("enough");
  });
});

test("a batch is submitted before what the one before said is read, and no more than one", async () => {
  const options = tinyOptions({ roi: { ...tinyOptions().roi, from: "none" } });
  const weights = await saveTinyWeights(options, join(work, "order"));
  const events: string[] = [];
  const batch = GpuSlices.prototype.batch;
  vi.spyOn(GpuSlices.prototype, "batch").mockImplementation(function (this: GpuSlices, ...given) {
    events.push("submit");
    return batch.apply(this, given);
  });
  const onProgress = ({ stage, done }: SegmentProgress) => void (stage === "kidney" && done > 0 && events.push("used"));
  await segment(await scanOf("case_00000"), options, weights, { onProgress, batch: 2 });
  vi.restoreAllMocks();
  expect(events.slice(0, 5)).toEqual(["submit", "submit", "used", "submit", "used"]);
});

test("neither the cascade nor reading NIfTI needs Node", async () => {
  // Nothing is left out, so what cannot be found in a browser fails the build.
  const source = (name: string) => new URL(`../../src/kits/${name}.ts`, import.meta.url).pathname;
  const { outputFiles, metafile } = await build({
    entryPoints: [source("segment"), source("nifti_bytes"), source("trainedNetwork")],
    ...{ bundle: true, platform: "browser", format: "esm", write: false, outdir: "unused", metafile: true },
  });
  for (const { text } of outputFiles!) expect(text).not.toMatch(/["']node:/);
  const external = Object.values(metafile!.outputs).flatMap(({ imports }) => imports);
  expect(external).toEqual([]);
});
