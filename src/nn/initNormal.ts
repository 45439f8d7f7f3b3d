import { assign } from "../kernels/layout.ts";
import type { Rng } from "../random.ts";
import { zeros, type Tensor } from "../tensor.ts";
import { BatchNorm } from "./batchNorm.ts";
import { Conv1d, Conv2d, Conv3d } from "./conv.ts";
import { ConvTranspose2d, ConvTranspose3d } from "./convTranspose.ts";
import { normal, parameter } from "./init.ts";
import { namedModules, type Model } from "./module.ts";

const CONVOLUTIONS = [Conv1d, Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d];

/**
 * Draws all convolution weights from N(0, std) and batch normalisation weights from N(1, std), and sets batch
 * normalisation biases to 0; convolution biases stay. Source: the initialisation of pix2pix (Isola et al. 2017,
 * arXiv:1611.07004), common in adversarial networks.
 */
export function initNormal(model: Model, rng: Rng, { std = 0.02 }: { std?: number } = {}): void {
  for (const [, layer] of namedModules(model)) {
    if (CONVOLUTIONS.some((c) => layer instanceof c)) redraw((layer as Conv2d).weight, 0, std, rng);
    if (layer instanceof BatchNorm) {
      redraw(layer.weight, 1, std, rng);
      assign(layer.bias, zeros(layer.bias.shape));
    }
  }
}

function redraw(weight: Tensor, mean: number, std: number, rng: Rng): void {
  assign(weight, parameter(weight.shape, normal(weight.shape, rng, mean, std)));
}
