import { OptionError } from "../../errors.ts";
import type { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { ReLU } from "../activation.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { DoubleConv } from "../doubleConv.ts";
import { Sequential } from "../sequential.ts";
import { Upsample } from "../upsample.ts";
import { checkInput, type SegmentationOptions } from "./input.ts";
import { decoderLevels } from "./levels.ts";

/** Settings of UNet. */
export interface UNetOptions extends SegmentationOptions {
  /** Levels above the bottleneck. Default 4. */
  depth?: number;
  /** Doubling by a transposed convolution 2x2 (default), or by nearest neighbour and conv3x3-BN-ReLU. */
  up?: "transpose" | "nearest";
  rng: Rng;
}

interface DecoderStage {
  readonly up: ConvTranspose2d | Sequential;
  readonly block: DoubleConv;
}

function upsampling(kind: "transpose" | "nearest", cin: number, rng: Rng): ConvTranspose2d | Sequential {
  if (kind === "transpose") return new ConvTranspose2d(cin, cin / 2, { kernelSize: 2, stride: 2, rng });
  if (kind !== "nearest") throw new OptionError(`UNet: up must be "transpose" or "nearest", got "${String(kind)}"`);
  const conv = new Conv2d(cin, cin / 2, { kernelSize: 3, padding: 1, bias: false, rng });
  return new Sequential(new Upsample({ scale: 2, mode: "nearest" }), conv, new BatchNorm(cin / 2), new ReLU());
}

/**
 * U-Net with padded convolutions and batch normalisation. x: [N, inChannels, H, W], H and W divisible by 2^depth;
 * returns logits [N, classes, H, W]. Throws ShapeError for other inputs. Source: Ronneberger et al. 2015,
 * arXiv:1505.04597.
 */
export class UNet {
  readonly encoder: readonly DoubleConv[];
  readonly bottleneck: DoubleConv;
  readonly decoder: readonly DecoderStage[];
  readonly head: Conv2d;
  readonly inChannels: number;
  readonly recompute: boolean;

  /** The 1x1 convolution that gives the logits. */
  get classifier(): Conv2d {
    return this.head;
  }

  constructor({ inChannels, classes, width = 64, depth = 4, up = "transpose", recompute = false, rng }: UNetOptions) {
    const widths = Array.from({ length: depth + 1 }, (_, i) => width * 2 ** i);
    this.inChannels = inChannels;
    this.recompute = recompute;
    this.encoder = widths.slice(0, -1).map((w, i) => new DoubleConv(i === 0 ? inChannels : widths[i - 1], w, { rng }));
    this.bottleneck = new DoubleConv(widths[depth - 1], widths[depth], { rng });
    this.decoder = widths
      .slice(1)
      .reverse()
      .map((w) => ({ up: upsampling(up, w, rng), block: new DoubleConv(w, w / 2, { rng }) }));
    this.head = new Conv2d(width, classes, { kernelSize: 1, rng });
  }

  forward(x: Tensor): Tensor {
    checkInput("UNet", x, this.inChannels, 2 ** this.encoder.length);
    return this.head.forward(decoderLevels(this, x)[0]);
  }
}
