import { concat } from "../../kernels/layout.ts";
import { maxPool2d } from "../../kernels/pool.ts";
import { sigmoid } from "../../kernels/unary.ts";
import type { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { Dropout2d } from "../dropout.ts";
import { checkInput } from "./input.ts";

export interface DiscriminatorOptions {
  /** Channels of the image and classes of the segmentation together. */
  inChannels: number;
  /** Channels of the first level; they double at every level down. Default 32. */
  width?: number;
  /** Times the size is halved. Default 4, five levels. */
  depth?: number;
  /** Probability of dropping a channel at each level of the encoder. Default 0.3. */
  dropout?: number;
  rng: Rng;
}

/** conv3x3-BN-dropout-ReLU. */
class Stage {
  readonly conv: Conv2d;
  readonly bn: BatchNorm;
  readonly dropout: Dropout2d | null;

  constructor(cin: number, cout: number, { dropout = 0, rng }: { dropout?: number; rng: Rng }) {
    this.conv = new Conv2d(cin, cout, { kernelSize: 3, padding: 1, bias: false, rng });
    this.bn = new BatchNorm(cout);
    this.dropout = dropout > 0 ? new Dropout2d(dropout, { rng }) : null;
  }

  forward(x: Tensor): Tensor {
    // The factors of dropout are not negative, so a ReLU before it equals one after it and joins the norm's pass.
    const y = this.bn.forward(this.conv.forward(x), "relu");
    return this.dropout ? this.dropout.forward(y) : y;
  }
}

interface DecoderStage {
  readonly up: ConvTranspose2d;
  readonly block: Stage;
}

/**
 * The discriminator of MSALDS-UNet: a U-Net with one convolution per level that says of every pixel whether the
 * segmentation there is a label or a prediction. x: [N, inChannels, H, W], the image and then one channel per class, H
 * and W divisible by 2^depth; returns logits [N, 1, H, W], above 0 for "a label". Throws ShapeError for other inputs.
 * Sources: Zheng et al., "Multi-Scale Adversarial Learning and Difficult Supervision for Kidney and Kidney Tumor
 * Segmentation Methods", section 2.2, and the authors' code for what the text leaves open; confidence maps after Hung
 * et al. 2018, arXiv:1802.07934.
 */
export class Discriminator {
  readonly encoder: readonly Stage[]; // the last one is the bottleneck
  readonly decoder: readonly DecoderStage[];
  readonly head: Conv2d;
  readonly inChannels: number;

  constructor({ inChannels, width = 32, depth = 4, dropout = 0.3, rng }: DiscriminatorOptions) {
    const widths = Array.from({ length: depth + 1 }, (_, i) => width * 2 ** i);
    this.inChannels = inChannels;
    this.encoder = widths.map((w, i) => new Stage(i === 0 ? inChannels : widths[i - 1], w, { dropout, rng }));
    this.decoder = widths
      .slice(1)
      .reverse()
      .map((w) => ({
        up: new ConvTranspose2d(w, w / 2, { kernelSize: 4, stride: 2, padding: 1, rng }),
        block: new Stage(w, w / 2, { rng }),
      }));
    this.head = new Conv2d(width, 1, { kernelSize: 1, rng });
  }

  forward(x: Tensor): Tensor {
    checkInput("Discriminator", x, this.inChannels, 2 ** this.decoder.length);
    const skips: Tensor[] = [];
    let y = x;
    for (const [level, stage] of this.encoder.entries()) {
      y = stage.forward(level === 0 ? y : maxPool2d(y, { kernelSize: 2 }));
      skips.push(y);
    }
    skips.pop();
    for (const { up, block } of this.decoder) y = block.forward(concat([up.forward(y), skips.pop()!], 1));
    return this.head.forward(y);
  }

  /** The confidence map of x, sigmoid(forward(x)): [N, 1, H, W] in (0, 1), 1 for "a label". */
  confidence(x: Tensor): Tensor {
    return sigmoid(this.forward(x));
  }
}
