// Time per kernel from GPU timestamps: one compute pass per call while profiling,
// so totals are a little above a plain run.

import { debugLevel } from "../debug.ts";
import { GpuError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import { dispatch, type KernelCall } from "./program.ts";
import { waitFor } from "./wait.ts";

/** What one kernel call took. */
export interface KernelTime {
  readonly kernel: string;
  /** Pipeline key: kernel and consts. */
  readonly key: string;
  readonly ms: number;
  readonly flops: number;
  /** Bytes of all bound buffers: what the call must at least move. */
  readonly bytes: number;
}

const MAX_QUERIES = 4096;

let rows: KernelTime[] | null = null;

/** Times every kernel from now until stopProfile(). Needs the feature timestamp-query. */
export function startProfile(): void {
  rows = [];
}

/** Ends profiling; returns one row per call, in order. */
export function stopProfile(): KernelTime[] {
  const result = rows ?? [];
  rows = null;
  return result;
}

/** True while calls are to be timed. */
export function profiling(): boolean {
  return rows !== null || debugLevel() >= 2;
}

/** Like a plain submit, but each call runs in a timed pass of its own; the times are read before returning. */
export async function runProfiled(
  g: Gpu,
  calls: readonly KernelCall[],
  pipelines: readonly GPUComputePipeline[],
  groups: readonly GPUBindGroup[],
): Promise<void> {
  if (!g.info.features.has("timestamp-query")) throw new GpuError(`profile: ${g.info.name} has no timestamp queries`);
  for (let start = 0; start < calls.length; start += MAX_QUERIES / 2) {
    const part = calls.slice(start, start + MAX_QUERIES / 2);
    const times = await runTimed(g, part, pipelines.slice(start), groups.slice(start));
    part.forEach((call, i) => report(call, times[i]));
  }
}

async function runTimed(
  g: Gpu,
  calls: readonly KernelCall[],
  pipelines: readonly GPUComputePipeline[],
  groups: readonly GPUBindGroup[],
): Promise<number[]> {
  const count = 2 * calls.length;
  const querySet = g.device.createQuerySet({ type: "timestamp", count });
  const resolved = g.device.createBuffer({ size: 8 * count, usage: 0x200 | 0x4 }); // QUERY_RESOLVE | COPY_SRC
  const staging = g.device.createBuffer({ size: 8 * count, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
  const encoder = g.device.createCommandEncoder();
  calls.forEach((call, i) => {
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
    });
    dispatch(pass, call, pipelines[i], groups[i]);
    pass.end();
  });
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
  g.device.queue.submit([encoder.finish()]);
  await waitFor(staging.mapAsync(1), g.info.software);
  const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
  [querySet, resolved, staging].forEach((resource) => resource.destroy());
  return calls.map((_, i) => Number(ticks[2 * i + 1] - ticks[2 * i]) / 1e6);
}

function report(call: KernelCall, ms: number): void {
  const bytes = call.buffers.reduce((sum, s) => sum + s.bytes, 0);
  rows?.push({ kernel: call.kernel.name, key: call.key, ms, flops: call.flops, bytes });
  if (debugLevel() < 2) return;
  const rate = call.flops ? `${(call.flops / ms / 1e6).toFixed(1)} GFLOP/s  ` : "";
  const detail = debugLevel() >= 3 ? `  ${call.key} grid [${call.grid}]` : "";
  console.error(
    `${call.kernel.name.padEnd(28)} ${ms.toFixed(3).padStart(9)} ms  ${rate}${(bytes / ms / 1e6).toFixed(2)} GB/s${detail}`,
  );
}
