// Overlap losses: Dice, Tversky, and Dice with cross entropy. One pass over the prediction leaves sums per class, a
// second makes the loss and two coefficients per class, and the gradient is one
// elementwise kernel. Targets may be class labels:
// the one-hot tensor is never made.

import { OptionError, ShapeError } from "../../errors.ts";
import { record } from "../../autograd.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { showShape } from "../../shape.ts";
import { empty, type Tensor } from "../../tensor.ts";
import { isFloat } from "../checks.ts";
import { softmax } from "../softmax.ts";
import { checkClassWeight, checkConfidence, checkLabels, checkPower, checkSame, classLayout } from "./reduction.ts";

/** What turns a network's output into probabilities. */
export type Activation = "none" | "sigmoid" | "softmax";

/** Settings of all overlap losses. */
export interface OverlapOptions {
  /**
   * What turns `x` into probabilities, inside the kernel. Default "none": they
   * are given. Softmax runs over dimension 1.
   */
  readonly activation?: Activation;
  /** True (default): one score per class over the whole batch. False: one per sample and class, then their mean. */
  readonly batch?: boolean;
  /** Added to numerator and denominator. Default 1e-5. */
  readonly smooth?: number;
  /** False leaves out class 0. Default true. */
  readonly includeBackground?: boolean;
  /** Weight of each class in the mean, [C]. Default: all alike. */
  readonly weights?: Tensor;
  /** Pixels with this label are left out; only with softmax and class labels. Default -100. */
  readonly ignoreIndex?: number;
}

/** Settings of dice(). */
export interface DiceOptions extends OverlapOptions {
  /** Squares in the denominator. Default false. */
  readonly squared?: boolean;
}

/**
 * Dice loss, the mean over classes of 1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth).
 * `x`: [N, C, ...] f32, probabilities or, with an activation, logits. `target`: the same shape, f32, or class labels
 * [N, ...], i32 or u32, where with a single channel 1 is the object. Returns []. No gradient goes to the target.
 * Throws ShapeError when shapes or dtypes do not fit, OptionError for an option outside its range.
 * Source: Milletari et al. 2016, arXiv:1606.04797; over the batch as in nnU-Net, arXiv:1904.08128.
 */
export function dice(x: Tensor, target: Tensor, { squared = false, ...options }: DiceOptions = {}): Tensor {
  return overlapLoss("dice", x, target, { ...options, squared, score: DICE });
}

/** Dice loss with squares in the denominator, sum(p^2) + sum(t^2), as Milletari et al. wrote it; else as `dice`. */
export function softDice(x: Tensor, target: Tensor, options: OverlapOptions = {}): Tensor {
  return overlapLoss("softDice", x, target, { ...options, squared: true, score: DICE });
}

/** Settings of tversky(). */
export interface TverskyOptions extends OverlapOptions {
  /** Weight of false positives. Default 0.3. */
  readonly alpha?: number;
  /** Weight of false negatives. Default 0.7. */
  readonly beta?: number;
}

/**
 * Tversky loss, the mean over classes of 1 - (tp + smooth) / (tp + alpha fp + beta fn + smooth); 0.5 and 0.5 give Dice.
 * Shapes, options and errors as `dice`; alpha and beta must be at least 0. Salehi et al. 2017, arXiv:1706.05721.
 */
export function tversky(
  x: Tensor,
  target: Tensor,
  { alpha = 0.3, beta = 0.7, ...options }: TverskyOptions = {},
): Tensor {
  if (!(alpha >= 0 && beta >= 0))
    throw new OptionError(`tversky: alpha and beta must be at least 0, got ${alpha} and ${beta}`);
  return overlapLoss("tversky", x, target, { ...options, score: { num: 1, den: 1 - alpha - beta, p: alpha, t: beta } });
}

/** Settings of diceBce(): those of dice(), and the weights of its parts. */
export interface DiceBceOptions extends Omit<DiceOptions, "activation" | "ignoreIndex"> {
  /** Weights of the two parts. Default 1 and 1. */
  readonly diceScale?: number;
  readonly ceScale?: number;
}

/**
 * Dice loss of sigmoid(x) plus the mean binary cross entropy of x, in one pass over x.
 * `x`: [N, C, ...] f32 logits; target, result and errors as `dice`.
 */
export function diceBce(
  x: Tensor,
  target: Tensor,
  { diceScale = 1, ceScale = 1, ...options }: DiceBceOptions = {},
): Tensor {
  return overlapLoss("diceBce", x, target, { ...options, activation: "sigmoid", score: DICE, diceScale, ceScale });
}

