import { batchNorm, type NormActivation } from "../kernels/norm.ts";
import { ones, zeros, type Tensor } from "../tensor.ts";

/** Settings of BatchNorm. */
export interface BatchNormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Weight of the batch in the running update. Default 0.1. */
  momentum?: number;
}

/**
 * Batch normalisation of x: [N, C, ...], any number of spatial axes. While `training`, by the batch's statistics,
 * which also move the running ones; otherwise by the running ones. `forward(x, "relu")` applies a ReLU in the same
 * pass, and `forward(x, "relu", residual)` adds a tensor before it.
 */
export class BatchNorm {
  readonly weight: Tensor; // [C]
  readonly bias: Tensor; // [C]
  readonly runningMean: Tensor; // [C]
  readonly runningVar: Tensor; // [C]
  readonly eps: number;
  readonly momentum: number;
  training = true;

  constructor(channels: number, { eps = 1e-5, momentum = 0.1 }: BatchNormLayerOptions = {}) {
    this.weight = ones([channels], { requiresGrad: true });
    this.bias = zeros([channels], { requiresGrad: true });
    this.runningMean = zeros([channels]);
    this.runningVar = ones([channels]);
    this.eps = eps;
    this.momentum = momentum;
  }

  forward(x: Tensor, activation: NormActivation = "none", residual: Tensor | null = null): Tensor {
    const { weight, bias, runningMean, runningVar, training, eps, momentum } = this;
    return batchNorm(x, weight, bias, { runningMean, runningVar, training, eps, momentum, activation, residual });
  }
}

export { BatchNorm as BatchNorm1d, BatchNorm as BatchNorm2d, BatchNorm as BatchNorm3d };
