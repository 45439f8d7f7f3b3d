// What is in the files of a run that the dashboard shows.
import { hostname } from "node:os";
import { presetOptions } from "../../src/kits/presets.ts";
import type { RunFacts } from "../../src/kits/run.ts";
import type { EpochLog } from "../../src/kits/train.ts";
import type { Live } from "../../src/kits/watch/liveFile.ts";

/** run.json. */
export const facts = (change: Partial<RunFacts> = {}): RunFacts => ({
  ...{ status: "running", wgrad: "1", node: "v20", adapter: { name: "a <b>", driver: "", software: true } },
  ...{ preset: "phantom", options: presetOptions("phantom"), stages: ["coarse", "kidney", "masses", "tumor"] },
  data: {
    ...{ title: "Phantom", root: "/data", synthetic: true, license: "", note: "", cases: 3, slices: 9, key: "k" },
  },
  split: { unit: "case", seed: 0, fractions: [8, 1, 1], overfit: false, train: ["a"], val: ["b"], test: ["c"] },
  started: "2026-01-01T00:00:00.000Z",
  ...change,
});

/** live.json of this process, which trains `kidney`. */
export const live = (change: Partial<Live> = {}): Live => ({
  ...{ pid: process.pid, host: hostname(), written: Date.now() },
  phase: { label: "train kidney", unit: "images", total: 96, done: 24, rate: 12.5, left: 5.76 },
  training: {
    ...{ stage: "kidney", epochs: 3, names: ["loss", "discriminator.0.confidenceLabel"], x: [0.5, 1] },
    values: [
      [2, 0.6],
      [1.5, null],
    ],
  },
  ...change,
});

/** One line of log.jsonl, with its newline. */
export const line = (stage: string, epoch: number): string => {
  const log: EpochLog = {
    ...{
      stage,
      epoch,
      epochs: 3,
      lr: 1e-3,
      trainLoss: 1 / epoch,
      validationLoss: 2 / epoch,
      validationDice: { kidney: 0.5 },
    },
    ...{ imagesPerSecond: 10, seconds: 1, gpuMemory: 64 * 2 ** 20, warnings: epoch === 1 ? ["careful"] : [] },
    ...{ discriminator: [{ confidenceLabel: 0.6, confidencePrediction: 0.4, accuracy: 0.5, loss: 0.7 }] },
  };
  return `${JSON.stringify(log)}\n`;
};
