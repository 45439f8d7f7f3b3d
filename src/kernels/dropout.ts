// Dropout: zeros at random places while training.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import type { Rng } from "../random.ts";
import { showShape, sizeOf } from "../shape.ts";
import { emptyFrom, type Tensor } from "../tensor.ts";
import { vec4Grid } from "./broadcast.ts";
import { checkFloat } from "./checks.ts";
import { draw } from "./draw.ts";

/** Settings of dropout(), dropout2d() and dropout3d(). */
export interface DropoutOptions {
  /** Probability of a zero, in [0, 1]. Default 0.5. */
  p?: number;
  /** False: x is returned as it is. Default true. */
  training?: boolean;
  /** Where the random numbers come from; its position moves on. */
  rng: Rng;
}

/**
 * Zeros each element with probability `p` and multiplies the others by 1 / (1 - p). Any shape. Advances `rng` by one
 * per element. Throws OptionError unless 0 <= p <= 1. Srivastava et al. 2014, JMLR 15.
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  return drop("dropout", x, 1, options);
}

/**
 * Zeros whole channels of every sample, as dropout() does elements. x: [N, C, H, W]. Tompson et al. 2015,
 * arXiv:1411.4280.
 */
export function dropout2d(x: Tensor, options: DropoutOptions): Tensor {
  return dropChannels("dropout2d", x, 4, options);
}

/** Zeros whole channels of every sample, as dropout() does elements. x: [N, C, D, H, W]. */
export function dropout3d(x: Tensor, options: DropoutOptions): Tensor {
  return dropChannels("dropout3d", x, 5, options);
}

function dropChannels(op: string, x: Tensor, rank: number, options: DropoutOptions): Tensor {
  if (x.shape.length !== rank) throw new ShapeError(`${op}: x must have ${rank} dimensions, got ${showShape(x.shape)}`);
  return drop(op, x, sizeOf(x.shape.slice(2)), options);
}

/** `per` neighbouring elements live or die together. */
function drop(op: string, x: Tensor, per: number, { p = 0.5, training = true, rng }: DropoutOptions): Tensor {
  checkFloat(op, "x", x);
  if (!(p >= 0 && p <= 1)) throw new OptionError(`${op}: p must lie in [0, 1], got ${p}`);
  if (!training || p === 0) return x;
  const state = draw(rng, x.size / per, p, p === 1 ? 0 : 1 / (1 - p));
  // The gradient makes the mask again from the same draws.
  return record(mask(x, state, per), [x], (dy) => [mask(dy, state, per)]);
}

function mask(x: Tensor, state: Tensor, per: number): Tensor {
  const y = emptyFrom(x.shape, x);
  launch(wgsl.dropout, { consts: { PER: per }, buffers: { x, state, y }, grid: vec4Grid(x.size), flops: x.size });
  return y;
}
