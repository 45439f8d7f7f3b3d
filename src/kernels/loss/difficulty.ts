// The difficulty supervision of MSALDS-UNet: pixels of which a discriminator is not
// convinced weigh more in the cross entropy.

import { OptionError } from "../../errors.ts";
import { record } from "../../autograd.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { empty, type Tensor } from "../../tensor.ts";
import { checkFloat } from "../checks.ts";
import { crossEntropy } from "./crossEntropy.ts";
import {
  MODES,
  checkConfidence,
  checkLabels,
  checkPower,
  checkReduction,
  classLayout,
  reduceLoss,
  type Reduction,
} from "./reduction.ts";

const PRODUCT_OF_MEANS = 3; // MODE of the kernels, beside MODES
const WEIGHTS_ALONE = 4;

/** Settings of difficultyWeight(). */
export interface DifficultyOptions {
  /** Exponent of the first term. Default 2, as in the paper; the authors' later code has 4. */
  readonly power?: number;
}

/**
 * The weight of every pixel, (1 - M)^power + |1 - M|: 0 where the discriminator is convinced (M = 1), 2 where it is not
 * at all (M = 0).
 * `confidence`: M, any shape, f32, in [0, 1]. Returns the same shape; the gradient
 * goes to M. The mean of it is worth logging.
 * Throws OptionError when power is below 1. MSALDS-UNet, equation 2.
 */
export function difficultyWeight(confidence: Tensor, { power = 2 }: DifficultyOptions = {}): Tensor {
  checkPower("difficultyWeight", power);
  checkFloat("difficultyWeight", "the confidence", confidence);
  const y = empty(confidence.shape);
  const grid = linearGrid(y.size, 64);
  launch(wgsl.difficulty, { consts: { POWER: power }, buffers: { confidence, y }, grid });
  return record(y, [confidence], (dy) => {
    const dm = empty(confidence.shape, confidence.dtype);
    const unread = { labels: confidence, ce: confidence, total: confidence };
    launch(wgsl.difficulty_grad, {
      consts: { T: "f32", POWER: power, MODE: WEIGHTS_ALONE },
      buffers: { confidence, ...unread, dy, dm },
      grid,
    });
    return [dm];
  });
}

/** Settings of difficultyWeightedCrossEntropy(). */
export interface DifficultyCrossEntropyOptions extends DifficultyOptions {
  /**
   * True (default): the weight is a constant. False: the gradient also reaches the confidence map, and through it
   * whatever made it.
   */
  readonly detachDifficulty?: boolean;
  /**
   * Mean of the weights times mean of the cross entropy, without any spatial weighting, as
   * in the authors' later code. Default false.
   */
  readonly legacyScalarCE?: boolean;
  /** Pixels with this label are left out. Default -100. */
  readonly ignoreIndex?: number;
  /** Default "mean", over pixels. */
  readonly reduction?: Reduction;
}

/**
 * Cross entropy in which every pixel i weighs lambda_i = (1 - M_i)^power + |1 - M_i|: the mean of lambda_i * CE_i.
 * `x`: [N, C, ...] f32 logits. `labels`: [N, ...] i32 or u32. `confidence`: M, [N, 1, ...] f32, in [0, 1].
 * Returns [] or, with reduction "none", [N, ...].
 * Throws ShapeError when shapes do not fit, OptionError for a power below 1 or
 * legacyScalarCE with another reduction than "mean".
 * MSALDS-UNet, equations 1 and 2.
 */
export function difficultyWeightedCrossEntropy(
  x: Tensor,
  labels: Tensor,
  confidence: Tensor,
  options: DifficultyCrossEntropyOptions = {},
): Tensor {
  const op = "difficultyWeightedCrossEntropy";
  const {
    power = 2,
    detachDifficulty = true,
    legacyScalarCE = false,
    ignoreIndex = -100,
    reduction = "mean",
  } = options;
  const { classes, plane } = classLayout(op, x);
  checkReduction(op, reduction);
  checkLabels(op, x, labels);
  checkConfidence(op, x, confidence);
  checkPower(op, power);
  if (legacyScalarCE && reduction !== "mean")
    throw new OptionError(`${op}: legacyScalarCE needs reduction "mean", got "${reduction}"`);
  const mode = legacyScalarCE ? PRODUCT_OF_MEANS : MODES[reduction];
  const consts = { T: labels.dtype, C: classes, S: plane, IGNORE: ignoreIndex, POWER: power, DIFFICULTY: true };
  const inputs = { x, labels, weight: x, confidence };
  const { y, total } = reduceLoss(labels.shape, reduction, mode, ({ y, REDUCE, grid }) =>
    launch(wgsl.cross_entropy, { consts: { ...consts, REDUCE }, buffers: { ...inputs, y }, grid }),
  );

  const logitsGrad = (dy: Tensor): Tensor => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.cross_entropy_grad, {
      consts: { ...consts, MODE: mode },
      buffers: { ...inputs, total, dy, dx },
      grid: linearGrid(labels.size, 64),
    });
    return dx;
  };
  // The rarer gradient: it computes the cross entropy of every pixel once more instead of keeping it.
  const confidenceGrad = (dy: Tensor): Tensor => {
    const ce = crossEntropy(x, labels, { ignoreIndex, reduction: "none" });
    const dm = empty(confidence.shape, confidence.dtype);
    launch(wgsl.difficulty_grad, {
      consts: { T: labels.dtype, C: classes, IGNORE: ignoreIndex, POWER: power, MODE: mode },
      buffers: { confidence, labels, ce, total, dy, dm },
      grid: linearGrid(labels.size, 64),
    });
    return dm;
  };
  // keeps x, labels, confidence and four sums
  if (detachDifficulty) return record(y, [x], (dy) => [logitsGrad(dy)]);
  return record(y, [x, confidence], (dy, needs) => [
    needs[0] ? logitsGrad(dy) : null,
    needs[1] ? confidenceGrad(dy) : null,
  ]);
}
