// Reductions over any set of dimensions: sum, mean, variance, extremes, norms.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell, type Settings } from "../observe.ts";
import { normalDim, sizeOf, type Shape } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { callBinary, expand, scalar, view } from "./broadcast.ts";
import { checkFloat } from "./checks.ts";
import { callReduce, reshaped } from "./reduction.ts";
import { exp, log, sqrt } from "./unary.ts";

/** Settings of reductions. */
export interface ReduceOptions {
  /** The dimension or dimensions to reduce, negative ones counted from the back. Default: all. */
  dims?: number | readonly number[];
  /** Keep reduced dimensions with size 1. Default false. */
  keepDim?: boolean;
}

interface Plan {
  readonly dims: readonly number[];
  readonly reduced: readonly boolean[];
  /** The result with reduced dimensions of size 1. */
  readonly kept: Shape;
  /** The shape asked for. */
  readonly shape: Shape;
  /** Numbers per result. */
  readonly count: number;
}

function plan(op: string, x: Tensor, { dims, keepDim = false }: ReduceOptions): Plan {
  checkFloat(op, "x", x);
  const rank = x.shape.length;
  const list = dims === undefined ? x.shape.map((_, axis) => axis) : [dims].flat().map((d) => normalDim(op, d, rank));
  if (new Set(list).size < list.length) {
    throw new ShapeError(`${op}: dims must name each dimension once, got [${[dims].flat().join(", ")}]`);
  }
  const reduced = x.shape.map((_, axis) => list.includes(axis));
  const kept = x.shape.map((n, axis) => (reduced[axis] ? 1 : n));
  const shape = keepDim ? kept : x.shape.filter((_, axis) => !reduced[axis]);
  return { dims: list, reduced, kept, shape, count: sizeOf(x.shape) / sizeOf(kept) };
}

function told(op: string, x: Tensor, { dims, shape }: Plan, y: Tensor, settings: Settings = {}): Tensor {
  return tell(op, [x], y, { dims, keepDim: shape.length === x.shape.length, ...settings });
}

/** The sum over `dims`. Any shape. Throws ShapeError for a dimension that is not there. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  const p = plan("sum", x, options);
  const y = told("sum", x, p, reshaped(callReduce("sum", x, p.reduced), p.shape));
  return record(y, [x], (dy) => [expand(view(dy, p.kept), x.shape)]);
}

/** The mean over `dims`. Any shape. Throws ShapeError for a dimension that is not there. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const p = plan("mean", x, options);
  const y = told("mean", x, p, reshaped(callReduce("sum", x, p.reduced, { scale: 1 / p.count }), p.shape));
  return record(y, [x], (dy) => [expand(view(dy, p.kept), x.shape, 1 / p.count)]);
}

/**
 * The variance over `dims`: the sum of squared differences from the mean, over count - `correction` (1, the default,
 * for a sample; 0 for a population). Any shape. Throws OptionError unless there are more numbers than `correction`.
 */
export function variance(x: Tensor, options: ReduceOptions & { correction?: number } = {}): Tensor {
  const p = plan("variance", x, options);
  const { correction = 1 } = options;
  if (!(p.count > correction)) {
    throw new OptionError(`variance: correction must be below the ${p.count} numbers per result, got ${correction}`);
  }
  const scale = 1 / (p.count - correction);
  const centre = callReduce("sum", x, p.reduced, { scale: 1 / p.count });
  const d = callBinary("sub", view(x), view(centre), x.shape);
  const y = reshaped(callReduce("sum", d, p.reduced, { square: true, scale }), p.shape);
  told("variance", x, p, y, { scale });
  return record(y, [x], (dy) => {
    const twice = expand(view(dy), dy.shape, 2 * scale);
    return [callBinary("mul", view(d), view(twice, p.kept), x.shape)];
  });
}

/**
 * The largest number over `dims`; equal ones share the gradient evenly. Any shape. Throws ShapeError for a dimension
 * that is not there.
 */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extremum("max", x, options);
}

/**
 * The smallest number over `dims`; equal ones share the gradient evenly. Any shape. Throws ShapeError for a dimension
 * that is not there.
 */
export function min(x: Tensor, options: ReduceOptions = {}): Tensor {
  return extremum("min", x, options);
}

function extremum(op: "max" | "min", x: Tensor, options: ReduceOptions): Tensor {
  const p = plan(op, x, options);
  const y = told(op, x, p, reshaped(callReduce(op, x, p.reduced), p.shape));
  return record(y, [x], (dy) => {
    const mask = callBinary("equal", view(x), view(y, p.kept), x.shape);
    const count = callReduce("sum", mask, p.reduced);
    const share = callBinary("div", view(dy, p.kept), view(count), p.kept);
    return [callBinary("mul", view(mask), view(share), x.shape)];
  });
}

/**
 * log of the sum of exp(x) over `dims`, without overflow. Any shape. Throws ShapeError for a dimension that is not
 * there.
 */
export function logSumExp(x: Tensor, options: ReduceOptions = {}): Tensor {
  const p = plan("logSumExp", x, options);
  const top = callReduce("max", x, p.reduced);
  const total = callReduce("sum", exp(callBinary("sub", view(x), view(top), x.shape)), p.reduced);
  const y = told("logSumExp", x, p, reshaped(callBinary("add", view(top), view(log(total)), p.kept), p.shape));
  return record(y, [x], (dy) => {
    const share = exp(callBinary("sub", view(x), view(y, p.kept), x.shape));
    return [callBinary("mul", view(share), view(dy, p.kept), x.shape)];
  });
}

const TINY = 1e-20; // its square is 0 in float32, so smaller norms do not occur but 0 does

/**
 * The Euclidean norm over `dims`; the gradient of a zero norm is 0. Any shape. Throws ShapeError for a dimension that
 * is not there.
 */
export function norm(x: Tensor, options: ReduceOptions = {}): Tensor {
  const p = plan("norm", x, options);
  const y = told("norm", x, p, sqrt(reshaped(callReduce("sum", x, p.reduced, { square: true }), p.shape)));
  return record(y, [x], (dy) => {
    const safe = callBinary("maximum", view(y), view(scalar(TINY)), y.shape);
    const share = callBinary("div", view(dy), view(safe), y.shape);
    return [callBinary("mul", view(x), view(share, p.kept), x.shape)];
  });
}

/**
 * The place of the largest number along `dim`, as i32 without a gradient; the first of equal ones. Default: over all
 * elements, in row-major order. Throws ShapeError for a dimension that is not there.
 */
export function argmax(x: Tensor, { dim, keepDim = false }: { dim?: number; keepDim?: boolean } = {}): Tensor {
  const p = plan("argmax", x, { dims: dim, keepDim });
  const axis = dim === undefined ? 0 : normalDim("argmax", dim, x.shape.length);
  const inner = dim === undefined ? 1 : sizeOf(x.shape.slice(axis + 1));
  const y = empty(p.shape, "i32");
  // Threads that share a line read neighbours only where the line is contiguous.
  const lanes = p.count >= 64 && (inner === 1 || y.size < 4096) ? 64 : 1;
  const consts = { LANES: lanes, R: p.count, INNER: inner };
  told("argmax", x, p, y, { all: dim === undefined });
  launch(wgsl.argmax, { consts, buffers: { x, y }, grid: linearGrid(y.size, 64 / lanes), flops: x.size });
  return y;
}
