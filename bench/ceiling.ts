// What this device can do at most: arithmetic from a kernel of multiply-adds, bandwidth from a copy, measured here and now.

import { empty, full } from "../src/index.ts";
import { launch } from "../src/gpu/program.ts";
import { linearGrid } from "../src/gpu/grid.ts";
import { time } from "./measure.ts";

export interface Ceiling {
  readonly gflops: number;
  readonly gbps: number;
}

const THREADS = 64 * 1024;
const STEPS = 256;
const FLOPS_PER_STEP = 4 * 4 * 4 * 2; // 4 rounds of 4 vectors of 4 lanes, multiply and add
const COPY_FLOATS = 1 << 24;

export async function measureCeiling(): Promise<Ceiling> {
  const x = full([1], 0.999999);
  const fma = await time(() => launch("bench_fma", { consts: { STEPS }, buffers: { x, y: empty([THREADS]) }, grid: [THREADS / 64, 1, 1] }));
  const a = full([COPY_FLOATS], 1);
  const copy = await time(() => launch("bench_copy", { buffers: { x: a, y: empty([COPY_FLOATS]) }, grid: linearGrid(COPY_FLOATS / 4, 64) }));
  return {
    gflops: (THREADS * STEPS * FLOPS_PER_STEP) / fma.medianMs / 1e6,
    gbps: (2 * 4 * COPY_FLOATS) / copy.medianMs / 1e6,
  };
}
