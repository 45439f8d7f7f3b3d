// What is written for those who watch a training: events, pictures and live.json; it changes nothing of the training.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decode } from "fast-png";
import { describe, expect, test } from "vitest";
import { coarseNetwork } from "../../src/kits/network.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { startProgress } from "../../src/kits/progress.ts";
import { wholeSlices } from "../../src/kits/sample.ts";
import { coarseStage } from "../../src/kits/stages.ts";
import { train, type EpochLog, type TrainJob } from "../../src/kits/train.ts";
import { readLive } from "../../src/kits/watch/liveFile.ts";
import { watchRun, type RunWatch, type TrainingStart } from "../../src/kits/watch/runWatch.ts";
import { Thinned } from "../../src/kits/watch/thinned.ts";
import { readFolder, shownScalars } from "../tensorboard/readEvents.ts";
import { cache, folder, newFolder, usePhantom } from "./phantomHooks.ts";

usePhantom(8, 16);

const options = {
  ...presetOptions("demo").coarse,
  size: 16,
  width: 4,
  depth: 1,
  epochs: 2,
  batch: 4,
  slicesPerEpoch: 8,
};

async function trained(watch?: RunWatch): Promise<EpochLog[]> {
  const [first, second, third] = cache.index.cases.map(({ id }) => id);
  const job: TrainJob = {
    ...{
      source: wholeSlices(cache, coarseStage),
      train: [first, second],
      val: [third],
      options,
      seed: 3,
      folder,
      watch,
    },
    ...{ mode: "silent", tune: 0, resume: false, checkpointSeconds: 600, onNonfinite: "stop" },
  };
  await train(coarseNetwork(options, 3, [1, 1, 1]), job);
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as EpochLog);
}

const start = (change: Partial<TrainingStart> = {}): TrainingStart => ({
  ...{ folder, stage: "coarse", options, epochs: 3, stepsPerEpoch: 4, epoch: 0, step: 0 },
  warn: (text) => {
    throw new Error(text);
  },
  ...change,
});

const epochLog = (epoch: number, trainLoss: number): EpochLog => ({
  ...{ stage: "coarse", epoch, epochs: 3, lr: 1e-3, trainLoss, validationLoss: 1, validationDice: { kidney: 0.5 } },
  ...{ imagesPerSecond: 10, seconds: 1, gpuMemory: 2 ** 20, generator: [{ dice: 0.25 }], warnings: [] },
});

describe("a training", () => {
  test("leaves every number of its epochs, a loss for its steps and a picture per validation in event files", async () => {
    const watch = watchRun(folder, { tensorboard: true });
    const log = await trained(watch);
    await watch.close();
    const scalars = shownScalars(join(folder, "tensorboard/coarse"));
    const steps = [2, 4]; // two batches of 4 an epoch
    const f32 = (values: number[]): number[] => [...Float32Array.from(values)];
    expect([...scalars.get("loss/train")!.keys()]).toEqual(steps);
    expect([...scalars.get("loss/train")!.values()]).toEqual(f32(log.map((l) => l.trainLoss)));
    expect([...scalars.get("loss/validation")!.values()]).toEqual(f32(log.map((l) => l.validationLoss)));
    expect([...scalars.get("dice/kidney")!.values()]).toEqual(f32(log.map((l) => l.validationDice.kidney)));
    expect([...scalars.get("memory/gpu MiB")!.values()]).toEqual(f32(log.map((l) => l.gpuMemory! / 2 ** 20)));
    expect([...scalars.get("loss/step")!.keys()]).toEqual([1, 2, 3, 4]);
    const values = readFolder(join(folder, "tensorboard/coarse")).flat();
    const pictures = values.flatMap((event) =>
      event.values.flatMap(({ image }) => (image ? [{ ...event, image }] : [])),
    );
    expect(pictures.map(({ step }) => step)).toEqual(steps);
    const png = readFileSync(join(folder, "validation/coarse.png"));
    const { width, height } = decode(png);
    expect([width, height]).toEqual([pictures[1].image.width, pictures[1].image.height]);
    expect(Buffer.compare(png, pictures[1].image.png)).toBe(0);
    const texts = values.flatMap((event) => event.values.flatMap(({ text }) => text ?? []));
    expect(texts[0]).toContain("| batch | 4 |");
    expect(existsSync(join(folder, "live.json"))).toBe(false);
  });

  test("ends with the same bytes whether it is watched or not", async () => {
    await trained(watchRun(folder, { tensorboard: true }));
    const watched = readFileSync(join(folder, "checkpoints/coarse/last.safetensors"));
    newFolder();
    await trained();
    expect(existsSync(join(folder, "tensorboard"))).toBe(false);
    expect(readFileSync(join(folder, "checkpoints/coarse/last.safetensors")).equals(watched)).toBe(true);
  });
});

