// Normalisation layers in float64. x: [N, C, ...]; weight, bias: [C] unless said otherwise.
import { type NdArray, map, sizeOf } from "./array.ts";

interface Moments {
  mean: Float64Array;
  variance: Float64Array; // population variance
  count: number;
}

/** Mean and variance of the elements that share a group; `groupOf` gives the group of a flat index. */
function moments(x: NdArray, groups: number, groupOf: (i: number) => number): Moments {
  const count = x.data.length / groups;
  const mean = new Float64Array(groups);
  const variance = new Float64Array(groups);
  x.data.forEach((v, i) => (mean[groupOf(i)] += v / count));
  x.data.forEach((v, i) => (variance[groupOf(i)] += (v - mean[groupOf(i)]) ** 2 / count));
  return { mean, variance, count };
}

/** Zero mean and unit variance in every group, then times weight plus bias at index `affineOf`. */
function normalise(
  x: NdArray,
  { mean, variance }: Pick<Moments, "mean" | "variance">,
  groupOf: (i: number) => number,
  affineOf: (i: number) => number,
  weight: NdArray | null,
  bias: NdArray | null,
  eps: number,
): NdArray {
  return map(x, (v, i) => {
    const g = groupOf(i);
    const hat = (v - mean[g]) / Math.sqrt(variance[g] + eps);
    return hat * (weight ? weight.data[affineOf(i)] : 1) + (bias ? bias.data[affineOf(i)] : 0);
  });
}

const channelOf = (x: NdArray): ((i: number) => number) => {
  const plane = sizeOf(x.shape.slice(2));
  return (i) => Math.floor(i / plane) % x.shape[1];
};

export interface BatchNormOptions {
  training: boolean;
  momentum?: number;
  eps?: number;
}

/**
 * Batch normalisation; returns [y, running mean, running variance] as they are after the call. In training the batch's
 * own moments are used, and running = (1 - momentum) * running + momentum * batch, with the unbiased variance there.
 * Ioffe and Szegedy 2015, arXiv:1502.03167; the running rule is PyTorch's.
 */
export function batchNorm(
  x: NdArray,
  weight: NdArray | null,
  bias: NdArray | null,
  runningMean: NdArray,
  runningVar: NdArray,
  { training, momentum = 0.1, eps = 1e-5 }: BatchNormOptions,
): [NdArray, NdArray, NdArray] {
  const channel = channelOf(x);
  if (!training) {
    const stored = { mean: runningMean.data, variance: runningVar.data };
    return [normalise(x, stored, channel, channel, weight, bias, eps), runningMean, runningVar];
  }
  const batch = moments(x, x.shape[1], channel);
  const unbiased = batch.count / (batch.count - 1);
  const y = normalise(x, batch, channel, channel, weight, bias, eps);
  const mean = map(runningMean, (v, c) => (1 - momentum) * v + momentum * batch.mean[c]);
  const variance = map(runningVar, (v, c) => (1 - momentum) * v + momentum * batch.variance[c] * unbiased);
  return [y, mean, variance];
}

/** Group normalisation: moments over C / groups channels of one sample. Wu and He 2018, arXiv:1803.08494. */
export function groupNorm(
  x: NdArray,
  weight: NdArray | null,
  bias: NdArray | null,
  { groups, eps = 1e-5 }: { groups: number; eps?: number },
): NdArray {
  const size = x.data.length / (x.shape[0] * groups);
  const group = (i: number): number => Math.floor(i / size);
  return normalise(x, moments(x, x.shape[0] * groups, group), group, channelOf(x), weight, bias, eps);
}

/** Instance normalisation: moments over one channel of one sample. Ulyanov et al. 2016, arXiv:1607.08022. */
export function instanceNorm(
  x: NdArray,
  weight: NdArray | null,
  bias: NdArray | null,
  { eps = 1e-5 }: { eps?: number } = {},
): NdArray {
  return groupNorm(x, weight, bias, { groups: x.shape[1], eps });
}

/** Layer normalisation over the trailing dimensions that `weight` and `bias` have. Ba et al. 2016, arXiv:1607.06450. */
export function layerNorm(x: NdArray, weight: NdArray, bias: NdArray, { eps = 1e-5 }: { eps?: number } = {}): NdArray {
  const size = weight.data.length;
  const row = (i: number): number => Math.floor(i / size);
  return normalise(x, moments(x, x.data.length / size, row), row, (i) => i % size, weight, bias, eps);
}
