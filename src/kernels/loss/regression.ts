// Losses of differences.

import { OptionError } from "../../errors.ts";
import type { Tensor } from "../../tensor.ts";
import { pairLoss } from "./pair.ts";
import type { Reduction } from "./reduction.ts";

/** Settings of mse(), l1() and smoothL1(). */
export interface RegressionOptions {
  /** Default "mean". */
  readonly reduction?: Reduction;
}

/**
 * Squared error (x - target)^2. Gradients go to both. `x`, `target`: one shape, f32. Returns [] or, with reduction
 * "none", their shape.
 * Throws ShapeError when shapes differ. Follows PyTorch, `mse_loss`.
 */
export function mse(x: Tensor, target: Tensor, { reduction }: RegressionOptions = {}): Tensor {
  return pairLoss("mse", x, target, { reduction, symmetric: true });
}

/**
 * Absolute error |x - target|, slope 0 where they are equal. Gradients go to both. `x`, `target`: one shape, f32.
 * Returns [] or, with reduction "none", their shape. Throws ShapeError when shapes differ. Follows PyTorch, `l1_loss`.
 */
export function l1(x: Tensor, target: Tensor, { reduction }: RegressionOptions = {}): Tensor {
  return pairLoss("l1", x, target, { reduction, symmetric: true });
}

/**
 * Squared error / (2 beta) within `beta` (default 1), absolute error - beta / 2 beyond. Gradients go to both. `x`,
 * `target`: one shape, f32. Returns [] or, with reduction "none", their shape. Throws ShapeError when shapes differ,
 * OptionError when beta is negative.
 * Follows PyTorch, `smooth_l1_loss`; Girshick 2015, arXiv:1504.08083.
 */
export function smoothL1(
  x: Tensor,
  target: Tensor,
  { beta = 1, reduction }: RegressionOptions & { readonly beta?: number } = {},
): Tensor {
  if (!(beta >= 0)) throw new OptionError(`smoothL1: beta must be at least 0, got ${beta}`);
  return pairLoss("smoothL1", x, target, { reduction, a: beta, symmetric: true });
}
