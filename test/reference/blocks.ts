// Blocks made of several operations, in float64.
import { type NdArray, generate } from "./array.ts";
import { relu, sigmoid } from "./elementwise.ts";
import { linear } from "./matmul.ts";
import { mean } from "./reduce.ts";

/**
 * Squeeze and excitation: x times sigmoid(w2 relu(w1 mean(x) + b1) + b2), one factor per (n, c). x: [N, C, ...];
 * w1: [C / r, C]; w2: [C, C / r]; biases may be absent. Hu et al. 2018, arXiv:1709.01507.
 */
export function seBlock(
  x: NdArray,
  w1: NdArray,
  b1: NdArray | undefined,
  w2: NdArray,
  b2: NdArray | undefined,
): NdArray {
  const squeezed = mean(x, { dims: x.shape.map((_, axis) => axis).slice(2) });
  const factor = sigmoid(linear(relu(linear(squeezed, w1, b1)), w2, b2));
  return generate(x.shape, ([n, c], i) => x.data[i] * factor.data[n * x.shape[1] + c]);
}
