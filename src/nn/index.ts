// Layers, blocks, models, and what works on all of them.

export * from "./module.ts";
export * from "./checkpoint.ts";
export * as init from "./init.ts";
export { parameter } from "./init.ts";
export { initNormal } from "./initNormal.ts";
export { initPrior } from "./initPrior.ts";

export { Sequential } from "./sequential.ts";
export { Conv1d, Conv2d, Conv3d, type ConvLayerOptions } from "./conv.ts";
export { ConvTranspose2d, ConvTranspose3d, type ConvTransposeLayerOptions } from "./convTranspose.ts";
export { Linear, type LinearLayerOptions } from "./linear.ts";
export { BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, type BatchNormLayerOptions } from "./batchNorm.ts";
export { GroupNorm, type GroupNormLayerOptions } from "./groupNorm.ts";
export {
  InstanceNorm,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  type InstanceNormLayerOptions,
} from "./instanceNorm.ts";
export { LayerNorm } from "./layerNorm.ts";
export { Dropout, Dropout2d, Dropout3d } from "./dropout.ts";
export { MaxPool2d, MaxPool3d, AvgPool2d, AvgPool3d, GlobalAvgPool } from "./pool.ts";
export { Upsample } from "./upsample.ts";
export { Flatten } from "./flatten.ts";
export { ReLU, LeakyReLU, PReLU, ELU, GELU, SiLU, Sigmoid, Tanh, Softplus, Softmax, Identity } from "./activation.ts";

export { SqueezeExcitation, type SqueezeExcitationOptions } from "./squeezeExcitation.ts";
export { DoubleConv } from "./doubleConv.ts";
export { ResidualBlock, type ResidualBlockOptions } from "./residualBlock.ts";
export { PreActResidualBlock, type PreActResidualBlockOptions } from "./preActResidualBlock.ts";
export { AttentionGate } from "./attentionGate.ts";

export * from "./models/index.ts";

export { frozen } from "./frozen.ts";
export { discriminatorLoss, generatorLoss } from "./adversarial.ts";
export type { Critic, DiscriminatorLossOptions, GeneratorLossOptions } from "./adversarial.ts";
export type { DiscriminatorTerms, GeneratorTerms, MultiScaleLoss } from "./adversarial.ts";
