import { interpolate, type InterpolateOptions } from "../kernels/interpolate.ts";
import type { Tensor } from "../tensor.ts";

/** Resizes space by nearest neighbour or linearly. x: [N, C, H, W] or [N, C, D, H, W]. */
export class Upsample {
  readonly options: InterpolateOptions;

  constructor(options: InterpolateOptions) {
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }
}
