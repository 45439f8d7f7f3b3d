// export:kits: what the JSON beside a network says is enough to get the labels of the run. The steps are done here anew, in
// plain loops with the numbers of the JSON, the networks by onnxruntime.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Rng, assign, close, init, mul, noGrad, randn, step, tensor } from "../../src/index.ts";
import { openCache, type SliceCache } from "../../src/kits/cache.ts";
import { saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { exportRun } from "../../src/kits/exportKits.ts";
import type { NetworkSpec, Step } from "../../src/kits/exportSpec.ts";
import { fineNetwork } from "../../src/kits/fineNetwork.ts";
import { coarseNetwork, type Network } from "../../src/kits/network.ts";
import { readImage, readLabels } from "../../src/kits/nifti.ts";
import { keepLargest, type Connectivity } from "../../src/kits/postprocess.ts";
import { predictRegions, predictSlices, type PredictJob } from "../../src/kits/predictFiles.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { roisOf, type CaseRois, type Roi } from "../../src/kits/roi.ts";
import { saveFacts } from "../../src/kits/run.ts";
import { coarseStage, fineStages } from "../../src/kits/stages.ts";
import { stateDict } from "../../src/nn/index.ts";
import { checkThrows } from "../check.ts";
import { runOnnx } from "../onnx/parity.ts";
import { phantomCache } from "./phantomCache.ts";

const command = new URL("../../dist/export-kits.js", import.meta.url).pathname;
const options = presetOptions("phantom");
Object.assign(options, { sourceSize: 28, keepLargest: 2 });
Object.assign(options.coarse, { size: 24, width: 4, depth: 2, channels: 2, recompute: true });
for (const stage of ["kidney", "masses", "tumor"] as const)
  Object.assign(options[stage], { size: 16, width: 4, depth: 2, discriminators: "none" });

let [work, run, out] = ["", "", ""];
let sources: { coarse: SliceCache; fine: SliceCache };
const networks: Record<string, Network> = {};
const id = "case_00000";

/** The median logarithm of class 1's odds in the middle of a slice. */
async function medianOdds(network: Network): Promise<number> {
  const bytes = new Uint8Array(28 * 28);
  sources.fine.readImage(sources.fine.caseById(id).first + 2, bytes, 0);
  const middle = Float32Array.from({ length: 16 * 16 }, (_, i) => bytes[(6 + (i >> 4)) * 28 + 6 + (i % 16)] / 255);
  network.setTraining(false);
  const y = await step(() => noGrad(() => network.model.forward(tensor(middle, { shape: [1, 1, 16, 16] }))));
  const logits = await y.read();
  return Array.from({ length: 256 }, (_, i) => logits[256 + i] - logits[i]).sort((a, b) => a - b)[128];
}

beforeAll(async () => {
  await init();
  const phantom = await phantomCache(6, 24);
  work = phantom.work;
  [run, out] = [join(work, "run"), join(work, "onnx")];
  await preprocess(await openDataset(join(work, "data")), join(work, "source"), { size: 28 });
  sources = { coarse: phantom.cache, fine: await openCache(join(work, "source")) };
  networks.coarse = coarseNetwork(options.coarse, 2, [1, 1, 1]);
  networks.kidney = fineNetwork("kidney", options.kidney, 1, [1, 1]);
  // A classifier by which every class is the likeliest somewhere, and one by which half of a kidney's pixels are inside.
  const { weight } = networks.coarse.model.classifier;
  assign(weight, mul(randn(weight.shape, new Rng(1, "classifier")), 5));
  assign(networks.kidney.model.classifier.bias!, tensor([await medianOdds(networks.kidney), 0]));
  for (const [stage, { model }] of Object.entries(networks)) {
    mkdirSync(join(run, "checkpoints", stage), { recursive: true });
    const metadata = { stage, epoch: "3", validationLoss: "0.5" };
    await saveCheckpoint(join(run, "checkpoints", stage, "best.safetensors"), await stateDict(model), metadata);
  }
  await saveFacts(run, {
    ...{
      status: "partial",
      wgrad: "0",
      node: "0",
      adapter: { name: "", driver: "", software: true },
      preset: "phantom",
    },
    ...{ options, stages: ["coarse", "kidney"], started: "" },
    data: { title: "", root: "x", synthetic: true, license: "", note: "", cases: 3, slices: 18, key: "" },
    split: { unit: "case", seed: 0, fractions: [1, 1, 1], overfit: false, train: [], val: [], test: [id] },
  });
  await exportRun(run, out);
});
afterAll(() => {
  Object.values(sources).forEach((cache) => cache.close());
  rmSync(work, { recursive: true });
  close();
});

const json = (name: string) => JSON.parse(readFileSync(join(out, `${name}.json`), "utf8"));
/** The settings of a step, as the test takes them. */
const stepOf = <T = Record<string, never>>(steps: readonly Step[], name: string): T =>
  steps.find(({ step }) => step === name) as T;

/** Triangle filter along one axis: [m][n] weights of the n pixels for the m that cover [start, start + side) of them. */
function triangle(n: number, m: number, insideOnly: boolean, start = 0, side = 1): number[][] {
  const reach = Math.max(1, (side * n) / m);
  return Array.from({ length: m }, (_, o) => {
    const centre = (start + ((o + 0.5) / m) * side) * n;
    const weight = (i: number) => Math.max(0, 1 - Math.abs(i + 0.5 - centre) / reach);
    const row = Array.from({ length: n }, (__, i) => weight(i));
    const around = Array.from({ length: 5 * n }, (__, i) => weight(i - 2 * n));
    const total = (insideOnly ? row : around).reduce((a, b) => a + b, 0);
    return row.map((w) => w / total);
  });
}

/** rows x image x columns^T. image: [h, w]. */
function filtered(image: ArrayLike<number>, rows: number[][], columns: number[][]): number[] {
  const w = columns[0].length;
  const narrow = rows[0].map((_, y) => columns.map((c) => c.reduce((sum, v, x) => sum + v * image[y * w + x], 0)));
  return rows.flatMap((r) => columns.map((_, x) => r.reduce((sum, v, y) => sum + v * narrow[y][x], 0)));
}

/** The scan's slices as bytes, by the steps of the JSON. */
async function bytesOf({ preprocessing }: NetworkSpec): Promise<{ slices: number[][]; shape: readonly number[] }> {
  const { low, high } = stepOf(preprocessing, "clip");
  const [size] = stepOf(preprocessing, "resize").size as number[];
  const { to } = stepOf<{ to: number[] }>(preprocessing, "window");
  const { data, header } = await readImage(sources.coarse.caseById(id).image);
  const [S, H, W] = header.shape;
  const slices = Array.from({ length: S }, (_, s) => {
    const clipped = Float64Array.from(data.subarray(s * H * W, (s + 1) * H * W), (v) =>
      Math.min(high, Math.max(low, v)),
    );
    const resized = filtered(clipped, triangle(H, size, true), triangle(W, size, true));
    return resized.map((v) => Math.round(((v - low) / (high - low)) * to[1]));
  });
  return { slices, shape: header.shape };
}

async function probabilitiesOf(spec: NetworkSpec, images: readonly number[][]): Promise<Float32Array[]> {
  const { divideBy } = stepOf(spec.preprocessing, "scale");
  const { name, shape } = spec.input as { name: string; shape: number[] };
  const data = Float32Array.from(images.flat(), (v) => v / divideBy);
  const found = await runOnnx(readFileSync(join(out, spec.file)), {
    [name]: { shape: [images.length, ...shape.slice(1)], dtype: "f32", data },
  });
  const { data: all } = found[(spec.output as { name: string }).name];
  const each = all.length / images.length;
  return images.map((_, i) => (all as Float32Array).subarray(i * each, (i + 1) * each));
}

/** One bilinear sample of a plane [n, n] at (y, x) in shares of it, between pixel centres; its edges repeat. */
function bilinear(plane: ArrayLike<number>, n: number, y: number, x: number): number {
  const taps = (at: number): [number, number, number] => {
    const p = Math.min(n - 1, Math.max(0, at * n - 0.5));
    return [Math.floor(p), Math.min(n - 1, Math.floor(p) + 1), p - Math.floor(p)];
  };
  const [[top, bottom, v], [left, right, h]] = [taps(y), taps(x)];
  const row = (r: number) => plane[r * n + left] * (1 - h) + plane[r * n + right] * h;
  return row(top) * (1 - v) + row(bottom) * v;
}

/** Voxels that differ: where two classes are equally probable, rounding decides. */
function expectSameLabels(found: Uint8Array, expected: Uint8Array, values: number): void {
  const counts = Array.from({ length: values }, (_, k) => expected.filter((v) => v === k).length);
  expect(Math.min(...counts) / expected.length, `shares of ${counts.join(", ")}`).toBeGreaterThan(0.02);
  expect(found.length).toBe(expected.length);
  expect(found.filter((v, i) => v !== expected[i]).length).toBeLessThanOrEqual(expected.length / 1000);
}

async function job(stage: string, cache: SliceCache): Promise<PredictJob> {
  return { cache, ids: [id], folder: join(run, "stages", stage), batch: 2, mode: "silent" };
}

test("coarse: from the scan to labels by the JSON alone, as the run predicts them", async () => {
  await predictSlices(networks.coarse, coarseStage, await job("coarse", sources.coarse), options.keepLargest);
  const { data: expected } = await readLabels(join(run, "stages/coarse", `${id}.nii.gz`));
  const spec = json("coarse") as NetworkSpec;
  expect(spec.weights).toEqual({ stage: "coarse", epoch: "3", validationLoss: "0.5" });
  const { slices, shape } = await bytesOf(spec);
  const [, H, W] = shape;
  const probabilities = await probabilitiesOf(spec, slices);
  const { classes, shape: dims } = spec.output as { classes: string[]; shape: number[] };
  const n = dims[2];
  const labels = Uint8Array.from({ length: shape[0] * H * W }, (_, i) => {
    const [s, y, x] = [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W];
    const values = classes.map((__, c) =>
      bilinear(probabilities[s].subarray(c * n * n, (c + 1) * n * n), n, (y + 0.5) / H, (x + 0.5) / W),
    );
    return values.indexOf(Math.max(...values));
  });
  const { components, connectivity } = stepOf<{
    components: number;
    connectivity: Connectivity;
  }>(spec.postprocessing, "keep largest");
  expectSameLabels(keepLargest(labels, shape, { keep: components, connectivity }).data, expected, 3);
});

test("kidney: regions, crop and paste by the JSON alone, as the run predicts its mask", async () => {
  // Regions in the reference: the untrained coarse network sees kidneys everywhere.
  const { data: coarse, header } = await readLabels(sources.coarse.caseById(id).label!);
  const spec = json("kidney") as NetworkSpec;
  const region = stepOf<Record<string, unknown>>(spec.preprocessing, "region");
  expect(region.from).toBe("coarse");
  const [, H, W] = header.shape;
  const rois: CaseRois = roisOf(coarse, header.shape, {
    inside: region.labels as number[],
    margin: region.margin as number,
    minPixels: Math.round((region.minArea as number) * H * W),
    neighbours: (region.emptySlices as { slices: number }[])[0].slices,
  });
  const { margin, neighbours, minArea } = options.roi;
  const minPixels = Math.round(minArea * H * W);
  expect(rois).toEqual(roisOf(coarse, header.shape, { inside: [1, 2, 3], margin, neighbours, minPixels })); // cascade.ts
  await predictRegions(networks.kidney, fineStages[0], await job("kidney", sources.fine), { [id]: rois });
  const { data: expected } = await readLabels(join(run, "stages/kidney", `${id}.nii.gz`));

  const { slices } = await bytesOf(spec);
  const [n] = stepOf(spec.preprocessing, "crop").size as number[];
  const source = Math.sqrt(slices[0].length);
  const crops = slices.map((slice, s) => {
    const { y, x, side } = rois[s]!;
    return filtered(slice, triangle(source, n, false, y, side), triangle(source, n, false, x, side));
  });
  const probabilities = await probabilitiesOf(spec, crops);
  const { channel } = stepOf(spec.postprocessing, "select");
  const { atLeast } = stepOf(spec.postprocessing, "threshold");
  const inside = (at: number, start: number, side: number) => at >= start && at < start + side;
  const mask = Uint8Array.from({ length: expected.length }, (_, i) => {
    const { y: top, x: left, side } = rois[Math.floor(i / (H * W))] as Roi;
    const [y, x] = [((Math.floor(i / W) % H) + 0.5) / H, ((i % W) + 0.5) / W];
    if (!inside(y, top, side) || !inside(x, left, side)) return 0;
    const plane = probabilities[Math.floor(i / (H * W))].subarray(channel * n * n, (channel + 1) * n * n);
    return bilinear(plane, n, (y - top) / side, (x - left) / side) >= atLeast ? 1 : 0;
  });
  expectSameLabels(mask, expected, 2);
  const pixels = rois.reduce((n, roi) => n + roi!.side ** 2 * H * W, 0);
  expect(mask.filter((v) => v === 1).length / pixels).toBeLessThan(0.8); // the network's borders, not the regions' alone
});

test("settings of the run are those of the JSON", () => {
  const coarse = json("coarse");
  expect(coarse.input).toMatchObject({ shape: ["batch", 1, 24, 24], values: [0, 1], repeatedInGraph: 2 });
  expect(coarse.output.activation).toEqual({ name: "softmax", axis: 1, inGraph: true });
  expect(stepOf(coarse.preprocessing, "clip")).toEqual({ step: "clip", low: -130, high: 410 });
  expect(stepOf(json("kidney").preprocessing, "resize").size).toEqual([28, 28]);
  const { networks: list, postprocessing } = json("cascade");
  expect(list).toEqual([
    { stage: "coarse", file: "coarse.json", after: null },
    { stage: "kidney", file: "kidney.json", after: "coarse" },
    { stage: "masses", file: null, after: "coarse" },
    { stage: "tumor", file: null, after: "masses" },
  ]);
  expect(postprocessing.map(({ step }: Step) => step)).toEqual([
    ...["join", "compose", "keep largest", "whole lesions", "restore"],
  ]);
});

test("the command exports one stage, and says what is not there", async () => {
  const one = join(work, "one");
  const call = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: "utf8" });
  const done = call("--run", run, "--out", one, "--stage", "kidney");
  expect(done.stderr).toMatch(/kidney\.onnx 0\.\d MiB, kidney\.json/);
  expect(readdirSync(one).sort()).toEqual(["cascade.json", "kidney.json", "kidney.onnx"]);
  expect(readFileSync(join(one, "kidney.onnx")).equals(readFileSync(join(out, "kidney.onnx")))).toBe(true);
  const wrong = call("--run", run, "--out", one, "--stage", "liver");
  expect([wrong.status, wrong.stderr]).toEqual([
    1,
    expect.stringContaining("export:kits: --stage must name some of coarse, kidney, masses, tumor; got liver"),
  ]);
  await checkThrows(
    () => exportRun(run, join(work, "none"), ["tumor"]),
    /tumor\/best\.safetensors: there is no trained network; train it first$/,
  );
  expect(existsSync(join(work, "none"))).toBe(false);
});
