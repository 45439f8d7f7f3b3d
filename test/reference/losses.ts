// Losses in float64. Logits or probabilities: [N, C, ...]; class targets: [N, ...] of integers.
import { type NdArray, array, atBroadcast, generate, map, scalar, sizeOf } from "./array.ts";
import { logSoftmax, sigmoid, softmax, softplusOf } from "./elementwise.ts";

export type Reduction = "mean" | "sum" | "none";

function reduced(losses: NdArray, reduction: Reduction, divisor = losses.data.length): NdArray {
  if (reduction === "none") return losses;
  const sum = losses.data.reduce((s, v) => s + v, 0);
  return scalar(reduction === "sum" ? sum : sum / divisor);
}

export interface BinaryOptions {
  /** Weight of each element; broadcasts. */
  weight?: NdArray;
  reduction?: Reduction;
}

/** Binary cross entropy of probabilities `p`; logarithms are cut at -100, as PyTorch does. */
export function bce(p: NdArray, target: NdArray, { weight, reduction = "mean" }: BinaryOptions = {}): NdArray {
  const losses = generate(p.shape, (position, i) => {
    const t = target.data[i];
    const yes = Math.max(Math.log(p.data[i]), -100);
    const no = Math.max(Math.log1p(-p.data[i]), -100);
    return -(t * yes + (1 - t) * no) * (weight ? atBroadcast(weight, position) : 1);
  });
  return reduced(losses, reduction);
}

/** Binary cross entropy of logits; `posWeight` multiplies the positive term and broadcasts like `weight`. */
export function bceWithLogits(
  x: NdArray,
  target: NdArray,
  { weight, posWeight, reduction = "mean" }: BinaryOptions & { posWeight?: NdArray } = {},
): NdArray {
  const losses = generate(x.shape, (position, i) => {
    const t = target.data[i];
    const positive = posWeight ? atBroadcast(posWeight, position) : 1;
    const loss = positive * t * softplusOf(-x.data[i]) + (1 - t) * softplusOf(x.data[i]);
    return loss * (weight ? atBroadcast(weight, position) : 1);
  });
  return reduced(losses, reduction);
}

export interface CrossEntropyOptions {
  /** Weight of each class, [C]. */
  weight?: NdArray;
  /** Targets with this value are left out. */
  ignoreIndex?: number;
  labelSmoothing?: number;
  reduction?: Reduction;
}

/** Softmax cross entropy. `mean` divides by the sum of the targets' class weights, as PyTorch does. */
export function crossEntropy(x: NdArray, target: NdArray, options: CrossEntropyOptions = {}): NdArray {
  const { weight, ignoreIndex = -100, labelSmoothing = 0, reduction = "mean" } = options;
  const classes = x.shape[1];
  const plane = sizeOf(x.shape.slice(2));
  const logs = logSoftmax(x, 1);
  const weightOf = (c: number): number => (weight ? weight.data[c] : 1);
  let divisor = 0;
  const losses = map(target, (t, i) => {
    if (t === ignoreIndex) return 0;
    const first = Math.floor(i / plane) * classes * plane + (i % plane);
    divisor += weightOf(t);
    let loss = -(1 - labelSmoothing) * weightOf(t) * logs.data[first + t * plane];
    for (let c = 0; c < classes; c++) loss -= (labelSmoothing / classes) * weightOf(c) * logs.data[first + c * plane];
    return loss;
  });
  return reduced(losses, reduction, divisor);
}

/** Class indices [N, ...] as [N, C, ...] of zeros and ones. */
export function oneHot(target: NdArray, classes: number): NdArray {
  const [n, ...spatial] = target.shape;
  const plane = sizeOf(spatial);
  return generate([n, classes, ...spatial], ([b, c], i) => (target.data[b * plane + (i % plane)] === c ? 1 : 0));
}

interface Overlap {
  both: number; // sum of p * t
  p: number;
  t: number;
  pp: number; // sum of p * p
  tt: number;
}

/** The sums over space of every (n, c), or of every c over the whole batch. */
function overlaps(p: NdArray, target: NdArray, batch: boolean): Overlap[] {
  const [n, c] = p.shape;
  const plane = sizeOf(p.shape.slice(2));
  const sums = Array.from({ length: batch ? c : n * c }, () => ({ both: 0, p: 0, t: 0, pp: 0, tt: 0 }));
  p.data.forEach((v, i) => {
    const row = Math.floor(i / plane);
    const s = sums[batch ? row % c : row];
    const t = target.data[i];
    s.both += v * t;
    s.p += v;
    s.t += t;
    s.pp += v * v;
    s.tt += t * t;
  });
  return sums;
}

const meanOf = (values: number[]): NdArray => scalar(values.reduce((s, v) => s + v, 0) / values.length);

export interface DiceOptions {
  smooth?: number;
  /** Sums over batch and space (true), or over space and then a mean over samples (false). */
  batch?: boolean;
  /** The first class that counts; 1 leaves the background out. */
  firstClass?: number;
}

