// What this device can do at most: arithmetic from a kernel of multiply-adds, bandwidth from a copy, measured here and now.

import { empty, full } from "../src/index.ts";
import * as wgsl from "../src/gpu/kernels.gen.ts";
import { launch } from "../src/gpu/program.ts";
import { linearGrid } from "../src/gpu/grid.ts";
import { time } from "./measure.ts";

export interface Ceiling {
  readonly gflops: number;
  /** Copying arrays larger than any cache, and arrays of 4 MiB, which a CPU's caches hold. */
  readonly gbps: number;
  readonly gbpsSmall: number;
}

const THREADS = 64 * 1024;
const STEPS = 256;
const FLOPS_PER_STEP = 4 * 4 * 4 * 2; // 4 rounds of 4 vectors of 4 lanes, multiply and add
const LARGE = 1 << 24; // floats
const SMALL = 1 << 20;

export async function measureCeiling(): Promise<Ceiling> {
  const x = full([1], 0.999999);
  const fma = await time(() =>
    launch(wgsl.bench_fma, { consts: { STEPS }, buffers: { x, y: empty([THREADS]) }, grid: [THREADS / 64, 1, 1] }),
  );
  return {
    gflops: (THREADS * STEPS * FLOPS_PER_STEP) / fma.medianMs / 1e6,
    gbps: await copyRate(LARGE),
    gbpsSmall: await copyRate(SMALL),
  };
}

async function copyRate(floats: number): Promise<number> {
  const x = full([floats], 1);
  const copy = await time(() =>
    launch(wgsl.bench_copy, { buffers: { x, y: empty([floats]) }, grid: linearGrid(floats / 4, 64) }),
  );
  return (2 * 4 * floats) / copy.medianMs / 1e6;
}

/** The copying rate that a case of `bytes` can reach at most. */
export function bandwidthFor(bytes: number, ceiling: Ceiling): number {
  return bytes > 4 * LARGE ? ceiling.gbps : Math.max(ceiling.gbps, ceiling.gbpsSmall);
}
