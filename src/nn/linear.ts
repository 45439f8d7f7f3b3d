import { linear } from "../kernels/matmul.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { defaultWeights } from "./init.ts";

/** Settings of Linear. */
export interface LinearLayerOptions {
  /** Default true. */
  bias?: boolean;
  rng: Rng;
}

/** x w^T + b. x: [..., IN]; returns [..., OUT]. */
export class Linear {
  readonly weight: Tensor; // [OUT, IN]
  readonly bias: Tensor | null; // [OUT]

  constructor(inputs: number, outputs: number, { bias = true, rng }: LinearLayerOptions) {
    ({ weight: this.weight, bias: this.bias } = defaultWeights([outputs, inputs], bias ? outputs : 0, rng));
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}
