import type { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { ReLU } from "../activation.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { ResidualBlock } from "../residualBlock.ts";
import { Sequential } from "../sequential.ts";
import { checkInput, type SegmentationOptions } from "./input.ts";
import { decoderLevels } from "./levels.ts";

/** Settings of ResUNet. */
export interface ResUNetOptions extends SegmentationOptions {
  /** Levels above the bottleneck. Default 4. */
  depth?: number;
  /** Probability of dropping a channel inside each block. Default 0.3. */
  dropout?: number;
  rng: Rng;
}

interface DecoderStage {
  readonly up: ConvTranspose2d;
  readonly block: ResidualBlock;
}

/**
 * U-Net of residual blocks: the generator of MSALDS-UNet without squeeze-excitation, dilation and discriminators. x:
 * [N, inChannels, H, W], H and W divisible by 2^depth; returns logits [N, classes, H, W]. Throws ShapeError for
 * other inputs.
 * Sources: Xiao et al. 2018 (Res-UNet), He et al. 2016 (the block), Ronneberger et al. 2015 (the shape).
 */
export class ResUNet {
  readonly encoder: readonly ResidualBlock[];
  readonly bottleneck: ResidualBlock;
  readonly decoder: readonly DecoderStage[];
  readonly head: Sequential;
  readonly inChannels: number;
  readonly recompute: boolean;

  /** The 1x1 convolution that gives the logits. */
  get classifier(): Conv2d {
    return this.head.layers[3] as Conv2d;
  }

  constructor({ inChannels, classes, width = 64, depth = 4, dropout = 0.3, recompute = false, rng }: ResUNetOptions) {
    const widths = Array.from({ length: depth + 1 }, (_, i) => width * 2 ** i);
    const block = (cin: number, cout: number) => new ResidualBlock(cin, cout, { dropout, rng });
    this.inChannels = inChannels;
    this.recompute = recompute;
    this.encoder = widths.slice(0, -1).map((w, i) => block(i === 0 ? inChannels : widths[i - 1], w));
    this.bottleneck = block(widths[depth - 1], widths[depth]);
    this.decoder = widths
      .slice(1)
      .reverse()
      .map((w) => ({
        up: new ConvTranspose2d(w, w / 2, { kernelSize: 4, stride: 2, padding: 1, rng }),
        block: block(w, w / 2),
      }));
    this.head = new Sequential(
      new Conv2d(width, width / 2, { kernelSize: 3, padding: 1, bias: false, rng }),
      new BatchNorm(width / 2),
      new ReLU(),
      new Conv2d(width / 2, classes, { kernelSize: 1, rng }),
    );
  }

  forward(x: Tensor): Tensor {
    checkInput("ResUNet", x, this.inChannels, 2 ** this.encoder.length);
    return this.head.forward(decoderLevels(this, x)[0]);
  }
}
