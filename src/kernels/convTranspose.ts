// Transposed convolution: the input gradient of a convolution, used as an operation of its own.

import { record } from "../autograd.ts";
import { tell } from "../observe.ts";
import type { Tensor } from "../tensor.ts";
import { runBiasGrad, runForward, runInputGrad, runWeightGrad } from "./convRun.ts";
import { convTransposeShape, type ConvTransposeOptions } from "./convShape.ts";

/**
 * 1-d transposed convolution. `x`: [N, C, W], `w`: [C, out / groups, KW], `bias`: [out]. Returns [N, out, W'] with
 * W' = (W - 1) * stride - 2 * padding + dilation * (KW - 1) + outputPadding + 1.
 * Throws ShapeError where shapes do not fit, OptionError for an option outside its range.
 */
export function convTranspose1d(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return convTranspose("convTranspose1d", 1, x, w, bias, options);
}

/**
 * 2-d transposed convolution. `x`: [N, C, H, W], `w`: [C, out / groups, KH, KW], `bias`: [out]. Returns [N, out, H',
 * W'] with H' = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + outputPadding + 1, W' likewise.
 * Options are numbers or [height, width]. Throws ShapeError where shapes do not fit,
 * OptionError for an option outside its range.
 */
export function convTranspose2d(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return convTranspose("convTranspose2d", 2, x, w, bias, options);
}

/**
 * 3-d transposed convolution. `x`: [N, C, D, H, W], `w`: [C, out / groups, KD, KH, KW], `bias`: [out].
 * Returns [N, out, D', H', W'], sizes as for convTranspose2d. Options are numbers or [depth, height, width].
 * Throws ShapeError where shapes do not fit, OptionError for an option outside its range.
 */
export function convTranspose3d(
  x: Tensor,
  w: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return convTranspose("convTranspose3d", 3, x, w, bias, options);
}

function convTranspose(
  op: string,
  dims: number,
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  options: ConvTransposeOptions,
): Tensor {
  const s = convTransposeShape(op, dims, x, w, bias, options);
  const y = runInputGrad(s, x, w, bias, [x.shape[0], s.groups * s.cin, ...s.input.slice(3 - dims)]);
  tell("convTranspose", [x, w, bias], y, { ...options });
  // The roles of input and output are swapped: dx is a convolution of dy, and dw
  // takes dy as the input and x as the gradient.
  return record(y, bias ? [x, w, bias] : [x, w], (dy, needs) => [
    needs[0] ? runForward(s, dy, w, null, x.shape) : null,
    needs[1] ? runWeightGrad(s, dy, x, w.shape) : null,
    needs[2] ? runBiasGrad(dy) : null,
  ]);
}
