// What the losses share: reductions, argument checks, and the second pass from partial sums to one number.

import { OptionError, ShapeError } from "../../errors.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import type { Grid } from "../../gpu/grid.ts";
import { sameShape, showShape, sizeOf, type Shape } from "../../shape.ts";
import { empty, type Tensor } from "../../tensor.ts";
import { checkFloat, isFloat } from "../checks.ts";

/** One number for all elements (their mean or sum), or one loss per element. */
export type Reduction = "mean" | "sum" | "none";

/** MODE of the gradient kernels. */
export const MODES: Readonly<Record<Reduction, number>> = { none: 0, sum: 1, mean: 2 };

const WG = 256; // threads of every loss kernel's workgroup
const PER_THREAD = 4;
const MAX_GROUPS = 1024; // enough to fill a large GPU, few enough for one workgroup to sum

/** A loss and what its gradient needs. */
export interface Reduced {
  /** The loss: shape [], or with "none" that of the elements. */
  readonly y: Tensor;
  /** [4]: sums over everything, which the gradient of a mean reads; bound to anything with "none". */
  readonly total: Tensor;
}

/**
 * A loss over the elements (or pixels) of `shape`. `run` launches its kernel: with REDUCE, y [groups, 4] takes the
 * partial sums of every workgroup, else y takes one loss per element. `mode`: how sums
 * become the loss, MODE of loss_finish.wgsl.
 */
export function reduceLoss(
  shape: Shape,
  reduction: Reduction,
  mode: number,
  run: (call: { y: Tensor; REDUCE: boolean; grid: Grid }) => void,
): Reduced {
  const groups = Math.min(MAX_GROUPS, Math.ceil(sizeOf(shape) / (WG * PER_THREAD))); // whose threads stride
  const REDUCE = reduction !== "none";
  const each = empty(REDUCE ? [groups, 4] : shape);
  run({ y: each, REDUCE, grid: [groups, 1, 1] });
  if (!REDUCE) return { y: each, total: each };
  const y = empty([]);
  const total = empty([4]);
  launch(wgsl.loss_finish, { consts: { MODE: mode }, buffers: { partials: each, total, y }, grid: [1, 1, 1] });
  return { y, total };
}

/** Throws OptionError unless `reduction` is one of the three. */
export function checkReduction(op: string, reduction: Reduction): void {
  if (!(reduction in MODES))
    throw new OptionError(`${op}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
}

/** Throws ShapeError unless `t` is f32 and has the shape of the prediction `x`. */
export function checkSame(op: string, x: Tensor, name: string, t: Tensor): void {
  checkFloat(op, name, t);
  if (!sameShape(x.shape, t.shape))
    throw new ShapeError(
      `${op}: ${name} must have the shape of the prediction ${showShape(x.shape)}, got ${showShape(t.shape)}`,
    );
}

/** [N, C, ...] as class count and pixels per plane. */
export interface ClassLayout {
  readonly classes: number;
  readonly plane: number;
}

/** The layout of a prediction `x`. Throws ShapeError unless it is f32 and [N, C, ...]. */
export function classLayout(op: string, x: Tensor): ClassLayout {
  checkFloat(op, "the prediction", x);
  if (x.shape.length < 2) throw new ShapeError(`${op}: the prediction must be [N, C, ...], got ${showShape(x.shape)}`);
  return { classes: x.shape[1], plane: sizeOf(x.shape.slice(2)) };
}

/** Throws unless `labels` are whole numbers of shape [N, ...] for a prediction [N, C, ...]. */
export function checkLabels(op: string, x: Tensor, labels: Tensor): void {
  if (isFloat(labels)) {
    const fix = 'make them with tensor(data, { dtype: "i32" })';
    throw new ShapeError(
      `${op}: labels must be i32 or u32 class numbers, got ${labels.dtype} ${showShape(labels.shape)}; ${fix}`,
    );
  }
  checkFits(op, x, "labels", labels, [x.shape[0], ...x.shape.slice(2)]);
}

/** Throws unless `confidence`, a discriminator's map, is [N, 1, ...] for a prediction [N, C, ...]. */
export function checkConfidence(op: string, x: Tensor, confidence: Tensor): void {
  checkFloat(op, "the confidence", confidence);
  checkFits(op, x, "the confidence", confidence, [x.shape[0], 1, ...x.shape.slice(2)]);
}

function checkFits(op: string, x: Tensor, name: string, t: Tensor, wanted: Shape): void {
  if (sameShape(t.shape, wanted)) return;
  const prediction = `for a prediction ${showShape(x.shape)}`;
  throw new ShapeError(`${op}: ${name} must be ${showShape(wanted)} ${prediction}, got ${showShape(t.shape)}`);
}

/** Throws unless the exponent of a pixel's weight is at least 1; below it the slope at M = 1 would be infinite. */
export function checkPower(op: string, power: number): void {
  if (!(power >= 1)) throw new OptionError(`${op}: power must be at least 1, got ${power}`);
}

/** Throws unless `weight` is absent or [C]. */
export function checkClassWeight(op: string, name: string, weight: Tensor | undefined, classes: number): void {
  if (!weight) return;
  checkFloat(op, name, weight);
  if (!sameShape(weight.shape, [classes]))
    throw new ShapeError(`${op}: ${name} must be [${classes}], one per class, got ${showShape(weight.shape)}`);
}
