// Binary cross entropy, of probabilities and of logits, and the focal loss made of it.

import { OptionError } from "../../errors.ts";
import type { Tensor } from "../../tensor.ts";
import { pairLoss } from "./pair.ts";
import type { Reduction } from "./reduction.ts";

/** Settings of bce(), and with posWeight of bceWithLogits(). */
export interface BceOptions {
  /** Weight of each element; broadcasts to the shape of the prediction. */
  readonly weight?: Tensor;
  /** Default "mean", which divides by the number of elements, whatever the weights. */
  readonly reduction?: Reduction;
}

/**
 * Binary cross entropy -(t log p + (1 - t) log(1 - p)) of probabilities, logarithms cut at -100.
 * `p`, `target`: one shape, f32, values in [0, 1]. Returns [] or, with reduction "none", the shape of `p`. No gradient
 * goes to the target.
 * Throws ShapeError when shapes differ or `weight` does not broadcast. Follows PyTorch, `binary_cross_entropy`.
 */
export function bce(p: Tensor, target: Tensor, { weight, reduction }: BceOptions = {}): Tensor {
  return pairLoss("bce", p, target, { weight, reduction });
}

/**
 * Binary cross entropy of sigmoid(x), stable for logits of any size.
 * `x`, `target`: one shape, f32. `posWeight` multiplies the positive term, for classes that are rare; it broadcasts, so
 * per channel it is [C, 1, 1]. Returns [] or, with reduction "none", the shape of `x`. No gradient goes to the target.
 * Throws ShapeError when shapes differ or a weight does not broadcast. Follows
 * PyTorch, `binary_cross_entropy_with_logits`.
 */
export function bceWithLogits(
  x: Tensor,
  target: Tensor,
  { weight, posWeight, reduction }: BceOptions & { readonly posWeight?: Tensor } = {},
): Tensor {
  return pairLoss("bceWithLogits", x, target, { weight, posWeight, reduction });
}

/** Settings of focal(). */
export interface FocalOptions {
  /** How strongly easy elements are played down; 0 is plain cross entropy. Default 2. */
  readonly gamma?: number;
  /** Weight of the positive class; 1 - alpha goes to the negative one. Default 0.25. */
  readonly alpha?: number;
  /** Default "mean". */
  readonly reduction?: Reduction;
}

/**
 * Binary focal loss of logits, alpha_t (1 - p_t)^gamma times the cross entropy.
 * `x`, `target`: one shape, f32. Returns [] or, with reduction "none", the shape of `x`.
 * Throws ShapeError when shapes differ, OptionError for a negative gamma or an alpha outside
 * [0, 1]. Lin et al. 2017, arXiv:1708.02002.
 */
export function focal(x: Tensor, target: Tensor, { gamma = 2, alpha = 0.25, reduction }: FocalOptions = {}): Tensor {
  if (!(gamma >= 0)) throw new OptionError(`focal: gamma must be at least 0, got ${gamma}`);
  if (!(alpha >= 0 && alpha <= 1)) throw new OptionError(`focal: alpha must lie in [0, 1], got ${alpha}`);
  return pairLoss("focal", x, target, { a: gamma, b: alpha, reduction });
}
