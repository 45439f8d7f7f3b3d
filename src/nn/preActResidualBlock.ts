import { add } from "../kernels/binary.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { BatchNorm } from "./batchNorm.ts";
import { Conv2d } from "./conv.ts";
import { Sequential } from "./sequential.ts";

/** Settings of PreActResidualBlock. */
export interface PreActResidualBlockOptions {
  /** Of the first convolution and the shortcut. Default 1. */
  stride?: number;
  rng: Rng;
}

/**
 * A residual block whose norms and activations come first: BN-ReLU-conv3x3-BN-ReLU-conv3x3 plus conv3x3-BN of the
 * input. x: [N, CIN, H, W]; returns [N, COUT, H / stride, W / stride]. Source: Zhang et al. 2018 (arXiv:1711.10684),
 * as read by rishikksh20/ResUnet.
 */
export class PreActResidualBlock {
  readonly bn1: BatchNorm;
  readonly conv1: Conv2d;
  readonly bn2: BatchNorm;
  readonly conv2: Conv2d;
  readonly shortcut: Sequential;

  constructor(cin: number, cout: number, { stride = 1, rng }: PreActResidualBlockOptions) {
    this.bn1 = new BatchNorm(cin);
    this.conv1 = new Conv2d(cin, cout, { kernelSize: 3, stride, padding: 1, rng });
    this.bn2 = new BatchNorm(cout);
    this.conv2 = new Conv2d(cout, cout, { kernelSize: 3, padding: 1, rng });
    this.shortcut = new Sequential(
      new Conv2d(cin, cout, { kernelSize: 3, stride, padding: 1, rng }),
      new BatchNorm(cout),
    );
  }

  forward(x: Tensor): Tensor {
    const y = this.conv1.forward(this.bn1.forward(x, "relu"));
    return add(this.conv2.forward(this.bn2.forward(y, "relu")), this.shortcut.forward(x));
  }
}
