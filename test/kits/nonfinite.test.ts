// Faults in the numbers of a training, each really made: a weight so large that a layer overflows while one step runs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NonfiniteError } from "../../src/errors.ts";
import { assign, hasF16, sqrt, step, sum, tensor, type Tensor } from "../../src/index.ts";
import { uploadSlices, type Batch } from "../../src/kits/batch.ts";
import type { SliceCache } from "../../src/kits/cache.ts";
import { loadCheckpoint } from "../../src/kits/checkpointFile.ts";
import { descent } from "../../src/kits/descent.ts";
import { fineNetwork } from "../../src/kits/fineNetwork.ts";
import { coarseNetwork, regionNetwork, type Network } from "../../src/kits/network.ts";
import type { CoarseOptions, FineOptions } from "../../src/kits/options.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { wholeSlices } from "../../src/kits/sample.ts";
import { coarseStage, fineStages, regionStage, type Stage } from "../../src/kits/stages.ts";
import { train, type EpochLog, type TrainJob } from "../../src/kits/train.ts";
import { parameters } from "../../src/nn/index.ts";
import { Adam } from "../../src/nn/optim.ts";
import { cache, folder, usePhantom } from "./phantomHooks.ts";
import { valuesOf } from "./slices.ts";

usePhantom(6, 16);

const small = { size: 16, width: 4, depth: 2, epochs: 2, batch: 2, slicesPerEpoch: 8, dropout: 0.2 } as const;
const coarse: CoarseOptions = { ...presetOptions("phantom").coarse, ...small };
const fine: FineOptions = {
  ...{ ...presetOptions("phantom").kidney, ...small },
  ...{ scales: 2, discriminatorWidth: 4, discriminatorDepth: 1 },
};

const job = (stage: Stage, options: TrainJob["options"], change: Partial<TrainJob> = {}): TrainJob => ({
  source: wholeSlices(cache, stage),
  train: cache.index.cases.slice(0, 2).map(({ id }) => id),
  val: cache.index.cases.slice(2).map(({ id }) => id),
  ...{ resume: false, checkpointSeconds: 600, onNonfinite: "stop", options, seed: 0, folder, mode: "silent", tune: 0 },
  ...change,
});

const log = (into: string): EpochLog[] =>
  readFileSync(join(into, "log.jsonl"), "utf8")
    .replace(/"(imagesPerSecond|seconds)":[^,}]+,?/g, "")
    .replace(/,}/g, "}")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EpochLog);

/** While step `at`, from 0, is submitted, `work` is done before and after it. */
function around(network: Network, at: number, before: () => Promise<void>, after: () => Promise<void>): Network {
  const { trainStep } = network;
  let n = 0;
  network.trainStep = async (batch) => {
    const now = n++ === at;
    if (now) await before();
    const terms = await trainStep(batch);
    if (now) await after();
    return terms;
  };
  return network;
}

/** From step `at` on, or in it alone, all values of a weight are such that what they are summed to is too large. */
function overflowing(network: Network, at: number, weight: Tensor, { lasting = false } = {}): Network {
  let good: Tensor;
  const set = async () => {
    good = tensor((await weight.read()) as Float32Array<ArrayBuffer>, { shape: weight.shape });
    assign(weight, tensor(new Float32Array(weight.size).fill(3e38), { shape: weight.shape }));
  };
  return around(network, at, set, async () => (lasting ? undefined : assign(weight, good)));
}

/** Step `at` is computed, and then weights and optimisers are as before it. */
function untaken(network: Network, at: number): Network {
  let before: Awaited<ReturnType<Network["state"]>>;
  return around(
    network,
    at,
    async () => void (before = await network.state()),
    async () => network.loadState({ ...(await network.state()), tensors: before.tensors }),
  );
}

/** The weights that a training in `into` ended with; running statistics, which see every batch, left out. */
async function lastWeights(into: string, stage: string): Promise<Record<string, ArrayLike<number>>> {
  const files = readdirSync(join(into, "checkpoints", stage)).filter((name) => /^last/.test(name));
  const read = await Promise.all(files.map((name) => loadCheckpoint(join(into, "checkpoints", stage, name))));
  const entries = read.flatMap(({ tensors }, k) =>
    Object.entries(tensors).map(([name, t]) => [`${k}.${name}`, t.data]),
  );
  return Object.fromEntries(entries.filter(([name]) => !String(name).includes("running_"))) as Record<
    string,
    ArrayLike<number>
  >;
}

