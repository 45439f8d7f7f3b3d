// What the losses share: reductions, argument checks, and the second pass from partial sums to one number.

import { OptionError, ShapeError } from "../../errors.ts";
import { launch } from "../../gpu/program.ts";
import type { Grid } from "../../gpu/grid.ts";
import { sameShape, showShape, sizeOf } from "../../shape.ts";
import { empty, type Tensor } from "../../tensor.ts";

/** One number for all elements (their mean or sum), or one loss per element. */
export type Reduction = "mean" | "sum" | "none";

/** MODE of the gradient kernels. */
export const MODES: Readonly<Record<Reduction, number>> = { none: 0, sum: 1, mean: 2 };

const WG = 256; // threads of every loss kernel's workgroup
const PER_THREAD = 4;
const MAX_GROUPS = 1024; // enough to fill a large GPU, few enough for one workgroup to sum

/** Workgroups for a loss over `items` elements or pixels whose threads stride. */
export function stridedGrid(items: number): Grid {
  return [Math.min(MAX_GROUPS, Math.ceil(items / (WG * PER_THREAD))), 1, 1];
}

export interface Finished {
  /** The loss, shape []. */
  readonly y: Tensor;
  /** [4]: the four sums over everything. */
  readonly total: Tensor;
}

/** Sums `partials` [groups, 4] and makes the loss of them; `mode` as in loss_finish.wgsl. */
export function finish(partials: Tensor, mode: number): Finished {
  const y = empty([]);
  const total = empty([4]);
  launch("loss_finish", { consts: { MODE: mode }, buffers: { partials, total, y }, grid: [1, 1, 1] });
  return { y, total };
}

export function checkReduction(op: string, reduction: Reduction): void {
  if (!(reduction in MODES)) throw new OptionError(`${op}: reduction must be "mean", "sum" or "none", got ${JSON.stringify(reduction)}`);
}

export function checkFloat(op: string, name: string, t: Tensor): void {
  if (t.dtype !== "f32") throw new ShapeError(`${op}: ${name} must be f32, got ${t.dtype} ${showShape(t.shape)}`);
}

export function checkSame(op: string, x: Tensor, name: string, t: Tensor): void {
  checkFloat(op, name, t);
  if (!sameShape(x.shape, t.shape)) throw new ShapeError(`${op}: ${name} must have the shape of the prediction ${showShape(x.shape)}, got ${showShape(t.shape)}`);
}

/** [N, C, ...] as class count and pixels per plane. */
export interface ClassLayout {
  readonly classes: number;
  readonly plane: number;
}

export function classLayout(op: string, x: Tensor): ClassLayout {
  checkFloat(op, "the prediction", x);
  if (x.shape.length < 2) throw new ShapeError(`${op}: the prediction must be [N, C, ...], got ${showShape(x.shape)}`);
  return { classes: x.shape[1], plane: sizeOf(x.shape.slice(2)) };
}

/** Throws unless `labels` are whole numbers of shape [N, ...] for a prediction [N, C, ...]. */
export function checkLabels(op: string, x: Tensor, labels: Tensor): void {
  const wanted = [x.shape[0], ...x.shape.slice(2)];
  if (labels.dtype === "f32") throw new ShapeError(`${op}: labels must be i32 or u32 class numbers, got f32 ${showShape(labels.shape)}; make them with tensor(data, { dtype: "i32" })`);
  if (!sameShape(labels.shape, wanted)) {
    throw new ShapeError(`${op}: labels must be ${showShape(wanted)} for a prediction ${showShape(x.shape)}, got ${showShape(labels.shape)}`);
  }
}

/** Throws unless `weight` is absent or [C]. */
export function checkClassWeight(op: string, name: string, weight: Tensor | undefined, classes: number): void {
  if (!weight) return;
  checkFloat(op, name, weight);
  if (!sameShape(weight.shape, [classes])) throw new ShapeError(`${op}: ${name} must be [${classes}], one per class, got ${showShape(weight.shape)}`);
}
