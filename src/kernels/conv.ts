// Convolution in one, two and three dimensions, with its gradients.

import { record } from "../autograd.ts";
import { tell } from "../observe.ts";
import type { Tensor } from "../tensor.ts";
import { runBiasGrad, runForward, runInputGrad, runWeightGrad } from "./convRun.ts";
import { convShape, type ConvOptions } from "./convShape.ts";

/**
 * 1-d convolution (cross-correlation). `x`: [N, C, W], `w`: [out, C / groups, KW], `bias`: [out].
 * Returns [N, out, W'] with W' = floor((W + 2 * padding - dilation * (KW - 1) - 1) / stride) + 1.
 * Throws ShapeError where shapes do not fit, OptionError for an option outside its range.
 */
export function conv1d(x: Tensor, w: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return conv("conv1d", 1, x, w, bias, options);
}

/**
 * 2-d convolution (cross-correlation). `x`: [N, C, H, W], `w`: [out, C / groups, KH, KW], `bias`: [out].
 * Returns [N, out, H', W'] with H' = floor((H + 2 * padding - dilation * (KH - 1) - 1) / stride) + 1, W' likewise.
 * Options are numbers or [height, width]. Throws ShapeError where shapes do not fit,
 * OptionError for an option outside its range.
 */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return conv("conv2d", 2, x, w, bias, options);
}

/**
 * 3-d convolution (cross-correlation). `x`: [N, C, D, H, W], `w`: [out, C / groups, KD, KH, KW], `bias`: [out].
 * Returns [N, out, D', H', W'], sizes as for conv2d. Options are numbers or [depth, height, width].
 * Throws ShapeError where shapes do not fit, OptionError for an option outside its range.
 */
export function conv3d(x: Tensor, w: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return conv("conv3d", 3, x, w, bias, options);
}

function conv(op: string, dims: number, x: Tensor, w: Tensor, bias: Tensor | null, options: ConvOptions): Tensor {
  const s = convShape(op, dims, x, w, bias, options);
  const y = runForward(s, x, w, bias, [x.shape[0], w.shape[0], ...s.output.slice(3 - dims)]);
  tell("conv", [x, w, bias], y, { ...options });
  return record(y, bias ? [x, w, bias] : [x, w], (dy, needs) => [
    needs[0] ? runInputGrad(s, dy, w, null, x.shape) : null,
    needs[1] ? runWeightGrad(s, x, dy, w.shape) : null,
    needs[2] ? runBiasGrad(dy) : null,
  ]);
}
