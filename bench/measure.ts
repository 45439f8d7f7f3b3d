// Timing: check first, warm up, then samples long enough for the clock; medians with their spread.

import { timeRuns } from "../src/tune.ts";

export interface Timing {
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly samples: number;
}

export interface TimingOptions {
  /** A sample repeats the work until it lasts about this long. */
  sampleMs?: number;
  samples?: number;
}

/** Times `work`, which records kernel calls, from recording to the GPU being done. Milliseconds per repetition. */
export async function time(work: () => void, { sampleMs = 60, samples = 7 }: TimingOptions = {}): Promise<Timing> {
  await timeRuns(work, 1); // compiles
  const warm = await timeRuns(work, 1);
  const repeats = Math.max(1, Math.min(200, Math.round(sampleMs / warm)));
  const results: number[] = [];
  for (let i = 0; i < samples; i++) results.push((await timeRuns(work, repeats)) / repeats);
  results.sort((a, b) => a - b);
  return { medianMs: results[results.length >> 1], minMs: results[0], maxMs: results[results.length - 1], samples };
}