describe("event files of a training", () => {
  test("that goes on show each step once, as it was taken in the end", async () => {
    const watch = watchRun(folder, { tensorboard: true });
    const first = await watch.training(start());
    for (let step = 0; step < 4; step++) first.step(0, step, ["loss"], [1 + step / 8]);
    await first.epoch(epochLog(1, 0.5), null);
    for (let step = 0; step < 3; step++) first.step(1, step, ["loss"], [9]);
    await first.close();
    // As if its last state was that after step 1 of the second epoch.
    const second = await watch.training(start({ epoch: 1, step: 1 }));
    for (let step = 1; step < 4; step++) second.step(1, step, ["loss"], [2 + step / 8]);
    await second.epoch(epochLog(2, 0.25), null);
    await second.close();
    const scalars = shownScalars(join(folder, "tensorboard/coarse"));
    expect([...scalars.get("loss/step")!]).toEqual(
      Object.entries({ 1: 1, 2: 1.125, 3: 1.25, 4: 1.375, 5: 9, 6: 2.125, 7: 2.25, 8: 2.375 }).map(([k, v]) => [+k, v]),
    );
    expect([...scalars.get("loss/train")!]).toEqual([
      [4, 0.5],
      [8, 0.25],
    ]);
    expect([...scalars.get("generator/dice/scale 1")!.values()]).toEqual([0.25, 0.25]);
    // One that begins anew replaces it.
    const again = await watch.training(start());
    again.step(0, 0, ["loss"], [7]);
    await again.close();
    await watch.close();
    expect([...shownScalars(join(folder, "tensorboard/coarse")).get("loss/step")!]).toEqual([[1, 7]]);
  });

  test("that cannot be written are one warning", async () => {
    writeFileSync(join(folder, "tensorboard"), "");
    const warnings: string[] = [];
    const watch = watchRun(folder, { tensorboard: true });
    const training = await watch.training(start({ warn: (text) => warnings.push(text) }));
    for (const epoch of [1, 2]) await training.epoch(epochLog(epoch, 1), null);
    await training.close();
    await watch.close();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/TensorBoard's events: (ENOTDIR|EEXIST).*; training goes on without/);
  });
});

describe("live.json", () => {
  test("says how far the run is, and is removed at its end", async () => {
    const watch = watchRun(folder, { tensorboard: false });
    const progress = startProgress({ label: "train coarse", total: 12, mode: "silent" });
    const training = await watch.training(start());
    training.step(0, 0, ["loss", "generator.0.dice", "discriminator.0.confidenceLabel"], [0.5, 3, 0.75]);
    progress.increment(4);
    training.step(0, 1, ["loss", "generator.0.dice", "discriminator.0.confidenceLabel"], [NaN, 3, 0.25]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const live = await readLive(folder);
    expect(live).toMatchObject({
      pid: process.pid,
      phase: { label: "train coarse", done: 4, total: 12, unit: "images" },
    });
    expect(live.training).toEqual({
      ...{ stage: "coarse", epochs: 3, names: ["loss", "discriminator.0.confidenceLabel"], x: [0.25, 0.5] },
      values: [
        [0.5, 0.75],
        [null, 0.25],
      ],
    });
    progress.stop();
    await watch.close();
    expect(existsSync(join(folder, "live.json"))).toBe(false);
  });

  test("a long curve keeps some hundred means of neighbours", () => {
    const curve = new Thinned();
    for (let i = 0; i < 5000; i++) curve.add(i, [2 * i, NaN]);
    const { x, values } = curve.content;
    expect(x.length).toBeGreaterThan(149);
    expect(x.length).toBeLessThan(301);
    expect(values[10]).toEqual([2 * x[10], null]);
    expect(x[10]).toBe(10 * (x[1] - x[0]) + x[0]);
    expect(x.at(-1)).toBeGreaterThan(4960);
  });
});