const makeCoarse = () => coarseNetwork(coarse, 0, [9, 1, 1]);
const makeFine = () => fineNetwork("kidney", fine, 0, [3, 1]);

describe("on-nonfinite stop", () => {
  test("names layer, step and cases, and keeps the batch", async () => {
    const network = makeCoarse();
    const shown: Batch[] = [];
    const { trainStep } = network;
    network.trainStep = (batch) => (shown.push(batch), trainStep(batch));
    const error = await train(
      overflowing(network, 2, parameters(network.model)[0], { lasting: true }),
      job(coarseStage, coarse),
    ).catch((e: Error) => e);
    expect(error).toBeInstanceOf(NonfiniteError);
    expect((error as Error).message).toMatch(
      /^coarse: .* in step 3 in epoch 1 \(case_\d+ slice \d+, case_\d+ slice \d+\)\. The first that is not finite: the output of encoder\.0\./,
    );
    const { tensors, metadata } = await loadCheckpoint(join(folder, "nonfinite/coarse-1-3.safetensors"));
    const { images, labels } = await valuesOf(shown[2]);
    expect(tensors.images.data).toEqual(images);
    expect(tensors.labels.data).toEqual(labels);
    for (const { id, slice } of JSON.parse(metadata.cases) as { id: string; slice: number }[])
      expect((error as Error).message).toContain(`${id} slice ${slice}`);
  });
});

test("a step that is looked at again draws the numbers that it had", async () => {
  const network = makeFine();
  network.setTraining(true);
  const slices = await uploadSlices(job(fineStages[0], fine).source, [0, 1]);
  const positions = async () =>
    Object.entries((await network.state()).numbers).filter(([name]) => name.includes("/rng/"));
  const batches = [0, 1, 2].map(() => slices.batch([0, 1]));
  const after: Awaited<ReturnType<typeof positions>>[] = [];
  for (const batch of batches) {
    await network.trainStep(batch);
    after.push(await positions());
  }
  expect(after[0].length).toBeGreaterThan(0);
  expect(after[1]).not.toEqual(after[0]);
  for (const k of [1, 0, 2]) {
    expect(await network.inspect(batches[k])).toBe(null);
    expect(await positions()).toEqual(after[k]);
  }
});

describe("on-nonfinite skip", () => {
  // What the discriminators have learned from stays learned when only the network's part of the step overflows.
  test.each([
    { stage: coarseStage, options: coarse, make: makeCoarse, part: "network" },
    { stage: regionStage, options: coarse, make: () => regionNetwork(coarse, 0, [9, 1, 1, 1]), part: "network" },
    { stage: fineStages[0], options: fine, make: makeFine, part: "discriminators" },
  ])("a step whose $part overflows is as one not taken: $stage.name", async ({ stage, options, make, part }) => {
    const network = make();
    const weight = parameters(part === "network" ? network.model : network.discriminators)[0];
    const skip = job(stage, options, { onNonfinite: "skip" });
    await train(overflowing(network, 2, weight), skip);
    const control = join(folder, "control");
    await train(untaken(make(), 2), { ...skip, folder: control });
    const [found, expected] = [await lastWeights(folder, stage.name), await lastWeights(control, stage.name)];
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const [name, values] of Object.entries(found)) {
      expect(Array.from(values).every(Number.isFinite), name).toBe(true);
      expect(values, name).toEqual(expected[name]);
    }
    const [first, second] = log(folder);
    expect([first.skipped, second.skipped]).toEqual([[3], undefined]);
    expect(first.warnings).toContain("1 of 4 steps were passed over: their loss or gradients were not finite");
    expect(readdirSync(join(folder, "nonfinite"))).toEqual([`${stage.name}-1-3.safetensors`]);
  });

  test("the network stands still where its part of the joint step overflows, and goes on after it", async () => {
    const network = makeFine();
    const [first, ...others] = parameters(network.model);
    const read = () => Promise.all(others.map((p) => p.read()));
    const seen: Awaited<ReturnType<typeof read>>[] = [];
    for (const at of [2, 3])
      around(
        network,
        at,
        async () => void seen.push(await read()),
        async () => {},
      );
    await train(overflowing(network, 2, first), job(fineStages[0], fine, { onNonfinite: "skip" }));
    expect(log(folder)[0].skipped).toEqual([3]);
    const [before, after] = seen;
    expect(after).toEqual(before);
    expect(await read()).not.toEqual(after);
    for (const values of await read()) expect(values.every(Number.isFinite)).toBe(true);
  });

  test("interrupted and resumed, it ends with the same bytes and log", async () => {
    const skip = job(coarseStage, coarse, { onNonfinite: "skip", checkpointSeconds: 0 });
    const broken = (network: Network) => overflowing(network, 1, parameters(network.model)[0]);
    const whole = { ...skip, folder: join(folder, "whole") };
    await train(broken(makeCoarse()), whole);
    const stopped = around(
      broken(makeCoarse()),
      3,
      () => Promise.reject(new Error("killed")),
      async () => {},
    );
    await expect(train(stopped, skip)).rejects.toThrow("killed");
    await train(makeCoarse(), { ...skip, resume: true });
    expect(log(folder)).toEqual(log(whole.folder));
    const bytes = (into: string) => readFileSync(join(into, "checkpoints/coarse/last.safetensors"));
    expect(bytes(folder).equals(bytes(whole.folder))).toBe(true);
  });
});

