// The models by name.

import { OptionError } from "../../errors.ts";
import type { Rng } from "../../random.ts";
import type { Conv2d } from "../conv.ts";
import type { Layer } from "../module.ts";
import { DeepResUNet } from "./deepResUNet.ts";
import type { SegmentationOptions } from "./input.ts";
import { MSALDSUNet, fullResolution } from "./msaldsunet.ts";
import { ResUNet } from "./resunet.ts";
import { UNet } from "./unet.ts";

export { UNet, type UNetOptions } from "./unet.ts";
export { ResUNet, type ResUNetOptions } from "./resunet.ts";
export { DeepResUNet, type DeepResUNetOptions } from "./deepResUNet.ts";
export { MSALDSUNet, fullResolution, type MSALDSUNetOptions } from "./msaldsunet.ts";
export { Discriminator, type DiscriminatorOptions } from "./discriminator.ts";
export type { SegmentationOptions } from "./input.ts";

/** What every model takes; one that has no use for an option ignores it. */
export interface ModelOptions extends SegmentationOptions {
  /** Levels above the bottleneck. Default: the model's own. */
  depth?: number;
  /** Probability of dropping a channel inside each block, for models that do. Default: the model's own. */
  dropout?: number;
  rng: Rng;
}

/** Maps images [N, inChannels, H, W] to logits [N, classes, H, W]; `classifier` is its last layer. */
export interface SegmentationModel extends Layer {
  readonly classifier: Conv2d;
}

/** Segmentation models by name. A new one is one line here. */
export const models = {
  unet: (options) => new UNet(options),
  resunet: (options) => new ResUNet(options),
  "deep-resunet": (options) => new DeepResUNet(options),
  "msalds-unet": (options) => fullResolution(new MSALDSUNet(options)),
} satisfies Record<string, (options: ModelOptions) => SegmentationModel>;

/** A name in `models`. */
export type ModelName = keyof typeof models;

/** Builds a model by name. Throws OptionError for a name that is not in `models`. */
export function buildModel(name: string, options: ModelOptions): SegmentationModel {
  if (!Object.hasOwn(models, name))
    throw new OptionError(`buildModel: the model must be one of ${Object.keys(models).join(", ")}, got "${name}"`);
  return models[name as ModelName](options);
}
