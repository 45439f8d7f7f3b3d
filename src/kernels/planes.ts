// How kernels that work plane by plane ([N, C] planes of D * H * W values) share a plane among threads, and the sums
// and scalings of planes that several families need. Internal: gradients are the callers' business.

import { gpu } from "../gpu/device.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { sizeOf, type Shape } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";

/**
 * Reads one thread makes at least, where the plane has that many: enough to pay for its start and its partial result.
 */
const UNITS_PER_THREAD = 16;
/** More threads per plane than this only lengthen the join of their partial results. */
const MAX_SLICES = 2048;
const WG = 64;

export interface PlaneSlices {
  /** Values per plane. */
  readonly size: number;
  /** Values per read: 4 where planes divide by it, so that every plane starts at a whole vec4. */
  readonly lanes: 1 | 4;
  /** WGSL type of a read. */
  readonly type: "f32" | "vec4<f32>";
  /** Reads per plane. */
  readonly units: number;
  /** Threads per plane, a power of two, at most `units`: thread t takes the units t, t + T, t + 2T, ... */
  readonly T: number;
}

/** The slices of planes of `size` values. */
export function planeSlices(size: number, maxSlices = MAX_SLICES): PlaneSlices {
  const lanes = size % 4 === 0 ? 4 : 1;
  const units = size / lanes;
  const wanted = Math.max(1, units / UNITS_PER_THREAD);
  const T = Math.min(maxSlices, 2 ** Math.floor(Math.log2(wanted)));
  return { size, lanes, type: lanes === 4 ? "vec4<f32>" : "f32", units, T };
}

/**
 * Threads for joining `slices` partial results: about 4 each, because a tree of few levels costs less than its loads.
 * Few different numbers, because each has a pipeline of its own.
 */
export function joinThreads(slices: number): number {
  return [8, 64].find((threads) => slices <= 4 * threads) ?? 256;
}

/** For a kernel that is told at each launch how many of its threads have a sum: one pipeline where the CPU computes. */
export function joinTree(slices: number): { readonly WG: number; readonly half: number } {
  const WG = gpu().info.software ? 64 : 256;
  return { WG, half: Math.min(WG, 2 ** Math.ceil(Math.log2(slices))) >> 1 };
}

/** Sums of `a`, or of a * b, over slices of every plane of [N, C, ...]: [N, C, T]. */
export function planeSlicedSums(a: Tensor, b: Tensor | null, p: PlaneSlices): Tensor {
  const planes = a.size / p.size;
  const partial = empty([planes, p.T]);
  launch(wgsl.plane_sum, {
    consts: { V: p.type, LANES: p.lanes, PRODUCT: b !== null, WG },
    immediates: { units: p.units, threads: p.T },
    buffers: { a, b: b ?? a, partial },
    grid: linearGrid(planes * p.T, WG),
    flops: (b ? 2 : 1) * a.size,
  });
  return partial;
}

/** `factor` times the sum of every plane of `x` [N, C, ...], in `shape`, which has one element per plane. */
export function planeSums(x: Tensor, shape: Shape, factor: number): Tensor {
  const p = planeSlices(sizeOf(x.shape.slice(2)));
  const partial = planeSlicedSums(x, null, p);
  const y = empty(shape);
  launch(wgsl.plane_join, {
    consts: { T: p.T, FACTOR: factor, WG: joinThreads(p.T) },
    buffers: { partial, y },
    grid: linearGrid(y.size, 1),
  });
  return y;
}

/** x * scale + shift with one scale and one shift per plane of `x` [N, C, ...]; no shift when null. */
export function planeAffine(x: Tensor, scale: Tensor, shift: Tensor | null): Tensor {
  const p = planeSlices(sizeOf(x.shape.slice(2)));
  const y = emptyFrom(x.shape, x);
  launch(wgsl.plane_affine, {
    consts: { V: p.type, SHIFT: shift !== null, WG },
    immediates: { units: p.units, threads: p.T },
    buffers: { x, scale, shift: shift ?? scale, y },
    grid: linearGrid(scale.size * p.T, WG),
    flops: 2 * y.size,
  });
  return y;
}

/** Planes of `shape` [N, C, ...] filled with `factor` times one value each. */
export function planeFill(value: Tensor, shape: Shape, factor: number): Tensor {
  const p = planeSlices(sizeOf(shape.slice(2)));
  const y = empty(shape);
  launch(wgsl.plane_fill, {
    consts: { V: p.type, UNITS: p.units, T: p.T, FACTOR: factor, WG },
    buffers: { value, y },
    grid: linearGrid(value.size * p.T, WG),
  });
  return y;
}
