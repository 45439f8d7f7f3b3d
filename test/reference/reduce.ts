// Reductions over any set of dimensions, in float64: the values of each group are collected, then reduced.
import { type NdArray, array, frontDim, ravel, sizeOf, unravel } from "./array.ts";

export interface ReduceOptions {
  /** The dimension or dimensions to reduce; all when absent. Negative counts from the back. */
  dims?: number | readonly number[];
  /** Keep the reduced dimensions with size 1. */
  keepDim?: boolean;
}

/** Calls `f` with the values of each group in row-major order and returns its results. */
function reduce(x: NdArray, { dims, keepDim = false }: ReduceOptions, f: (values: number[]) => number): NdArray {
  const rank = x.shape.length;
  const reduced = new Set([dims ?? x.shape.map((_, axis) => axis)].flat().map((d) => frontDim(d, rank)));
  const kept = x.shape.map((n, axis) => (reduced.has(axis) ? 1 : n));
  const groups: number[][] = Array.from({ length: sizeOf(kept) }, () => []);
  x.data.forEach((v, i) => {
    const position = unravel(i, x.shape).map((p, axis) => (reduced.has(axis) ? 0 : p));
    groups[ravel(position, kept)].push(v);
  });
  return array(keepDim ? kept : x.shape.filter((_, axis) => !reduced.has(axis)), groups.map(f));
}

const total = (values: number[]): number => values.reduce((s, v) => s + v, 0);

/** Sum over `dims`. */
export function sum(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, total);
}

/** Mean over `dims`. */
export function mean(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, (values) => total(values) / values.length);
}

/** Variance over `dims`, divided by count - `correction` (1 = unbiased, 0 = population). */
export function variance(x: NdArray, options: ReduceOptions & { correction?: number } = {}): NdArray {
  const { correction = 1 } = options;
  return reduce(x, options, (values) => {
    const m = total(values) / values.length;
    return total(values.map((v) => (v - m) ** 2)) / (values.length - correction);
  });
}

/** Largest value over `dims`. */
export function max(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, (values) => Math.max(...values));
}

/** Smallest value over `dims`. */
export function min(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, (values) => Math.min(...values));
}

/** Index of the largest value along `dim`, or without it in the flattened array; the first where several are equal. */
export function argmax(x: NdArray, { dim, keepDim }: { dim?: number; keepDim?: boolean } = {}): NdArray {
  return reduce(x, { dims: dim, keepDim }, (values) => values.indexOf(Math.max(...values)));
}

/** log(sum(exp(x))) over `dims`. */
export function logSumExp(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, (values) => {
    const top = Math.max(...values);
    return top + Math.log(total(values.map((v) => Math.exp(v - top))));
  });
}

/** Euclidean norm over `dims`. */
export function norm(x: NdArray, options: ReduceOptions = {}): NdArray {
  return reduce(x, options, (values) => Math.sqrt(total(values.map((v) => v * v))));
}

/** Mean over all axes after [N, C], which stay with size 1. x: [N, C, ...]. */
export function globalAvgPool(x: NdArray): NdArray {
  return mean(x, { dims: x.shape.map((_, axis) => axis).slice(2), keepDim: true });
}

