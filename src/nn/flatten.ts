import { flatten } from "../kernels/layout.ts";
import type { Tensor } from "../tensor.ts";

/** [N, ...] to [N, the product of the rest]. */
export class Flatten {
  forward(x: Tensor): Tensor {
    return flatten(x, 1);
  }
}
