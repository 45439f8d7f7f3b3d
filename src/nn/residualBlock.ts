import { add } from "../kernels/binary.ts";
import { relu } from "../kernels/unary.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { BatchNorm } from "./batchNorm.ts";
import { Conv2d } from "./conv.ts";
import { Dropout2d } from "./dropout.ts";
import { Sequential } from "./sequential.ts";
import { SqueezeExcitation } from "./squeezeExcitation.ts";

/** Settings of ResidualBlock. */
export interface ResidualBlockOptions {
  /** Probability of dropping a channel between the convolutions. Default 0: no dropout. */
  dropout?: number;
  /** Dilation of the first and the second convolution. Default [1, 1]. */
  dilation?: readonly [number, number];
  /** Squeeze and excitation on the residual branch: channels per hidden unit. Default 0: none. */
  squeeze?: number;
  rng: Rng;
}

/**
 * The basic residual block: relu(shortcut(x) + SE(BN(conv3x3(relu(dropout(BN(conv3x3(x)))))))); the shortcut is the
 * identity, or conv1x1-BN when the channels change. x: [N, CIN, H, W]; returns [N, COUT, H, W]. Source: He et al.
 * 2016, arXiv:1512.03385.
 */
export class ResidualBlock {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm;
  readonly dropout: Dropout2d | null;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm;
  readonly se: SqueezeExcitation | null;
  readonly shortcut: Sequential | null;

  constructor(
    cin: number,
    cout: number,
    { dropout = 0, dilation: [d1, d2] = [1, 1], squeeze = 0, rng }: ResidualBlockOptions,
  ) {
    this.conv1 = new Conv2d(cin, cout, { kernelSize: 3, padding: d1, dilation: d1, bias: false, rng });
    this.bn1 = new BatchNorm(cout);
    this.dropout = dropout > 0 ? new Dropout2d(dropout, { rng }) : null;
    this.conv2 = new Conv2d(cout, cout, { kernelSize: 3, padding: d2, dilation: d2, bias: false, rng });
    this.bn2 = new BatchNorm(cout);
    this.se = squeeze > 0 ? new SqueezeExcitation(cout, { reduction: squeeze, rng }) : null;
    this.shortcut =
      cin === cout
        ? null
        : new Sequential(new Conv2d(cin, cout, { kernelSize: 1, bias: false, rng }), new BatchNorm(cout));
  }

  forward(x: Tensor): Tensor {
    // The factors of dropout are not negative, so a ReLU before it equals one after it and joins the norm's pass.
    let y = this.bn1.forward(this.conv1.forward(x), "relu");
    if (this.dropout) y = this.dropout.forward(y);
    y = this.conv2.forward(y);
    const skipped = this.shortcut ? this.shortcut.forward(x) : x;
    if (!this.se) return this.bn2.forward(y, "relu", skipped);
    return relu(add(this.se.forward(this.bn2.forward(y)), skipped));
  }
}
