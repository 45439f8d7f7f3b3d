// Limits on gradients, between backward() and the optimiser's step. Nothing is read back.
// Gradients are replaced, not changed in place: one tensor may be the gradient of several parameters.

import { OptionError } from "../../errors.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { keepGradient } from "../../scope.ts";
import { empty, hostTensor, zeros, type Tensor } from "../../tensor.ts";

const NORM_AT_ONCE = 6; // gradients per launch of grad_norm.wgsl
const SCALE_AT_ONCE = 3; // and of grad_scale.wgsl: each is bound twice
const MAX_GROUPS = 256;

/** OP of grad_scale.wgsl. */
export const SCALE = { multiply: 0, clamp: 1, unscale: 2 } as const;

function withGradient(parameters: Iterable<Tensor>): Tensor[] {
  return [...parameters].filter((p) => p.grad !== null);
}

function inRuns<T>(items: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / length) }, (_, k) => items.slice(k * length, (k + 1) * length));
}

/**
 * Scales all gradients by one factor so that their common Euclidean norm is at most `maxNorm`. Returns that norm before
 * scaling, shape []. Parameters without a gradient are passed over; always the same order of additions.
 * Throws OptionError unless `maxNorm` is above 0. Follows PyTorch, `clip_grad_norm_`.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new OptionError(`clipGradNorm: maxNorm must be above 0, got ${maxNorm}`);
  const list = withGradient(parameters);
  if (list.length === 0) return zeros([]);
  const norm = empty([]);
  const factor = empty([1]);
  const maximum = hostTensor([1], "f32", () => Float32Array.of(maxNorm));
  launch(wgsl.grad_norm_finish, { buffers: { partials: squares(list), maximum, norm, factor }, grid: [1, 1, 1] });
  scaleGradients(list, SCALE.multiply, factor);
  return norm;
}

/**
 * Sums of squares of all gradients, one per workgroup: each launch adds six gradients to the sums of the one before.
 */
function squares(parameters: readonly Tensor[]): Tensor {
  const largest = Math.max(...parameters.map((p) => p.size));
  const groups = Math.min(MAX_GROUPS, Math.ceil(largest / 1024));
  let sums: Tensor | null = null;
  for (const run of inRuns(
    parameters.map((p) => p.grad!),
    NORM_AT_ONCE,
  )) {
    const [g0, g1 = g0, g2 = g0, g3 = g0, g4 = g0, g5 = g0] = run;
    const after = empty([groups]);
    launch(wgsl.grad_norm, {
      consts: { COUNT: run.length, FRESH: sums === null },
      buffers: { g0, g1, g2, g3, g4, g5, before: sums ?? g0, after },
      grid: [groups, 1, 1],
    });
    sums = after;
  }
  return sums!;
}

/**
 * Clamps every element of every gradient to [-maxValue, maxValue]. Throws OptionError unless `maxValue` is above 0.
 * Follows PyTorch, `clip_grad_value_`.
 */
export function clipGradValue(parameters: Iterable<Tensor>, maxValue: number): void {
  if (!(maxValue > 0)) throw new OptionError(`clipGradValue: maxValue must be above 0, got ${maxValue}`);
  scaleGradients(
    withGradient(parameters),
    SCALE.clamp,
    hostTensor([1], "f32", () => Float32Array.of(maxValue)),
  );
}

/**
 * Replaces the gradients by what grad_scale.wgsl makes of them and `by` [1]; `found`
 * [1] u32 notes values that are not finite.
 */
export function scaleGradients(
  parameters: Iterable<Tensor>,
  op: number,
  by: Tensor,
  found: Tensor = empty([1], "u32"),
): void {
  for (const run of inRuns(withGradient(parameters), SCALE_AT_ONCE)) {
    const [g0, g1 = g0, g2 = g0] = run.map((p) => p.grad!);
    const scaled = run.map((p) => empty(p.shape));
    const [y0, y1 = empty([1]), y2 = empty([1])] = scaled;
    const longest = Math.max(...scaled.map((y) => y.size));
    launch(wgsl.grad_scale, {
      consts: { OP: op, COUNT: run.length },
      buffers: { by, g0, g1, g2, y0, y1, y2, found },
      grid: linearGrid(longest, 64),
    });
    run.forEach((p, k) => replaceGradient(p, scaled[k]));
  }
}

/** A new gradient outlives the step, as the old one would have. */
function replaceGradient(p: Tensor, grad: Tensor): void {
  p.grad = grad;
  keepGradient(() => p.grad?.storage);
}
