// What a bench case is, and the host-side checks that run before anything is timed.

import { add, mul, noGrad, randn, Rng, type Tensor } from "../src/index.ts";

export interface Work {
  /** Records the work once. */
  readonly run: () => void;
  /** Floating-point operations of one run; 0 where memory is what matters. */
  readonly flops: number;
  /** Bytes that one run must at least move: inputs and outputs once; for gradients, those of the outputs and the inputs. */
  readonly bytes: number;
  /** The error of the result against the host, relative to its size; run before timing. */
  readonly check: () => Promise<number>;
  /** Largest error accepted. */
  readonly tolerance: number;
}

export interface Case {
  readonly name: string;
  readonly shape: string;
  readonly setup: () => Work;
}

/** Sums of up to 10^5 f32 terms in tree order stay well below this. */
export const FORWARD_TOLERANCE = 1e-4;

/** Gradients are checked by differences of f32 results along a random direction; inputs that cross a kink (ReLU, maximum) cost digits. */
export const GRADIENT_TOLERANCE = 1e-2;

/** The gradients of `y` with respect to the inputs in `wanted` (all by default), alone: what a training step runs for it. */
export function gradientsOf(y: Tensor, dy: Tensor, wanted?: number): (Tensor | null)[] {
  const { inputs, backward } = y.node!;
  return noGrad(() => [
    ...backward(
      dy,
      inputs.map((t, i) => t.requiresGrad && (wanted === undefined || i === wanted)),
    ),
  ]);
}

/** sum(a * b) in float64. */
export async function dot(a: Tensor, b: Tensor): Promise<number> {
  const [x, y] = [await a.read(), await b.read()];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** The largest error of `y` against `expected` at `count` places spread over the tensor, relative to the largest value there. */
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

/**
 * The error of the gradients of `forward` along a random direction v: <dx, v> against <dy, y(x + h v) - y(x - h v)> / 2h.
 * For a function linear in each input the difference is exact up to rounding.
 */
export async function directionalError(
  forward: (inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  h: number,
): Promise<number> {
  const rng = new Rng(9, "direction");
  const y = forward(inputs);
  const dy = randn(y.shape, rng);
  const gradients = gradientsOf(y, dy);
  let worst = 0;
  for (const [i, input] of inputs.entries()) {
    if (!input.requiresGrad) continue;
    const v = randn(input.shape, rng);
    const moved = (sign: number) =>
      noGrad(() => forward(inputs.map((t, j) => (j === i ? add(t, mul(v, sign * h)) : t))));
    const slope = ((await dot(dy, moved(1))) - (await dot(dy, moved(-1)))) / (2 * h);
    const size = Math.sqrt(await dot(gradients[i]!, gradients[i]!));
    worst = Math.max(worst, Math.abs(slope - (await dot(gradients[i]!, v))) / Math.max(size, 1e-30));
  }
  return worst;
}

/** Bytes of some tensors. */
export function bytesOf(...tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, t) => sum + 4 * t.size, 0);
}

/** Marks a tensor as one whose gradient is wanted. */
export function leaf(t: Tensor): Tensor {
  t.requiresGrad = true;
  return t;
}