/** One Dice loss per class (or sample and class), in the order of `overlaps`, without the classes left out. */
function diceLosses(p: NdArray, target: NdArray, options: DiceOptions, f: (s: Overlap, smooth: number) => number) {
  const { smooth = 1e-5, batch = true, firstClass = 0 } = options;
  const counted = overlaps(p, target, batch).filter((_, row) => row % p.shape[1] >= firstClass);
  return counted.map((s) => f(s, smooth));
}

/** Mean of 1 - (2 sum(pt) + smooth) / (sum(p) + sum(t) + smooth) over classes. p, target: [N, C, ...] probabilities. */
export function dice(p: NdArray, target: NdArray, options: DiceOptions = {}): NdArray {
  return meanOf(diceLosses(p, target, options, (s, k) => 1 - (2 * s.both + k) / (s.p + s.t + k)));
}

/** Dice with squared sums in the denominator. Milletari et al. 2016, arXiv:1606.04797. */
export function softDice(p: NdArray, target: NdArray, options: DiceOptions = {}): NdArray {
  return meanOf(diceLosses(p, target, options, (s, k) => 1 - (2 * s.both + k) / (s.pp + s.tt + k)));
}

/** Dice of sigmoid(x) against a target of the same shape. */
export function diceWithSigmoid(x: NdArray, target: NdArray, options: DiceOptions = {}): NdArray {
  return dice(sigmoid(x), target, options);
}

/** Dice of softmax(x) over dimension 1 against class indices. */
export function diceWithSoftmax(x: NdArray, target: NdArray, options: DiceOptions = {}): NdArray {
  return dice(softmax(x, 1), oneHot(target, x.shape[1]), options);
}

/**
 * Mean of 1 - (tp + smooth) / (tp + alpha fp + beta fn + smooth) over classes. p, target: [N, C, ...] probabilities.
 * Salehi et al. 2017, arXiv:1706.05721.
 */
export function tversky(
  p: NdArray,
  target: NdArray,
  options: DiceOptions & { alpha?: number; beta?: number } = {},
): NdArray {
  const { alpha = 0.3, beta = 0.7 } = options;
  const missed = (s: Overlap): number => alpha * (s.p - s.both) + beta * (s.t - s.both);
  return meanOf(diceLosses(p, target, options, (s, k) => 1 - (s.both + k) / (s.both + missed(s) + k)));
}

/** Binary focal loss of logits: alpha_t (1 - p_t)^gamma times cross entropy. Lin et al. 2017, arXiv:1708.02002. */
export function focal(
  x: NdArray,
  target: NdArray,
  { gamma = 2, alpha = 0.25, reduction = "mean" as Reduction } = {},
): NdArray {
  const p = sigmoid(x);
  const ce = bceWithLogits(x, target, { reduction: "none" });
  const losses = map(ce, (loss, i) => {
    const t = target.data[i];
    const missed = t * (1 - p.data[i]) + (1 - t) * p.data[i]; // 1 - p_t
    return (alpha * t + (1 - alpha) * (1 - t)) * missed ** gamma * loss;
  });
  return reduced(losses, reduction);
}

function pairwise(x: NdArray, target: NdArray, reduction: Reduction, f: (difference: number) => number): NdArray {
  return reduced(map(x, (v, i) => f(v - target.data[i])), reduction);
}

/** Squared error. */
export function mse(x: NdArray, target: NdArray, { reduction = "mean" as Reduction } = {}): NdArray {
  return pairwise(x, target, reduction, (d) => d * d);
}

/** Absolute error. */
export function l1(x: NdArray, target: NdArray, { reduction = "mean" as Reduction } = {}): NdArray {
  return pairwise(x, target, reduction, Math.abs);
}

/** Squared error / (2 beta) within `beta`, absolute error - beta / 2 beyond. */
export function smoothL1(x: NdArray, target: NdArray, { beta = 1, reduction = "mean" as Reduction } = {}): NdArray {
  return pairwise(x, target, reduction, (d) => (Math.abs(d) < beta ? (d * d) / (2 * beta) : Math.abs(d) - beta / 2));
}

/** The weight of every pixel from the confidence map M in [0, 1]: (1 - M)^power + |1 - M|. MSALDS-UNet, equation 2. */
export function difficultyWeight(confidence: NdArray, { power = 2 }: { power?: number } = {}): NdArray {
  return map(confidence, (m) => (1 - m) ** power + Math.abs(1 - m));
}

/**
 * Mean over pixels of weight_i * cross entropy_i; MSALDS-UNet, equation 1. x: [N, C, ...]; target: [N, ...];
 * confidence: [N, 1, ...]. The weight is a constant: no gradient goes to `confidence`, so do not differentiate it here.
 */
export function difficultyWeightedCrossEntropy(
  x: NdArray,
  target: NdArray,
  confidence: NdArray,
  { power = 2 }: { power?: number } = {},
): NdArray {
  const weight = difficultyWeight(confidence, { power });
  const losses = crossEntropy(x, target, { reduction: "none" });
  return reduced(array(losses.shape, losses.data.map((v, i) => v * weight.data[i])), "mean");
}
