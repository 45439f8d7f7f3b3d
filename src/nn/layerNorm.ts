import { layerNorm } from "../kernels/layerNorm.ts";
import type { Shape } from "../shape.ts";
import { ones, zeros, type Tensor } from "../tensor.ts";

/**
 * Layer normalisation of the trailing dimensions `shape` of x, with a learned factor and offset per element of them.
 */
export class LayerNorm {
  readonly weight: Tensor; // shape
  readonly bias: Tensor; // shape
  readonly shape: Shape;
  readonly eps: number;

  constructor(shape: number | Shape, { eps = 1e-5 }: { eps?: number } = {}) {
    this.shape = typeof shape === "number" ? [shape] : [...shape];
    this.weight = ones(this.shape, { requiresGrad: true });
    this.bias = zeros(this.shape, { requiresGrad: true });
    this.eps = eps;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.shape, this.weight, this.bias, { eps: this.eps });
  }
}
