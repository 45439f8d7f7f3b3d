// export:kits: what the JSON beside the networks says is enough to get the labels of the run.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, init } from "../../src/index.ts";
import { joinMask, joinsCoarse, predictedRois, stageBefore } from "../../src/kits/cascadeRules.ts";
import { saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { exportRun } from "../../src/kits/exportKits.ts";
import type { Step } from "../../src/kits/exportSpec.ts";
import { stageNames, type RunOptions, type StageName } from "../../src/kits/options.ts";
import { drawPhantomCase } from "../../src/kits/phantom.ts";
import { saveFacts } from "../../src/kits/run.ts";
import { segment, type NetworkWeights } from "../../src/kits/segment.ts";
import { fineStages } from "../../src/kits/stages.ts";
import { checkThrows } from "../check.ts";
import { labelsByJson } from "./exportedCascade.ts";
import { saveTinyWeights, tinyOptions } from "./tinyCascade.ts";

const command = new URL("../../dist/export-kits.js", import.meta.url).pathname;
const work = mkdtempSync(join(tmpdir(), "wgrad-export-"));
const scan = narrowScan();

beforeAll(() => init());
afterAll(() => {
  rmSync(work, { recursive: true });
  close();
});

/** A phantom without its outermost columns, so that slices are not square, with slices of air between others and at the end. */
function narrowScan(): { data: Int16Array; header: { shape: [number, number, number] } } {
  const { image, geometry } = drawPhantomCase(0, { slices: 9, size: 40 });
  const [S, H, W] = geometry.shape;
  const data = image.filter((_, i) => i % W >= 3 && i % W < W - 3);
  const plane = H * (W - 6);
  for (const s of [2, 6, 7, 8]) data.fill(-1024, s * plane, (s + 1) * plane);
  return { data, header: { shape: [S, H, W - 6] } };
}

/** Logits that are added to the background: random networks find their targets nearly everywhere. */
type Fewer = Partial<Record<StageName, number>>;

/** A run folder of random networks, and its exported files. */
async function exported(name: string, options: RunOptions, fewer: Fewer) {
  const [run, out] = [join(work, name), join(work, `${name} exported`)];
  const weights = await saveTinyWeights(options, run);
  for (const stage of stageNames) {
    const { model } = weights[stage] as NetworkWeights;
    model["head.3.bias"].data[0] += fewer[stage] ?? 0;
    const metadata = { stage, epoch: "3", validationLoss: "0.5" };
    await saveCheckpoint(join(run, "checkpoints", stage, "best.safetensors"), model, metadata);
  }
  await saveFacts(run, {
    ...{ status: "finished", wgrad: "0", node: "0", preset: "phantom", started: "" },
    adapter: { name: "", driver: "", software: true },
    ...{ options, stages: ["coarse", "kidney", "masses", "tumor"] },
    data: { title: "", root: "x", synthetic: true, license: "", note: "", cases: 3, slices: 18, key: "" },
    split: { unit: "case", seed: 0, fractions: [1, 1, 1], overfit: false, train: [], val: [], test: [] },
  });
  await exportRun(run, out);
  return { run, out, weights };
}

/** At most one voxel in a thousand differs: where two classes are equally probable, rounding decides. */
function expectSameLabels(found: Uint8Array, expected: Uint8Array, values: readonly number[]): void {
  const counts = values.map((value) => expected.filter((v) => v === value).length);
  expect(Math.min(...counts) / expected.length, `shares of ${counts.join(", ")}`).toBeGreaterThan(0.005);
  expect(found.length).toBe(expected.length);
  expect(found.filter((v, i) => v !== expected[i]).length).toBeLessThanOrEqual(expected.length / 1000);
}

const seed = 13; // with it networks find something here and nothing there
const { roi } = tinyOptions();
const joined = tinyOptions({
  seed,
  window: 400,
  level: 40,
  keepLargest: 1,
  roi: { ...roi, minArea: 0.01, neighbours: 1 },
});
Object.assign(joined.coarse, { channels: 2, recompute: true });
const paper: Partial<RunOptions> = {
  seed,
  coarseMasks: "regions",
  tumorRule: "voxels",
  roi: { ...roi, neighbours: 1 },
};
const whole = tinyOptions({ seed, roi: { ...roi, from: "none" }, tumorRule: "voxels", keepLargest: 0 });

describe("from the scan to labels by the JSON and onnxruntime alone, as the run segments it", () => {
  const rules = new Set<string>();
  const variants: [string, RunOptions, Fewer, labels: number[]][] = [
    ["joined", joined, { coarse: 1, masses: 0.2 }, [0, 1, 2]],
    ["joined voxels", { ...joined, seed: 19, tumorRule: "voxels" }, { coarse: 0.5, masses: 0.3 }, [0, 1, 3]],
    ["paper", tinyOptions(paper), { coarse: 1, masses: 0.2 }, [0, 1, 2, 3]],
    ["nothing coarse", tinyOptions(paper), { coarse: 40 }, [0, 1, 2, 3]],
    ["no coarse network", whole, {}, [0, 1, 2, 3]],
  ];
  test.each(variants)("%s", async (name, options, fewer, values) => {
    const { out, weights } = await exported(name, options, fewer);
    const { labels: expected } = await segment(scan, options, weights);
    const found = await labelsByJson(out, scan.data, scan.header.shape);
    found.rules.forEach((rule) => rules.add(rule));
    expectSameLabels(found.labels, expected, values);
    for (const stage of fineStages) {
      const before = stageBefore(stage.name, options);
      const labels = before && found.results[before].slice();
      if (labels && joinsCoarse(options)) joinMask(labels, before, before === "coarse" ? null : found.results.coarse);
      const regions = predictedRois(options, stage, labels, scan.header.shape);
      expect(found.squares[stage.name]).toEqual(regions.map((roi) => roi && { y: roi.y, x: roi.x, side: roi.side }));
    }
  });

  test("slices without what a region is for met every rule", () => {
    expect([...rules].sort()).toEqual([
      ...["1,2,3: case", "1,2,3: neighbours", "1,2,3: whole slice"],
      ...["2,3: case", "2,3: case 1,2,3", "2,3: neighbours", "2,3: neighbours 1,2,3", "2,3: slice 1,2,3"],
      ...["2,3: whole slice", "left out"],
    ]);
  });
});

test("settings of the run are those of the JSON", () => {
  const json = (name: string) => JSON.parse(readFileSync(join(work, "joined exported", `${name}.json`), "utf8"));
  const stepOf = (steps: readonly Step[], name: string) => steps.find(({ step }) => step === name);
  const coarse = json("coarse");
  expect(coarse.weights).toEqual({ stage: "coarse", epoch: "3", validationLoss: "0.5" });
  expect(coarse.input).toMatchObject({ shape: ["batch", 1, 16, 16], values: [0, 1], repeatedInGraph: 2 });
  expect(coarse.output.activation).toEqual({ name: "softmax", axis: 1, inGraph: true });
  expect(stepOf(coarse.preprocessing, "clip")).toEqual({ step: "clip", low: -160, high: 240 });
  expect(stepOf(json("kidney").preprocessing, "resize")!.size).toEqual([32, 32]);
  const { networks, postprocessing } = json("cascade");
  expect(stepOf(postprocessing, "keep largest")).toMatchObject({ components: 1, rank: ["coarse", "voxels"] });
  expect(networks).toEqual([
    { stage: "coarse", file: "coarse.json", after: null },
    { stage: "kidney", file: "kidney.json", after: "coarse" },
    { stage: "masses", file: "masses.json", after: "coarse" },
    { stage: "tumor", file: "tumor.json", after: "masses" },
  ]);
  expect(postprocessing.map(({ step }: Step) => step)).toEqual([
    ...["join", "compose", "keep largest", "whole lesions", "restore"],
  ]);
});

test("the command exports one stage, and says what is not there", async () => {
  const [run, out] = [join(work, "joined"), join(work, "one")];
  const call = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: "utf8" });
  const done = call("--run", run, "--out", out, "--stage", "kidney");
  expect(done.stderr).toMatch(/kidney\.onnx 0\.\d MiB, kidney\.json/);
  expect(readdirSync(out).sort()).toEqual(["cascade.json", "kidney.json", "kidney.onnx"]);
  const all = join(work, "joined exported/kidney.onnx");
  expect(readFileSync(join(out, "kidney.onnx")).equals(readFileSync(all))).toBe(true);
  const wrong = call("--run", run, "--out", out, "--stage", "liver");
  expect([wrong.status, wrong.stderr]).toEqual([
    1,
    expect.stringContaining("export:kits: --stage must name some of coarse, kidney, masses, tumor; got liver"),
  ]);
  rmSync(join(run, "checkpoints/tumor"), { recursive: true });
  await checkThrows(
    () => exportRun(run, join(work, "none"), ["tumor"]),
    /tumor\/best\.safetensors: there is no trained network; train it first$/,
  );
  expect(existsSync(join(work, "none"))).toBe(false);
});
