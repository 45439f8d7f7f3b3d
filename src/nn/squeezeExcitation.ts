import { squeezeExcitation } from "../kernels/squeezeExcitation.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { ReLU } from "./activation.ts";
import { Linear } from "./linear.ts";

/** Settings of SqueezeExcitation. */
export interface SqueezeExcitationOptions {
  /** Channels per hidden unit. Default 16. */
  reduction?: number;
  /** Biases in both linear layers. Default false. */
  bias?: boolean;
  rng: Rng;
}

/**
 * Scales every channel by a factor in (0, 1) computed from the means of all channels. x: [N, C, ...].
 * Source: Hu et al. 2018, arXiv:1709.01507.
 */
export class SqueezeExcitation {
  readonly fc: readonly [Linear, ReLU, Linear]; // [C] -> [C / reduction] -> [C]

  constructor(channels: number, { reduction = 16, bias = false, rng }: SqueezeExcitationOptions) {
    const hidden = Math.max(1, Math.floor(channels / reduction));
    this.fc = [new Linear(channels, hidden, { bias, rng }), new ReLU(), new Linear(hidden, channels, { bias, rng })];
  }

  forward(x: Tensor): Tensor {
    const [down, , up] = this.fc;
    return squeezeExcitation(x, down.weight, down.bias, up.weight, up.bias);
  }
}
