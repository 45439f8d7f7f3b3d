import { add } from "../../kernels/binary.ts";
import { concat } from "../../kernels/layout.ts";
import type { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { ReLU } from "../activation.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { PreActResidualBlock } from "../preActResidualBlock.ts";
import { Sequential } from "../sequential.ts";
import { checkInput, type SegmentationOptions } from "./input.ts";
import { runBlock } from "./levels.ts";

/** Settings of DeepResUNet. */
export interface DeepResUNetOptions extends SegmentationOptions {
  /** Blocks of stride 2, the bridge included. Default 3. */
  depth?: number;
  rng: Rng;
}

interface DecoderStage {
  readonly up: ConvTranspose2d;
  readonly block: PreActResidualBlock;
}

/**
 * Deep residual U-Net: pre-activation blocks, stride 2 instead of pooling, widths 1, 2, 4, ... times `width`. x: [N,
 * inChannels, H, W], H and W divisible by 2^depth; returns logits [N, classes, H, W] (the source ends in a sigmoid).
 * Throws ShapeError for other inputs.
 * Source: Zhang et al. 2018, arXiv:1711.10684, as read by rishikksh20/ResUnet.
 */
export class DeepResUNet {
  readonly stem: Sequential;
  readonly stemShortcut: Conv2d;
  readonly encoder: readonly PreActResidualBlock[]; // the last one is the bridge
  readonly decoder: readonly DecoderStage[];
  readonly head: Conv2d;
  readonly inChannels: number;
  readonly recompute: boolean;

  /** The 1x1 convolution that gives the logits. */
  get classifier(): Conv2d {
    return this.head;
  }

  constructor({ inChannels, classes, width = 64, depth = 3, recompute = false, rng }: DeepResUNetOptions) {
    const steps = Array.from({ length: depth }, (_, i) => width * 2 ** i);
    const conv3 = (cin: number, cout: number) => new Conv2d(cin, cout, { kernelSize: 3, padding: 1, rng });
    this.inChannels = inChannels;
    this.recompute = recompute;
    this.stem = new Sequential(conv3(inChannels, width), new BatchNorm(width), new ReLU(), conv3(width, width));
    this.stemShortcut = conv3(inChannels, width);
    this.encoder = steps.map((w) => new PreActResidualBlock(w, 2 * w, { stride: 2, rng }));
    this.decoder = steps.reverse().map((w) => ({
      up: new ConvTranspose2d(2 * w, 2 * w, { kernelSize: 2, stride: 2, rng }),
      block: new PreActResidualBlock(3 * w, w, { rng }),
    }));
    this.head = new Conv2d(width, classes, { kernelSize: 1, rng });
  }

  forward(x: Tensor): Tensor {
    checkInput("DeepResUNet", x, this.inChannels, 2 ** this.encoder.length);
    let y = add(this.stem.forward(x), this.stemShortcut.forward(x));
    const skips: Tensor[] = [];
    for (const block of this.encoder) {
      skips.push(y);
      y = runBlock(block, y, this.recompute);
    }
    for (const { up, block } of this.decoder) {
      y = runBlock(block, concat([up.forward(y), skips.pop()!], 1), this.recompute);
    }
    return this.head.forward(y);
  }
}
