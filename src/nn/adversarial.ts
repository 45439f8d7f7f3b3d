// The losses of MSALDS-UNet: one discriminator per scale learns to tell labels from predictions, and its confidence map
// both weighs the cross entropy of that scale and pulls the prediction towards what a label looks like.
//
// One batch, with the generator's outputs shared by both parts:
//
//   const logits = model.forward(image);
//   const d = discriminatorLoss(image, logits, labels, discriminators);
//   backward(d.loss);                              // leaves the generator alone
//   adamD.step();
//   adamD.zeroGrad();
//   const g = generatorLoss(image, logits, labels, discriminators);
//   backward(g.loss);                              // leaves the discriminators alone
//   adamG.step();
//   adamG.zeroGrad();
//
// Source of all equations: Zheng et al., "Multi-Scale Adversarial Learning and Difficult Supervision for Kidney and
// Kidney Tumor Segmentation Methods", section 2.2. Equation 6, the learning rate, is schedule.stepLR.

import { noGrad } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { add, equal, greater, less, mul } from "../kernels/binary.ts";
import { concat, reshape, split } from "../kernels/layout.ts";
import { bceWithLogits } from "../kernels/loss/bce.ts";
import { crossEntropy } from "../kernels/loss/crossEntropy.ts";
import { dice } from "../kernels/loss/dice.ts";
import {
  difficultyWeight,
  difficultyWeightedCrossEntropy,
  type DifficultyCrossEntropyOptions,
} from "../kernels/loss/difficulty.ts";
import { checkLabels } from "../kernels/loss/reduction.ts";
import { mean } from "../kernels/reduce.ts";
import { softmax } from "../kernels/softmax.ts";
import { cast, sigmoid } from "../kernels/unary.ts";
import { sameShape, showShape } from "../shape.ts";
import { arange, ones, zeros, type Tensor } from "../tensor.ts";
import { frozen } from "./frozen.ts";
import type { Layer } from "./module.ts";

/**
 * A discriminator, from [N, CIN + C, H, W], image and softmax, to logits [N, 1, H, W]; or with `count`, as many of them
 * side by side, for as many scales: from [N, count * (CIN + C), H, W] to [N, count, H, W].
 */
export type Critic = Layer & { readonly count?: number };

/** A loss over all scales: what is differentiated, and per scale what is worth logging. */
export interface MultiScaleLoss<Terms> {
  /** [], the sum over the scales. */
  readonly loss: Tensor;
  /** Tensors of shape [] without gradients, one set per scale. */
  readonly scales: readonly Terms[];
}

/** The generator at one scale. */
export interface GeneratorTerms {
  /** dice + crossEntropy + adversarialWeight * adversarial (equation 3). */
  readonly loss: Tensor;
  readonly dice: Tensor;
  /** Weighted by difficulty (equation 1); plain where the scale has no discriminator or difficulty is off. */
  readonly crossEntropy: Tensor;
  /** Without its weight (equation 4). Like all that follows, only where the scale has a discriminator. */
  readonly adversarial?: Tensor;
  /** Mean of the confidence map on the prediction: near 1, the discriminator is fooled. */
  readonly confidence?: Tensor;
  /** Mean of the weights lambda (equation 2): near 0 the cross entropy has vanished, near 2 it is doubled. */
  readonly difficulty?: Tensor;
}

/** A discriminator. */
export interface DiscriminatorTerms {
  /** (label + prediction) / 2 (equation 5). */
  readonly loss: Tensor;
  /** Binary cross entropy on the label and on the prediction. */
  readonly label: Tensor;
  readonly prediction: Tensor;
  /** Means of the confidence maps on the label and on the prediction: both near 1/2, it cannot tell them apart. */
  readonly confidenceLabel: Tensor;
  readonly confidencePrediction: Tensor;
  /** Part of the pixels, half of them the label's, that it takes for what they are. */
  readonly accuracy: Tensor;
}

