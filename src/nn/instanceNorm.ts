import { instanceNorm, type NormActivation } from "../kernels/norm.ts";
import { ones, zeros, type Tensor } from "../tensor.ts";

/** Settings of InstanceNorm. */
export interface InstanceNormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Learn a factor and an offset per channel. Default false, as in PyTorch. */
  affine?: boolean;
}

/**
 * Instance normalisation of x: [N, C, ...]: every channel of every sample by itself, in training and evaluation alike.
 */
export class InstanceNorm {
  readonly weight: Tensor | null; // [C]
  readonly bias: Tensor | null; // [C]
  readonly eps: number;

  constructor(channels: number, { eps = 1e-5, affine = false }: InstanceNormLayerOptions = {}) {
    this.weight = affine ? ones([channels], { requiresGrad: true }) : null;
    this.bias = affine ? zeros([channels], { requiresGrad: true }) : null;
    this.eps = eps;
  }

  forward(x: Tensor, activation: NormActivation = "none"): Tensor {
    return instanceNorm(x, this.weight, this.bias, { eps: this.eps, activation });
  }
}

export { InstanceNorm as InstanceNorm1d, InstanceNorm as InstanceNorm2d, InstanceNorm as InstanceNorm3d };
