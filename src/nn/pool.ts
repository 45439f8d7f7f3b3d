import {
  avgPool2d,
  avgPool3d,
  globalAvgPool,
  maxPool2d,
  maxPool3d,
  type AvgPoolOptions,
  type MaxPoolOptions,
} from "../kernels/pool.ts";
import type { Tensor } from "../tensor.ts";

/** The largest value of each window. x: [N, C, H, W]. */
export class MaxPool2d {
  readonly options: MaxPoolOptions;

  constructor(options: MaxPoolOptions) {
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.options);
  }
}

/** The largest value of each window. x: [N, C, D, H, W]. */
export class MaxPool3d {
  readonly options: MaxPoolOptions;

  constructor(options: MaxPoolOptions) {
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return maxPool3d(x, this.options);
  }
}

/** The mean of each window. x: [N, C, H, W]. */
export class AvgPool2d {
  readonly options: AvgPoolOptions;

  constructor(options: AvgPoolOptions) {
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.options);
  }
}

/** The mean of each window. x: [N, C, D, H, W]. */
export class AvgPool3d {
  readonly options: AvgPoolOptions;

  constructor(options: AvgPoolOptions) {
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return avgPool3d(x, this.options);
  }
}

/** The mean of each channel: [N, C, ...] to [N, C, 1, ...]. */
export class GlobalAvgPool {
  forward(x: Tensor): Tensor {
    return globalAvgPool(x);
  }
}