/** Settings of generatorLoss(). */
export interface GeneratorLossOptions extends Pick<
  DifficultyCrossEntropyOptions,
  "power" | "detachDifficulty" | "legacyScalarCE"
> {
  /** Weight of the adversarial term (the paper's lambda 1). Default 0.05. */
  adversarialWeight?: number;
  /** Weigh the cross entropy by difficulty; false leaves it plain (the paper's ablation). Default true. */
  difficulty?: boolean;
  /** Logits for Dice and cross entropy where they are not those that the discriminators judge; one per scale. */
  segmentation?: readonly Tensor[];
  /** Added to numerator and denominator of Dice. Default 1e-5. */
  smooth?: number;
}

/**
 * The segmentation network's loss (equations 1 to 4), summed over the scales: Dice over the batch, background included,
 * plus cross entropy weighted by difficulty plus `adversarialWeight` times the binary cross entropy of "a label".
 * `image`: [N, CIN, H, W]. `logits`: one [N, C, H, W] per scale. `labels`: [N, H, W] i32 or u32 below C.
 * `discriminators`: one per scale in all; their weights get no gradients; null for a scale that has none. Throws
 * OptionError unless there is one per scale, ShapeError for shapes that do not fit.
 */
export function generatorLoss(
  image: Tensor,
  logits: readonly Tensor[],
  labels: Tensor,
  discriminators: readonly (Critic | null)[],
  options: GeneratorLossOptions = {},
): MultiScaleLoss<GeneratorTerms> {
  check("generatorLoss", image, logits, labels, discriminators);
  const { segmentation = logits } = options;
  if (segmentation !== logits) check("generatorLoss", image, segmentation, labels, discriminators);
  const critics = discriminators.map((critic) => critic && frozen(critic));
  const judged = judge(critics, (k) => [image, cast(softmax(logits[k], 1), image.dtype)]);
  const scales = segmentation.map((z, k) => {
    const verdict = judged[k];
    return verdict ? judgedTerms(verdict, z, labels, options) : plainTerms(z, labels, options);
  });
  return summed(scales);
}

/** What each scale's discriminator says of `input(scale)`, channels one after another: logits [N, 1, H, W], or null. */
function judge(critics: readonly (Critic | null)[], input: (scale: number) => readonly Tensor[]): (Tensor | null)[] {
  let scale = 0;
  return critics.flatMap((critic) => {
    const scales = Array.from({ length: critic?.count ?? 1 }, () => scale++);
    return critic ? split(critic.forward(concat(scales.flatMap(input), 1)), 1, 1) : [null];
  });
}

function plainTerms(logits: Tensor, labels: Tensor, { smooth = 1e-5 }: GeneratorLossOptions): GeneratorTerms {
  const overlap = dice(logits, labels, { activation: "softmax", smooth });
  const ce = crossEntropy(logits, labels);
  return { loss: add(overlap, ce), dice: overlap, crossEntropy: ce };
}

function judgedTerms(
  judged: Tensor,
  logits: Tensor,
  labels: Tensor,
  {
    adversarialWeight = 0.05,
    difficulty = true,
    power,
    detachDifficulty,
    legacyScalarCE,
    smooth,
  }: GeneratorLossOptions,
): GeneratorTerms {
  const confidence = sigmoid(judged);
  const plain = dice(logits, labels, { activation: "softmax", smooth: smooth ?? 1e-5 });
  const ce = difficulty
    ? difficultyWeightedCrossEntropy(logits, labels, confidence, { power, detachDifficulty, legacyScalarCE })
    : crossEntropy(logits, labels);
  const adversarial = bceWithLogits(judged, ones(judged.shape));
  return {
    loss: add(add(plain, ce), mul(adversarial, adversarialWeight)),
    dice: plain,
    crossEntropy: ce,
    adversarial,
    ...noGrad(() => ({ confidence: mean(confidence), difficulty: mean(difficultyWeight(confidence, { power })) })),
  };
}

