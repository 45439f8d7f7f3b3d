// Batch, group and instance normalisation.
// They work on (n, c) planes in three passes: moments of slices of a plane, one workgroup per statistic that
// joins them, one scale and shift per plane. Their gradients have the same three passes.

import { record } from "../autograd.ts";
import { recomputing } from "../checkpoint.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid, type Grid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { sameShape, showShape, sizeOf, type Shape } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";
import { joinThreads, joinTree, planeSlices, type PlaneSlices } from "./planes.ts";

const WG = 64;

/** What follows the normalisation in the same pass. */
export type NormActivation = "none" | "relu";

/** Settings of batchNorm(). */
export interface BatchNormOptions {
  /** [C]; updated in place when training. Null: no running statistics, which needs `training`. */
  runningMean?: Tensor | null;
  /** [C]; updated in place when training, with the unbiased variance. */
  runningVar?: Tensor | null;
  /** True: the batch's own statistics; false: the running ones. */
  training: boolean;
  /** Weight of the batch in the running update. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** "relu" applies it in the same pass, forward and backward. Default "none". */
  activation?: NormActivation;
  /** Of the shape of `x`; added before the activation, in the same pass. Default null. */
  residual?: Tensor | null;
}

/**
 * Batch normalisation: y = (x - mean) / sqrt(var + eps) * weight + bias, moments per channel over batch and space.
 * `x`: [N, C, ...]. `weight`, `bias`: [C] or null. Returns the shape of `x`. In training the running statistics, if
 * given, are updated on the GPU: running = (1 - momentum) * running + momentum * batch.
 * Throws ShapeError for shapes that do not fit, or one value per channel in training, OptionError for bad options.
 * Source: Ioffe and Szegedy 2015, arXiv:1502.03167; rules of PyTorch's `batch_norm`.
 */
export function batchNorm(x: Tensor, weight: Tensor | null, bias: Tensor | null, options: BatchNormOptions): Tensor {
  const { training, eps = 1e-5, momentum = 0.1, runningMean = null, runningVar = null, activation = "none" } = options;
  const { residual = null } = options;
  const op = "batchNorm";
  checkPlanes(op, x, weight, bias, eps);
  checkRunning(x.shape[1], runningMean, runningVar, options);
  checkResidual(x, residual);
  const p = planesOf(x, activation);
  if (training && p.count * p.size === p.C) {
    throw new ShapeError(
      `${op}: training needs more than 1 value per channel, got x ${showShape(x.shape)}; ` +
        "use a larger batch or training: false",
    );
  }
  const partial = training ? moments(x, p) : empty([2]); // not read in evaluation
  const saved = empty([p.C, 4]);
  const track = training && runningMean !== null && !recomputing();
  const { WG, half } = joinTree(p.batchSlices);
  launch(wgsl.batch_norm_finalise, {
    consts: {
      LANES: p.lanes,
      EPS: eps,
      MOMENTUM: momentum,
      TRAINING: training,
      TRACK: track,
      HAS_WEIGHT: !!weight,
      HAS_BIAS: !!bias,
      WG,
    },
    immediates: { units: p.units, slices: p.T, channels: p.C, half },
    buffers: {
      partial,
      weight: weight ?? partial,
      bias: bias ?? partial,
      saved,
      running_mean: runningMean ?? empty([p.C]),
      running_var: runningVar ?? empty([p.C]),
    },
    grid: [p.C, 1, 1],
  });
  const y = apply(x, saved, p, residual);
  const settings = { training, eps, activation };
  tell(op, [x, weight, bias, runningMean, runningVar, residual], y, settings);
  const output = residual && p.RELU ? y.detach() : null; // where the ReLU let through
  return record(y, present(x, residual, weight, bias), (dy, needs) => {
    const sums = backwardSums(x, saved, dy, p, output);
    const coef = empty([p.C, 4]);
    const dweight = empty([p.C]);
    const dbias = empty([p.C]);
    launch(wgsl.batch_norm_backward_finalise, {
      consts: { TRAINING: training, WG },
      immediates: { size: p.size, slices: p.T, channels: p.C, half },
      buffers: { partial: sums, saved, coef, dweight, dbias },
      grid: [p.C, 1, 1],
    });
    const [dx, masked] = needs[0] || (needs[1] && output) ? backwardApply(x, saved, coef, dy, p, output) : [null, null];
    return [dx, ...(residual ? [masked ?? dy] : []), ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])];
  });
}