/** Settings of diceCrossEntropy(): those of dice(), and of the cross entropy. */
export interface DiceCrossEntropyOptions extends Omit<DiceOptions, "activation"> {
  /** Weights of the two parts. Default 1 and 1. */
  readonly diceScale?: number;
  readonly ceScale?: number;
  /** Weight of each class in the cross entropy, [C]. */
  readonly ceWeight?: Tensor;
  /**
   * A discriminator's confidence map M, [N, 1, ...]: pixel i weighs (1 - M_i)^power + |1 - M_i| in the cross entropy.
   * It gets no gradient.
   */
  readonly confidence?: Tensor;
  /** Exponent in the weight of a pixel. Default 2. */
  readonly power?: number;
}

/**
 * Dice loss of softmax(x) plus the mean cross entropy of x, the softmax computed once; with `confidence` the cross
 * entropy is that of difficultyWeightedCrossEntropy, and the sum the segmentation loss of MSALDS-UNet without its
 * adversarial term (equations 1 to 3).
 * `x`: [N, C, ...] f32 logits, C from 2 to 16. `labels`: [N, ...] i32 or u32. Returns []. Errors as `dice`.
 */
export function diceCrossEntropy(
  x: Tensor,
  labels: Tensor,
  { diceScale = 1, ceScale = 1, ...options }: DiceCrossEntropyOptions = {},
): Tensor {
  checkLabels("diceCrossEntropy", x, labels);
  return overlapLoss("diceCrossEntropy", x, labels, {
    ...options,
    activation: "softmax",
    score: DICE,
    diceScale,
    ceScale,
  });
}

/** score = (num pt + smooth) / (den pt + p P + t T + smooth), of the sums pt, P, T. */
interface Score {
  readonly num: number;
  readonly den: number;
  readonly p: number;
  readonly t: number;
}

const DICE: Score = { num: 2, den: 0, p: 1, t: 1 };

interface Settings extends DiceOptions {
  readonly score: Score;
  readonly diceScale?: number;
  /** Absent: no cross entropy. */
  readonly ceScale?: number;
  readonly ceWeight?: Tensor;
  readonly confidence?: Tensor;
  readonly power?: number;
}

const MAX_CLASSES = 16; // a thread holds the sums of all classes of a softmax
const MAX_PARTIALS = 1024; // one workgroup adds them up

function overlapLoss(op: string, x: Tensor, target: Tensor, settings: Settings): Tensor {
  const { activation = "none", ceScale } = settings;
  const layout = classLayout(op, x);
  check(op, x, target, layout.classes, settings);
  if (activation === "softmax" && layout.classes > MAX_CLASSES) {
    if (ceScale !== undefined)
      throw new ShapeError(
        `${op}: at most ${MAX_CLASSES} classes, got ${showShape(x.shape)}; add dice and crossEntropy`,
      );
    return overlapLoss(op, softmax(x, 1), target, { ...settings, activation: "none" });
  }
  return activation === "softmax"
    ? softmaxLoss(x, target, layout.plane, settings)
    : rowsLoss(x, target, layout.plane, settings);
}

function check(op: string, x: Tensor, target: Tensor, classes: number, settings: Settings): void {
  const {
    activation = "none",
    smooth = 1e-5,
    includeBackground = true,
    weights,
    ceWeight,
    confidence,
    power = 2,
    ignoreIndex,
  } = settings;
  if (!["none", "sigmoid", "softmax"].includes(activation)) {
    throw new OptionError(
      `${op}: activation must be "none", "sigmoid" or "softmax", got ${JSON.stringify(activation)}`,
    );
  }
  if (!(smooth >= 0)) throw new OptionError(`${op}: smooth must be at least 0, got ${smooth}`);
  if (!includeBackground && classes < 2)
    throw new OptionError(`${op}: includeBackground: false needs two channels or more, got ${showShape(x.shape)}`);
  if (ignoreIndex !== undefined && (activation !== "softmax" || isFloat(target))) {
    throw new OptionError(`${op}: ignoreIndex needs activation "softmax" and class labels`);
  }
  if (isFloat(target)) checkSame(op, x, "the target", target);
  else checkLabels(op, x, target);
  checkClassWeight(op, "weights", weights, classes);
  checkClassWeight(op, "ceWeight", ceWeight, classes);
  checkPower(op, power);
  if (confidence) checkConfidence(op, x, confidence);
}

/** Chunks of a plane: about 1,024 pixels each, as long as the partial sums stay few. */
function chunksOf(plane: number, rows: number): number {
  return Math.max(1, Math.min(Math.ceil(plane / 1024), Math.floor(MAX_PARTIALS / rows)));
}

