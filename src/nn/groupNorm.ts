import { groupNorm, type NormActivation } from "../kernels/norm.ts";
import { ones, zeros, type Tensor } from "../tensor.ts";

/** Settings of GroupNorm. */
export interface GroupNormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Learn a factor and an offset per channel. Default true. */
  affine?: boolean;
}

/** Group normalisation of x: [N, C, ...]: every sample by itself, C / groups channels together. */
export class GroupNorm {
  readonly groups: number;
  readonly weight: Tensor | null; // [C]
  readonly bias: Tensor | null; // [C]
  readonly eps: number;

  constructor(groups: number, channels: number, { eps = 1e-5, affine = true }: GroupNormLayerOptions = {}) {
    this.groups = groups;
    this.weight = affine ? ones([channels], { requiresGrad: true }) : null;
    this.bias = affine ? zeros([channels], { requiresGrad: true }) : null;
    this.eps = eps;
  }

  forward(x: Tensor, activation: NormActivation = "none"): Tensor {
    return groupNorm(x, this.groups, this.weight, this.bias, { eps: this.eps, activation });
  }
}
