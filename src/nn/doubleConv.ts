import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { BatchNorm } from "./batchNorm.ts";
import { Conv2d } from "./conv.ts";

/** conv3x3-BN-ReLU twice. x: [N, CIN, H, W]; returns [N, COUT, H, W]. */
export class DoubleConv {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm;

  constructor(cin: number, cout: number, { rng }: { rng: Rng }) {
    // The norms take out any constant, so that the convolutions need no bias.
    this.conv1 = new Conv2d(cin, cout, { kernelSize: 3, padding: 1, bias: false, rng });
    this.bn1 = new BatchNorm(cout);
    this.conv2 = new Conv2d(cout, cout, { kernelSize: 3, padding: 1, bias: false, rng });
    this.bn2 = new BatchNorm(cout);
  }

  forward(x: Tensor): Tensor {
    const y = this.bn1.forward(this.conv1.forward(x), "relu");
    return this.bn2.forward(this.conv2.forward(y), "relu");
  }
}