interface Finished {
  readonly y: Tensor;
  readonly coef: Tensor;
  readonly scale: Tensor;
}

/** Probabilities that do not depend on each other: given ones, or a sigmoid of each element. */
function rowsLoss(x: Tensor, t: Tensor, plane: number, settings: Settings): Tensor {
  const { activation = "none", batch = true, squared = false, ceScale } = settings;
  const rows = x.shape[0] * x.shape[1];
  const chunks = chunksOf(plane, x.shape[1]);
  const consts = {
    T: t.dtype,
    C: x.shape[1],
    S: plane,
    SIGMOID: activation === "sigmoid",
    SQUARED: squared,
    LABELS: !isFloat(t),
    BCE: ceScale !== undefined,
  };
  const partials = empty([rows, chunks, 4]);
  launch(wgsl.dice_rows, {
    consts: { ...consts, CHUNKS: chunks },
    buffers: { x, t, partials },
    grid: linearGrid(rows * chunks, 1),
  });
  const { y, coef, scale } = finishOverlap(partials, x, plane, chunks, ceScale === undefined ? 0 : 1, settings);
  // keeps x, t and two numbers per row
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.dice_rows_grad, {
      consts: { ...consts, BATCH: batch },
      buffers: { x, t, coef, scale, dy, dx },
      grid: linearGrid(x.size, 64),
    });
    return [dx];
  });
}

/** Probabilities of a softmax over dimension 1, and its cross entropy. */
function softmaxLoss(x: Tensor, t: Tensor, plane: number, settings: Settings): Tensor {
  const { batch = true, squared = false, ceScale, ceWeight, confidence, power = 2, ignoreIndex = -100 } = settings;
  const [samples, classes] = x.shape;
  const chunks = chunksOf(plane, classes);
  const consts = {
    T: t.dtype,
    C: classes,
    S: plane,
    IGNORE: ignoreIndex,
    POWER: power,
    SQUARED: squared,
    LABELS: !isFloat(t),
    CE: ceScale !== undefined,
    DIFFICULTY: confidence !== undefined,
  };
  const inputs = { x, t, confidence: confidence ?? x };
  const partials = empty([samples * classes, chunks, 4]);
  launch(wgsl.dice_softmax, {
    consts: { ...consts, CHUNKS: chunks },
    buffers: { ...inputs, partials },
    grid: linearGrid(samples * chunks, 1),
  });
  const { y, coef, scale } = finishOverlap(partials, x, plane, chunks, ceScale === undefined ? 0 : 2, settings);
  // keeps x, t, the confidence and two numbers per row; the softmax is computed again
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.dice_softmax_grad, {
      consts: { ...consts, BATCH: batch, WEIGHTED: ceWeight !== undefined },
      buffers: { ...inputs, weight: ceWeight ?? x, coef, scale, dy, dx },
      grid: linearGrid(samples * plane, 64),
    });
    return [dx];
  });
}

/** The loss, and per row what the gradient needs; `ce` as CE in dice_finish.wgsl. */
function finishOverlap(
  partials: Tensor,
  x: Tensor,
  plane: number,
  chunks: number,
  ce: number,
  settings: Settings,
): Finished {
  const {
    batch = true,
    smooth = 1e-5,
    includeBackground = true,
    weights,
    score,
    diceScale = 1,
    ceScale = 0,
    ceWeight,
  } = settings;
  const [samples, classes] = x.shape;
  const y = empty([]);
  const coef = empty([batch ? classes : samples * classes, 2]);
  const scale = empty([1]);
  const consts = {
    // Over the batch few rows have many terms, and the other way round. The batch size stays out of it.
    LANES: batch ? 256 / 2 ** Math.min(8, Math.ceil(Math.log2(classes))) : 16,
    C: classes,
    S: plane,
    CHUNKS: chunks,
    BATCH: batch,
    FIRST: includeBackground ? 0 : 1,
    NUM: score.num,
    DEN: score.den,
    P: score.p,
    T: score.t,
    SMOOTH: smooth,
    DICE_SCALE: diceScale,
    CE_SCALE: ceScale,
    CE: ce,
    WEIGHTED: weights !== undefined,
    CE_WEIGHTED: ceWeight !== undefined,
  };
  launch(wgsl.dice_finish, {
    consts,
    buffers: { partials, weight: weights ?? partials, ce_weight: ceWeight ?? partials, coef, scale, y },
    grid: [1, 1, 1],
  });
  return { y, coef, scale };
}