/** Settings of groupNorm() and instanceNorm(). */
export interface NormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** "relu" applies it in the same pass, forward and backward. Default "none". */
  activation?: NormActivation;
}

/**
 * Group normalisation: mean and variance over C / groups channels and all of space, for every sample by itself.
 * `x`: [N, C, ...]. `weight`, `bias`: [C] or null. Returns the shape of `x`.
 * Throws ShapeError unless `groups` divides C and the shapes fit. Source: Wu and He 2018, arXiv:1803.08494.
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: NormOptions = {},
): Tensor {
  return normGroups("groupNorm", x, groups, weight, bias, options);
}

/**
 * Instance normalisation: mean and variance over space per channel and sample, the same in training and evaluation.
 * `x`: [N, C, ...]. `weight`, `bias`: [C] or null. Returns the shape of `x`.
 * Throws ShapeError for shapes that do not fit, or one value per channel. Ulyanov et al. 2016, arXiv:1607.08022.
 */
export function instanceNorm(
  x: Tensor,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  options: NormOptions = {},
): Tensor {
  if (x.shape.length > 2 && sizeOf(x.shape.slice(2)) === 1) {
    throw new ShapeError(
      `instanceNorm: x must have more than 1 value per channel and sample, got ${showShape(x.shape)}`,
    );
  }
  return normGroups("instanceNorm", x, x.shape[1], weight, bias, options);
}

function normGroups(
  op: string,
  x: Tensor,
  groups: number,
  weight: Tensor | null,
  bias: Tensor | null,
  { eps = 1e-5, activation = "none" }: NormOptions,
): Tensor {
  checkPlanes(op, x, weight, bias, eps);
  const C = x.shape[1];
  if (!Number.isInteger(groups) || groups < 1 || C % groups !== 0) {
    throw new ShapeError(
      `${op}: groups must divide the channels, got ${groups} groups and ${C} channels (x ${showShape(x.shape)})`,
    );
  }
  const CG = C / groups;
  const p = planesOf(x, activation);
  const WG = joinThreads(CG * p.T);
  const grid = linearGrid(p.count / CG, 1);
  const partial = moments(x, p);
  const saved = empty([p.count, 4]);
  launch(wgsl.group_norm_finalise, {
    consts: { ...counts(p), C, CG, EPS: eps, HAS_WEIGHT: !!weight, HAS_BIAS: !!bias, WG },
    buffers: { partial, weight: weight ?? partial, bias: bias ?? partial, saved },
    grid,
  });
  const y = tell(op, [x, weight, bias], apply(x, saved, p), { groups, eps, activation });
  return record(y, present(x, weight, bias), (dy, needs) => {
    const sums = backwardSums(x, saved, dy, p);
    let dx: Tensor | null = null;
    if (needs[0]) {
      const coef = empty([p.count, 4]);
      launch(wgsl.group_norm_backward_finalise, {
        consts: { SIZE: p.size, T: p.T, CG, WG },
        buffers: { partial: sums, saved, coef },
        grid,
      });
      [dx] = backwardApply(x, saved, coef, dy, p);
    }
    if (!needs[1] && !needs[2]) return [dx];
    const dweight = empty([C]);
    const dbias = empty([C]);
    launch(wgsl.group_norm_affine_backward, {
      consts: { T: p.T, C, WG: joinThreads(p.batchSlices) },
      buffers: { partial: sums, saved, dweight, dbias },
      grid: [C, 1, 1],
    });
    return [dx, ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])];
  });
}

/** How the planes of one call are cut into slices. */
interface Planes extends PlaneSlices {
  /** N * C. */
  readonly count: number;
  readonly C: number;
  /** Slices of one channel in the whole batch. */
  readonly batchSlices: number;
  readonly grid: Grid;
  readonly RELU: boolean;
}

function planesOf(x: Tensor, activation: NormActivation): Planes {
  const [N, C, ...space] = x.shape;
  const slices = planeSlices(sizeOf(space));
  const grid = linearGrid(N * C * slices.T, WG);
  return { count: N * C, C, ...slices, batchSlices: N * slices.T, grid, RELU: activation === "relu" };
}

const counts = (p: Planes) => ({ LANES: p.lanes, UNITS: p.units, T: p.T });
const layout = (p: Planes) => ({ V: p.type, RELU: p.RELU, WG });
const sharing = (p: Planes) => ({ units: p.units, threads: p.T });

