// The training loop with a network that only counts: batches, checkpoints, log lines, and what happens to bad numbers.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { zeros, type Tensor } from "../../src/index.ts";
import type { Batch } from "../../src/kits/batch.ts";
import type { Network, Terms } from "../../src/kits/network.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { wholeSlices } from "../../src/kits/sample.ts";
import { coarseStage } from "../../src/kits/stages.ts";
import { classFrequencies, train, type EpochLog, type TrainJob } from "../../src/kits/train.ts";
import { cache, folder, usePhantom } from "./phantomHooks.ts";

usePhantom(8, 32);

/** Gives the losses in turn; remembers what it was shown. */
function counting(losses: readonly number[]) {
  const weight = zeros([1]);
  weight.requiresGrad = true;
  const shown: Batch[] = [];
  const epochs: number[] = [];
  const values = (loss: number) => ({ read: async () => Float32Array.of(loss, 2 * loss, 0) }) as unknown as Tensor;
  const network = {
    model: { weight },
    discriminators: [],
    size: 32,
    input: (images: Tensor) => images,
    lr: 0.5,
    parameterCounts: { network: 1, discriminators: 0 },
    free: () => {},
    inspect: async () => "the output of x",
    state: async () => ({ tensors: {}, numbers: {} }),
    setTraining: () => {},
    setEpoch: (epoch: number) => void epochs.push(epoch),
    prepare: async () => ({ planned: 3 * 2 ** 20, bound: 2 ** 20, outside: 2 ** 20 }),
    trainStep: async (batch: Batch): Promise<Terms> => {
      shown.push(batch);
      return { names: ["loss", "generator.0.dice"], values: values(losses[(shown.length - 1) % losses.length]) };
    },
  } as unknown as Network;
  return { network, shown, epochs };
}

const job = (change: Partial<TrainJob["options"]> = {}): TrainJob => ({
  source: wholeSlices(cache, coarseStage),
  train: cache.index.cases.slice(0, 2).map(({ id }) => id),
  val: [],
  resume: false,
  checkpointSeconds: 600,
  onNonfinite: "stop",
  options: { ...presetOptions("demo").coarse, epochs: 4, batch: 3, slicesPerEpoch: 8, ...change },
  seed: 0,
  folder,
  mode: "silent",
  tune: 0,
});

const log = (): EpochLog[] =>
  readFileSync(join(folder, "log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as EpochLog);

describe("train", () => {
  test("shows full batches only, and logs the mean of every term", async () => {
    const { network, shown, epochs } = counting([1, 3]);
    const result = await train(network, job());
    expect(shown.map(({ count }) => count)).toEqual(Array(8).fill(3)); // 8 slices an epoch: two batches of 3
    expect(epochs).toEqual([0, 0, 1, 2, 3]);
    expect(log().map(({ epoch, trainLoss }) => [epoch, trainLoss])).toEqual([1, 2, 3, 4].map((e) => [e, 2]));
    expect(log()[0].generator).toEqual([{ dice: 4 }]);
    expect(result).toMatchObject({ epochs: 4, images: 24, parameters: { network: 1 } });
  });

  test("without validation slices the training loss chooses the checkpoint", async () => {
    const { network } = counting([5, 5, 2, 2, 9, 9, 4, 4]);
    const { best } = await train(network, job());
    expect(best).toEqual({ epoch: 2, validationLoss: 2 });
  });

  test("keeps the best, the last and the periodic checkpoints", async () => {
    await train(counting([1]).network, job({ checkpointEvery: 2 }));
    const has = (name: string) => existsSync(join(folder, "checkpoints/coarse", `${name}.safetensors`));
    expect(["best", "last", "epoch-0001", "epoch-0002", "epoch-0004"].map(has)).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
    expect(has("best.discriminators")).toBe(false);
  });

  test("a number that is not finite stops it, with step, slices, layer and batch named, and keeps what was saved", async () => {
    await expect(train(counting([1, 1, 1, NaN]).network, job())).rejects.toThrow(
      /^coarse: loss is NaN in step 2 in epoch 2 \((case_\d+ slice \d+(, )?){3}\)\. The first that is not finite: the output of x\. The batch is kept in .*nonfinite\/coarse-2-2\.safetensors: .* use a smaller --lr; --resume with --on-nonfinite skip passes over/,
    );
    expect(existsSync(join(folder, "checkpoints/coarse/last.safetensors"))).toBe(true);
  });

  test("passed over, such a step is left out of the means and told", async () => {
    await train(counting([1, Infinity, 1, 3]).network, { ...job(), onNonfinite: "skip" });
    expect(log().map(({ trainLoss, skipped }) => [trainLoss, skipped])).toEqual([
      [1, [2]],
      [2, undefined],
      [1, [2]],
      [2, undefined],
    ]);
    expect(log()[0].warnings).toEqual(["1 of 2 steps were passed over: their loss or gradients were not finite"]);
    expect(readdirSync(join(folder, "nonfinite")).sort()).toEqual([1, 3].map((e) => `coarse-${e}-2.safetensors`));
  });

  test("steps passed over end it after 20 in a row, or all of an epoch", async () => {
    const skip = { onNonfinite: "skip" } as const;
    const finite = (n: number) => Array<number>(n).fill(1);
    const bad = (n: number) => Array<number>(n).fill(NaN);
    const of = async (losses: number[], slicesPerEpoch: number) =>
      train(counting(losses).network, { ...job({ batch: 1, slicesPerEpoch, epochs: 2 }), ...skip });
    await of([...finite(5), ...bad(19), ...finite(6)], 15);
    await expect(of([...finite(5), ...bad(20), ...finite(5)], 15)).rejects.toThrow(
      /^coarse: loss is NaN in step 10 in epoch 2 .*, the last of 20 in a row\. /,
    );
    await expect(of([...finite(3), ...bad(3)], 3)).rejects.toThrow(
      /^coarse: loss is NaN in step 3 in epoch 2 .*, as in all of the epoch\. .*; use a smaller --lr; earlier/,
    );
  });
});

test("classFrequencies counts what the network will be shown", async () => {
  const counts = await classFrequencies(job({ slicesPerEpoch: "all" }));
  const slices = cache.index.cases.slice(0, 2).reduce((n, c) => n + c.slices, 0);
  expect(counts.reduce((a, b) => a + b, 0)).toBe(slices * 32 * 32);
  expect(counts[0]).toBeGreaterThan(counts[1]);
});