test("a loss that is finite with a gradient that is not moves neither weights nor optimiser", async () => {
  const w = tensor([0, 4], { requiresGrad: true });
  const adam = new Adam([w], { lr: 0.1 });
  const moves = descent("f32");
  const skipped = await step(() => {
    moves.step(sum(sqrt(w)), adam);
    return moves.finish();
  });
  expect(await skipped.item()).toBe(1);
  expect(await w.read()).toEqual(Float32Array.of(0, 4));
  const { tensors } = await adam.state();
  for (const [name, { data }] of Object.entries(tensors))
    expect(
      data.every((v) => v === 0),
      name,
    ).toBe(true);
});

test("under a loss scale an overflow of the loss is a fault, one of gradients only lowers the scale", async () => {
  if (!hasF16()) return;
  const half = { ...coarse, precision: "f16" } as const;
  const network = coarseNetwork(half, 0, [9, 1, 1]);
  const large = { numbers: (await network.state()).numbers, tensors: (await network.state()).tensors };
  network.loadState({ ...large, numbers: { ...large.numbers, "scale/scale": 2 ** 120 } });
  const notOne = job(coarseStage, { ...half, epochs: 1, slicesPerEpoch: 24 });
  await train(network, notOne);
  expect(log(folder)[0].skipped).toBe(undefined);
  expect((await network.state()).numbers["scale/scale"]).toBeLessThan(2 ** 120);
  const broken = coarseNetwork(half, 0, [9, 1, 1]);
  const bias = broken.model.classifier.bias!;
  await expect(
    train(overflowing(broken, 1, bias, { lasting: true }), { ...notOne, folder: join(folder, "broken") }),
  ).rejects.toThrow(/^coarse: loss is \S+ in step 2 in epoch 1 .* use a smaller --lr or --precision f32;/);
});

test("a validation loss that is not finite stops training, or its slices are left out", async () => {
  const broken = () => {
    const network = makeCoarse();
    const { setTraining } = network;
    const weight = parameters(network.model)[0];
    network.setTraining = (training) => {
      setTraining(training);
      if (!training) assign(weight, tensor(new Float32Array(weight.size).fill(3e38), { shape: weight.shape }));
    };
    return network;
  };
  const once = job(coarseStage, { ...coarse, epochs: 1 });
  await expect(train(broken(), once)).rejects.toThrow(
    /^coarse: validation loss is \S+ in batch 1 after epoch 1 \(.*\)\. The first that is not finite: the output of encoder\.0\.conv1\./,
  );
  // Black slices do not overflow whatever the weights.
  const black = cache.caseById(once.val[0]).first;
  const dark = {
    ...{ size: cache.size, index: cache.index, caseById: (id: string) => cache.caseById(id) },
    readLabel: (slice: number, out: Uint8Array, offset?: number) => cache.readLabel(slice, out, offset),
    readImage: (slice: number, out: Uint8Array, offset = 0) =>
      slice < black || slice >= black + 2
        ? cache.readImage(slice, out, offset)
        : out.fill(0, offset, offset + cache.size ** 2),
  } as unknown as SliceCache;
  const skip = { ...once, folder: join(folder, "skip"), source: wholeSlices(dark, coarseStage) };
  await train(broken(), { ...skip, onNonfinite: "skip" });
  expect(Number.isFinite(log(skip.folder)[0].validationLoss)).toBe(true);
  const kept = readdirSync(join(skip.folder, "nonfinite"));
  expect(kept.length).toBeGreaterThan(0);
  expect(kept).not.toContain("coarse-1-validation-1.safetensors");
});
