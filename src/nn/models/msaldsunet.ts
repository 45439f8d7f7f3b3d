import { interpolate } from "../../kernels/interpolate.ts";
import type { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { ReLU } from "../activation.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { ResidualBlock, type ResidualBlockOptions } from "../residualBlock.ts";
import { Sequential } from "../sequential.ts";
import type { SegmentationModel } from "./index.ts";
import { checkInput, type SegmentationOptions } from "./input.ts";
import { decoderLevels } from "./levels.ts";

/** Settings of MSALDSUNet. */
export interface MSALDSUNetOptions extends SegmentationOptions {
  /** Levels above the bottleneck, each with an output of its own. Default 4. */
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
 * The segmentation network of MSALDS-UNet: a U-Net of residual blocks, with squeeze and excitation in the encoder, a
 * dilated block as bottleneck and logits at every level of the decoder. x: [N, inChannels, H, W], H and W divisible by
 * 2^depth; returns one logits [N, classes, H, W] per level, from full resolution down (1/2, 1/4, 1/8). Throws
 * ShapeError for other inputs.
 * Sources: Zheng et al., "Multi-Scale Adversarial Learning and Difficult Supervision for Kidney and Kidney Tumor
 * Segmentation Methods", section 2.2; what the text leaves open (widths, kernels, dilations, heads) as in the authors'
 * code. Its three transposed convolutions that nothing uses are left out.
 */
export class MSALDSUNet {
  readonly encoder: readonly ResidualBlock[];
  readonly bottleneck: ResidualBlock;
  readonly decoder: readonly DecoderStage[];
  readonly head: Sequential;
  readonly sides: readonly Conv2d[]; // 1/2, 1/4, ...
  readonly inChannels: number;
  readonly recompute: boolean;

  /** The 1x1 convolution that gives the logits of full resolution. */
  get classifier(): Conv2d {
    return this.head.layers[3] as Conv2d;
  }

  constructor({
    inChannels,
    classes,
    width = 64,
    depth = 4,
    dropout = 0.3,
    recompute = false,
    rng,
  }: MSALDSUNetOptions) {
    const widths = Array.from({ length: depth + 1 }, (_, i) => width * 2 ** i);
    const block = (cin: number, cout: number, options: Partial<ResidualBlockOptions> = {}) =>
      new ResidualBlock(cin, cout, { dropout, rng, ...options });
    this.inChannels = inChannels;
    this.recompute = recompute;
    this.encoder = widths.slice(0, -1).map((w, i) => block(i === 0 ? inChannels : widths[i - 1], w, { squeeze: 16 }));
    this.bottleneck = block(widths[depth - 1], widths[depth], { dilation: [2, 3] });
    this.decoder = widths
      .slice(1)
      .reverse()
      .map((w) => ({
        up: new ConvTranspose2d(w, w / 2, { kernelSize: 4, stride: 2, padding: 1, rng }),
        block: block(w, w / 2),
      }));
    this.head = new Sequential(
      new Conv2d(width, width / 2, { kernelSize: 3, padding: 1, rng }), // the only one before a norm that has a bias
      new BatchNorm(width / 2),
      new ReLU(),
      new Conv2d(width / 2, classes, { kernelSize: 1, rng }),
    );
    this.sides = widths.slice(1, -1).map((w) => new Conv2d(w, classes, { kernelSize: 1, rng }));
  }

  /** Logits of every level, resized bilinearly to full resolution; with `raw` each at the resolution of its level. */
  forward(x: Tensor, { raw = false }: { raw?: boolean } = {}): Tensor[] {
    const [full, ...features] = this.features(x);
    const sides = features.map((y, i) => this.sides[i].forward(y));
    const size = x.shape.slice(2);
    const resized = raw ? sides : sides.map((y) => interpolate(y, { size, mode: "linear" }));
    return [this.head.forward(full), ...resized];
  }

  /** The logits of full resolution alone. */
  predict(x: Tensor): Tensor {
    return this.head.forward(this.features(x)[0]);
  }

  /** What the decoder computes at every level, from full resolution down. */
  private features(x: Tensor): Tensor[] {
    checkInput("MSALDSUNet", x, this.inChannels, 2 ** this.encoder.length);
    return decoderLevels(this, x);
  }
}

/**
 * The same network, layers and names as a model of one output, full resolution: for prediction, and for training
 * without discriminators, which leaves the other outputs' layers as they are.
 */
export function fullResolution(model: MSALDSUNet): SegmentationModel {
  return { ...model, classifier: model.classifier, forward: (x: Tensor) => model.predict(x) };
}
