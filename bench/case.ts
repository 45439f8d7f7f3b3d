// What a bench case is, and the host-side checks that run before anything is timed.

import type { Tensor } from "../src/index.ts";

export interface Work {
  /** Records the work once. */
  readonly run: () => void;
  /** Floating-point operations of one run; 0 where memory is what matters. */
  readonly flops: number;
  /** Bytes that one run must at least move. */
  readonly bytes: number;
  /** The relative error of the result against the host; run before timing. */
  readonly check: () => Promise<number>;
}

export interface Case {
  readonly name: string;
  readonly shape: string;
  readonly setup: () => Work;
}

/** Above this relative error a result is wrong and is not timed: sums of up to 10^6 f32 terms in tree order stay below it. */
export const TOLERANCE = 1e-4;

/** The gradient of `y` with respect to one of its inputs, alone: what a training step runs for it. */
export function gradientOf(y: Tensor, dy: Tensor, input: number): Tensor {
  const { inputs, backward } = y.node!;
  return backward(dy, inputs.map((_, i) => i === input))[input]!;
}

/** sum(a * b) in float64. */
export async function dot(a: Tensor, b: Tensor): Promise<number> {
  const [x, y] = [await a.read(), await b.read()];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** |a - b| relative to the size of the terms, for two sums that must agree. */
export function relative(a: number, b: number, scale = Math.max(Math.abs(a), Math.abs(b))): number {
  return Math.abs(a - b) / Math.max(scale, 1e-30);
}

/** The largest error of `y` against `expected` at `count` places spread over the tensor, relative to the largest value. */
export async function sampled(y: Tensor, expected: (index: number) => number, count = 64): Promise<number> {
  const values = await y.read();
  let largest = 1e-30;
  let error = 0;
  for (let s = 0; s < count; s++) {
    const i = Math.floor(((s + 0.5) / count) * values.length);
    const e = expected(i);
    largest = Math.max(largest, Math.abs(e));
    error = Math.max(error, Math.abs(values[i] - e));
  }
  return error / largest;
}

/** bytes of some tensors */
export function bytesOf(...tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, t) => sum + 4 * t.size, 0);
}
