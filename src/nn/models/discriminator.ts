import { OptionError } from "../../errors.ts";
import { assign, concat, reshape, slice } from "../../kernels/layout.ts";
import { maxPool2d } from "../../kernels/pool.ts";
import { sigmoid } from "../../kernels/unary.ts";
import { Rng } from "../../random.ts";
import type { Tensor } from "../../tensor.ts";
import { BatchNorm } from "../batchNorm.ts";
import { Conv2d } from "../conv.ts";
import { ConvTranspose2d } from "../convTranspose.ts";
import { Dropout2d } from "../dropout.ts";
import { namedBuffers, parameters } from "../module.ts";
import { checkInput } from "./input.ts";
import { runBlock } from "./levels.ts";

/** Settings of Discriminator. */
export interface DiscriminatorOptions {
  /** Channels of the image and classes of the segmentation together. */
  inChannels: number;
  /** Channels of the first level; they double at every level down. Default 32. */
  width?: number;
  /** Times the size is halved. Default 4, five levels. */
  depth?: number;
  /** Probability of dropping a channel at each level of the encoder. Default 0.3. */
  dropout?: number;
  /** Independent discriminators that are computed side by side, as groups of channels. Default 1. */
  count?: number;
  /** Compute levels again for the gradient instead of keeping them (see checkpoint). Default false. */
  recompute?: boolean;
  rng: Rng;
}

interface StageOptions {
  readonly dropout?: number;
  readonly groups: number;
  readonly rng: Rng;
}

/** conv3x3-BN-dropout-ReLU; channel counts are those of one group. */
class Stage {
  readonly conv: Conv2d;
  readonly bn: BatchNorm;
  readonly dropout: Dropout2d | null;

  constructor(cin: number, cout: number, { dropout = 0, groups, rng }: StageOptions) {
    this.conv = new Conv2d(groups * cin, groups * cout, { kernelSize: 3, padding: 1, bias: false, groups, rng });
    this.bn = new BatchNorm(groups * cout);
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
 * With `count` above 1 one pass runs as many independent discriminators, each on its own channels: x is [N, count *
 * inChannels, H, W], the result [N, count, H, W], and the first dimension of every weight lists them in turn.
 * Sources: Zheng et al., "Multi-Scale Adversarial Learning and Difficult Supervision for Kidney and Kidney Tumor
 * Segmentation Methods", section 2.2, and the authors' code for what the text leaves open; confidence maps after Hung
 * et al. 2018, arXiv:1802.07934.
 */
export class Discriminator {
  readonly encoder: readonly Stage[]; // the last one is the bottleneck
  readonly decoder: readonly DecoderStage[];
  readonly head: Conv2d;
  readonly inChannels: number;
  readonly width: number;
  readonly count: number;
  readonly recompute: boolean;

  constructor({
    inChannels,
    width = 32,
    depth = 4,
    dropout = 0.3,
    count = 1,
    recompute = false,
    rng,
  }: DiscriminatorOptions) {
    const widths = Array.from({ length: depth + 1 }, (_, i) => width * 2 ** i);
    const [groups, shared] = [count, { groups: count, rng }];
    this.inChannels = inChannels;
    this.width = width;
    this.count = count;
    this.recompute = recompute;
    this.encoder = widths.map((w, i) => new Stage(i === 0 ? inChannels : widths[i - 1], w, { dropout, ...shared }));
    this.decoder = widths
      .slice(1)
      .reverse()
      .map((w) => ({
        up: new ConvTranspose2d(groups * w, (groups * w) / 2, { kernelSize: 4, stride: 2, padding: 1, ...shared }),
        block: new Stage(w, w / 2, shared),
      }));
    this.head = new Conv2d(groups * width, groups, { kernelSize: 1, ...shared });
  }

  forward(x: Tensor): Tensor {
    checkInput("Discriminator", x, this.count * this.inChannels, 2 ** this.decoder.length);
    const skips: Tensor[] = [];
    let y = x;
    for (const [level, stage] of this.encoder.entries()) {
      y = runBlock(stage, level === 0 ? y : maxPool2d(y, { kernelSize: 2 }), this.recompute);
      skips.push(y);
    }
    skips.pop();
    for (const { up, block } of this.decoder) {
      y = runBlock(block, this.joined(up.forward(y), skips.pop()!), this.recompute);
    }
    return this.head.forward(y);
  }

  /** Channels of a and b one after another, discriminator by discriminator. */
  private joined(a: Tensor, b: Tensor): Tensor {
    const [n, channels, h, w] = a.shape;
    const grouped = (x: Tensor) => reshape(x, [n, this.count, x.shape[1] / this.count, h, w]);
    return reshape(concat([grouped(a), grouped(b)], 2), [n, channels + b.shape[1], h, w]);
  }

  /** The confidence map of x, sigmoid(forward(x)): [N, 1, H, W] in (0, 1), 1 for "a label". */
  confidence(x: Tensor): Tensor {
    return sigmoid(this.forward(x));
  }

  /** Discriminator number `index` alone, with a copy of its weights. Throws OptionError if there is none. */
  alone(index: number): Discriminator {
    const { inChannels, width, decoder, count } = this;
    if (!Number.isInteger(index) || index < 0 || index >= count)
      throw new OptionError(`alone: the index must be 0 to ${count - 1}, got ${index}`);
    const one = new Discriminator({ inChannels, width, depth: decoder.length, dropout: 0, rng: new Rng(0, "alone") });
    const tensors = (d: Discriminator) => [...parameters(d), ...namedBuffers(d).map(([, t]) => t)];
    const sources = tensors(this);
    tensors(one).forEach((target, i) => {
      const rows = target.shape[0];
      assign(target, slice(sources[i], { dim: 0, start: index * rows, end: (index + 1) * rows }));
    });
    return one;
  }
}