function moments(x: Tensor, p: Planes): Tensor {
  const partial = empty([p.count, p.T, 2]);
  launch(wgsl.norm_moments, {
    consts: { V: p.type, LANES: p.lanes, WG },
    immediates: sharing(p),
    buffers: { x, partial },
    grid: p.grid,
    flops: 5 * x.size,
  });
  return partial;
}

function apply(x: Tensor, saved: Tensor, p: Planes, residual: Tensor | null = null): Tensor {
  const y = emptyFrom(x.shape, x);
  launch(wgsl.norm_apply, {
    consts: { ...layout(p), RESIDUAL: residual !== null },
    immediates: sharing(p),
    buffers: { x, saved, residual: residual ?? x, y },
    grid: p.grid,
    flops: (residual ? 4 : 3) * x.size,
  });
  return y;
}

/** `output`: of the forward pass, where it added a residual before its ReLU. */
function backwardSums(x: Tensor, saved: Tensor, dy: Tensor, p: Planes, output: Tensor | null = null): Tensor {
  const partial = empty([p.count, p.T, 2]);
  launch(wgsl.norm_backward_sums, {
    consts: { ...layout(p), LANES: p.lanes, RESIDUAL: output !== null },
    immediates: sharing(p),
    buffers: { x, saved, dy, output: output ?? x, partial },
    grid: p.grid,
    flops: 4 * x.size,
  });
  return partial;
}

/** dx, and where `output` is given the gradient of what was added. */
function backwardApply(
  x: Tensor,
  saved: Tensor,
  coef: Tensor,
  dy: Tensor,
  p: Planes,
  output: Tensor | null = null,
): [Tensor, Tensor | null] {
  const dx = empty(x.shape, x.dtype);
  const dresidual = output ? empty(x.shape, x.dtype) : empty([4]);
  launch(wgsl.norm_backward_apply, {
    consts: { ...layout(p), RESIDUAL: output !== null },
    immediates: sharing(p),
    buffers: { x, saved, coef, dy, output: output ?? x, dx, dresidual },
    grid: p.grid,
    flops: 5 * x.size,
  });
  return [dx, output && dresidual];
}

/** Those that are not null. */
export const present = (...list: (Tensor | null)[]): Tensor[] => list.filter((t) => t !== null);

function checkPlanes(op: string, x: Tensor, weight: Tensor | null, bias: Tensor | null, eps: number): void {
  checkFloat(op, "x", x);
  if (x.shape.length < 2)
    throw new ShapeError(`${op}: x must have at least 2 dimensions [N, C, ...], got ${showShape(x.shape)}`);
  checkVector(op, "weight", weight, [x.shape[1]], x);
  checkVector(op, "bias", bias, [x.shape[1]], x);
  checkEps(op, eps);
}

export function checkVector(op: string, name: string, t: Tensor | null, shape: Shape, x: Tensor): void {
  if (t && !sameShape(t.shape, shape))
    throw new ShapeError(
      `${op}: ${name} must have shape ${showShape(shape)} for x ${showShape(x.shape)}, got ${showShape(t.shape)}`,
    );
}

export function checkEps(op: string, eps: number): void {
  if (!(eps > 0 && eps < 1)) throw new OptionError(`${op}: eps must lie between 0 and 1, got ${eps}`);
}

function checkResidual(x: Tensor, residual: Tensor | null): void {
  if (!residual) return;
  checkFloat("batchNorm", "residual", residual);
  if (!sameShape(residual.shape, x.shape))
    throw new ShapeError(
      `batchNorm: residual must have the shape of x ${showShape(x.shape)}, got ${showShape(residual.shape)}`,
    );
}

function checkRunning(
  C: number,
  mean: Tensor | null,
  variance: Tensor | null,
  { training, momentum = 0.1 }: BatchNormOptions,
): void {
  if ((mean === null) !== (variance === null))
    throw new OptionError("batchNorm: runningMean and runningVar must be given together");
  if (!training && !mean) throw new OptionError("batchNorm: without training it needs runningMean and runningVar");
  for (const [name, t] of [
    ["runningMean", mean],
    ["runningVar", variance],
  ] as const) {
    if (t && !sameShape(t.shape, [C]))
      throw new ShapeError(`batchNorm: ${name} must have shape [${C}], got ${showShape(t.shape)}`);
  }
  if (!(momentum >= 0 && momentum <= 1))
    throw new OptionError(`batchNorm: momentum must lie between 0 and 1, got ${momentum}`);
}