/** Settings of discriminatorLoss(). */
export interface DiscriminatorLossOptions {
  /** What of the prediction the discriminators see. Default "softmax", as in the generator's part. */
  input?: "softmax" | "logits";
}

/**
 * The discriminators' loss (equation 5), summed over the scales: each learns 1 on the image with the label and 0 on the
 * image with the prediction. Arguments and errors as generatorLoss, without nulls; no gradient goes to `logits`.
 */
export function discriminatorLoss(
  image: Tensor,
  logits: readonly Tensor[],
  labels: Tensor,
  discriminators: readonly Critic[],
  { input = "softmax" }: DiscriminatorLossOptions = {},
): MultiScaleLoss<DiscriminatorTerms> {
  check("discriminatorLoss", image, logits, labels, discriminators);
  const truth = cast(oneHot(labels, logits[0].shape[1]), image.dtype);
  const shown = (z: Tensor) => cast(input === "softmax" ? softmax(z.detach(), 1) : z.detach(), image.dtype);
  // Two passes, not one over both: batch normalisation sees labels and predictions apart, as in the generator's part.
  const onLabels = judge(discriminators, () => [image, truth]);
  const onPredictions = judge(discriminators, (k) => [image, shown(logits[k])]);
  return summed(onLabels.map((onLabel, k) => discriminatorTerms(onLabel!, onPredictions[k]!)));
}

function discriminatorTerms(onLabel: Tensor, onPrediction: Tensor): DiscriminatorTerms {
  const label = bceWithLogits(onLabel, ones(onLabel.shape));
  const prediction = bceWithLogits(onPrediction, zeros(onPrediction.shape));
  return {
    loss: mul(add(label, prediction), 0.5),
    label,
    prediction,
    ...noGrad(() => ({
      confidenceLabel: mean(sigmoid(onLabel)),
      confidencePrediction: mean(sigmoid(onPrediction)),
      accuracy: mul(add(mean(greater(onLabel, 0)), mean(less(onPrediction, 0))), 0.5),
    })),
  };
}

/** The labels as one plane per class of zeros and ones: [N, H, W] to [N, C, H, W] f32. */
function oneHot(labels: Tensor, classes: number): Tensor {
  const [n, h, w] = labels.shape;
  return equal(reshape(cast(labels, "f32"), [n, 1, h, w]), reshape(arange(classes), [1, classes, 1, 1]));
}

/** The sum of the losses; what is logged is cut off, so that keeping it keeps no graph. */
function summed<T extends { readonly loss: Tensor }>(scales: readonly T[]): MultiScaleLoss<T> {
  const detached = (terms: T) => Object.fromEntries(Object.entries(terms).map(([k, t]) => [k, (t as Tensor).detach()]));
  return {
    loss: scales.map(({ loss }) => loss).reduce((a, b) => add(a, b)),
    scales: scales.map((terms) => detached(terms) as T),
  };
}

function check(
  op: string,
  image: Tensor,
  logits: readonly Tensor[],
  labels: Tensor,
  discriminators: readonly (Critic | null)[],
): void {
  const count = discriminators.reduce((n, critic) => n + (critic?.count ?? 1), 0);
  if (logits.length === 0 || count !== logits.length) {
    throw new OptionError(
      `${op}: needs one discriminator for each scale of logits, at least one, got ${count} for ${logits.length}`,
    );
  }
  const [n, , h, w] = image.shape;
  const classes = logits[0].shape[1];
  for (const z of logits) {
    if (image.shape.length === 4 && sameShape(z.shape, [n, classes, h, w])) continue;
    throw new ShapeError(
      `${op}: every scale must be [N, C, H, W] for an image [N, CIN, H, W], got ${showShape(z.shape)} for an image ` +
        `${showShape(image.shape)}; resize the logits to the size of the image`,
    );
  }
  checkLabels(op, logits[0], labels);
}
