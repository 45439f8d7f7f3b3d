import { add, mul } from "../kernels/binary.ts";
import { relu } from "../kernels/unary.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { Sigmoid } from "./activation.ts";
import { BatchNorm } from "./batchNorm.ts";
import { Conv2d } from "./conv.ts";
import { Sequential } from "./sequential.ts";

/**
 * Weighs every pixel of the skipped features by how well they agree with the decoder's: x * psi(relu(W_g g + W_x
 * x)), each a conv1x1-BN, psi with a sigmoid. g, x: [N, CG, H, W], [N, CX, H, W] of equal size; returns the shape of x.
 * Source: Oktay et al. 2018, arXiv:1804.03999, in the form of LeeJunHyun/Image_Segmentation, whose parameter names
 * are kept.
 */
export class AttentionGate {
  readonly W_g: Sequential;
  readonly W_x: Sequential;
  readonly psi: Sequential;

  constructor(gateChannels: number, skipChannels: number, hidden: number, { rng }: { rng: Rng }) {
    this.W_g = new Sequential(new Conv2d(gateChannels, hidden, { kernelSize: 1, rng }), new BatchNorm(hidden));
    this.W_x = new Sequential(new Conv2d(skipChannels, hidden, { kernelSize: 1, rng }), new BatchNorm(hidden));
    this.psi = new Sequential(new Conv2d(hidden, 1, { kernelSize: 1, rng }), new BatchNorm(1), new Sigmoid());
  }

  forward(g: Tensor, x: Tensor): Tensor {
    return mul(x, this.psi.forward(relu(add(this.W_g.forward(g), this.W_x.forward(x)))));
  }
}
