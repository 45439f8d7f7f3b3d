// The networks of a run and one optimiser step of each. Here those without discriminators: the coarse network, and the
// region-trained yardstick. MSALDS-UNet is in fineNetwork.ts.

import {
  add,
  arange,
  argmax,
  assign,
  cast,
  compile,
  concat,
  diceBce,
  diceCrossEntropy,
  greaterEqual,
  hasF16,
  mul,
  reshape,
  sigmoid,
  slice,
  softmax,
  stack,
  tensor,
  type CompiledStep,
  type PlanMemory,
  type Tensor,
} from "../index.ts";
import { initNormal, initPrior, parameterCount, parameters, setTraining } from "../nn/index.ts";
import { buildModel, type Discriminator, type SegmentationModel } from "../nn/models/index.ts";
import { Adam } from "../nn/optim.ts";
import { constantLR, cosineAnnealingLR, cosineWarmRestarts, stepLR, type Schedule } from "../nn/schedule.ts";
import { Rng } from "../random.ts";
import type { Batch, BatchTensors, GpuSlices } from "./batch.ts";
import { descent } from "./descent.ts";
import type { CoarseOptions, TrainOptions } from "./options.ts";
import { loadNetworkState, networkState, type NetworkState, type TrainedParts } from "./trainingState.ts";

/** What a step leaves for the log: names of scalars, and their values in one tensor. The first is the loss. */
export interface Terms {
  readonly names: readonly string[];
  readonly values: Tensor;
}

/** A network of the cascade as training, prediction and checkpoints use it. */
export interface Network {
  /** Logits of full resolution, [N, C, size, size]. */
  readonly model: SegmentationModel;
  /** Together one per judged scale, from full resolution down; empty without adversarial training. */
  readonly discriminators: readonly Discriminator[];
  readonly size: number;
  /** Grey images [N, 1, size, size] as the model takes them. */
  input(images: Tensor): Tensor;
  /** Weights of the network, and of all its discriminators. */
  readonly parameterCounts: { readonly network: number; readonly discriminators: number };
  setTraining(training: boolean): void;
  setEpoch(epoch: number): void;
  /** The network's learning rate now. */
  readonly lr: number;
  /** GPU bytes that training steps of so many of `slices` take: their own; and weights, optimiser state and the slices. */
  prepare(count: number, slices: GpuSlices): Promise<PlanMemory>;
  /** One step of all optimisers; resolves when it is submitted. */
  trainStep(batch: Batch): Promise<Terms>;
  /** What a training that is interrupted goes on from. Call it between steps, when all of them have ended. */
  state(): Promise<NetworkState>;
  loadState(state: NetworkState): void;
  /** Gives back the memory that training steps keep between them. */
  free(): void;
  /** The loss of logits that a validation slice is judged by, without gradients. */
  loss(logits: Tensor, labels: Tensor): Tensor;
  /** The class of every pixel, [N, size, size]. */
  classes(logits: Tensor): Tensor;
  /** Probability of each class, or of each region for region training. */
  probabilities(logits: Tensor): Tensor;
}

/** Pixels of each class in the first slices that training will see; the prior that the classifier starts with. */
export type ClassFrequencies = readonly number[];

/** Adam's learning rate by epoch, counted from 0. */
export function learningRate(lr: number, { schedule, gamma, epochs, restartEvery }: TrainOptions): Schedule {
  if (schedule === "constant") return constantLR(lr);
  if (schedule === "step") return stepLR(lr, { stepSize: 1, gamma });
  if (schedule === "restarts") return cosineWarmRestarts(lr, { t0: restartEvery });
  return cosineAnnealingLR(lr, { tMax: epochs });
}

/** A training step compiled for batches; with slices of another uploadSlices() it is traced anew. */
export function batchStep(train: (batch: BatchTensors) => Terms): Pick<Network, "prepare" | "trainStep" | "free"> {
  let compiled: { slices: GpuSlices; step: CompiledStep<Record<string, Tensor>, Terms> } | null = null;
  const free = () => {
    compiled?.step.free();
    compiled = null;
  };
  const stepOn = (slices: GpuSlices) => {
    if (compiled?.slices !== slices) {
      free();
      compiled = { slices, step: compile((inputs: Record<string, Tensor>) => train(slices.tensors(inputs))) };
    }
    return compiled!.step;
  };
  return {
    prepare: (count, slices) => stepOn(slices).prepare(slices.blank(count).inputs),
    trainStep: ({ slices, inputs }) => stepOn(slices)(inputs),
    free,
  };
}

/**
 * Every image `channels` times: grey as the red, green and blue that the paper's networks take; in f16 where the network
 * is to run in it and the adapter can.
 */
export function modelInput(images: Tensor, { channels, precision }: TrainOptions): Tensor {
  const stored = precision === "f16" && hasF16() ? cast(images, "f16") : images;
  return concat(Array<Tensor>(channels).fill(stored), 1);
}

/** The coarse network: softmax over background, kidney and mass; Dice plus cross entropy. */
export function coarseNetwork(options: CoarseOptions, seed: number, frequencies: ClassFrequencies): Network {
  const model = build(options, new Rng(seed, "init"));
  if (options.init === "normal") initNormal(model, new Rng(seed, "init normal"));
  if (options.prior) initPrior(model.classifier, frequencies);
  return plainNetwork(model, options, softmaxHead);
}

/**
 * Sigmoid outputs for kidney, masses and tumor, each within the one before: the yardstick of the ablation. Its classes
 * are 1 kidney, 2 cyst, 3 tumor, so that a pixel of class k lies in the first k regions.
 */
export function regionNetwork(options: CoarseOptions, seed: number, frequencies: ClassFrequencies): Network {
  const model = build(options, new Rng(seed, "region init"));
  if (options.init === "normal") initNormal(model, new Rng(seed, "region init normal"));
  if (options.prior) assign(model.classifier.bias!, tensor(regionLogits(frequencies)));
  return plainNetwork(model, options, regionHead);
}

function build({ model, channels, width, depth, dropout, recompute }: CoarseOptions, rng: Rng): SegmentationModel {
  return buildModel(model, { inChannels: channels, classes: 3, width, depth, dropout, recompute, rng });
}

/** log(f / (1 - f)) of each region's share of the pixels, as initPrior does for a softmax. */
function regionLogits(frequencies: ClassFrequencies): number[] {
  const total = frequencies.reduce((a, b) => a + b, 0);
  return [1, 2, 3].map((k) => {
    const share = frequencies.slice(k).reduce((a, b) => a + b, 0) / total;
    const f = Math.min(Math.max(share, 1e-4), 1 - 1e-4);
    return Math.log(f / (1 - f));
  });
}

/** How logits become losses, classes and probabilities. */
export type Head = Pick<Network, "loss" | "classes" | "probabilities">;

export const softmaxHead: Head = {
  loss: (logits, labels) => diceCrossEntropy(logits, labels),
  classes: (logits) => argmax(logits, { dim: 1 }),
  probabilities: (logits) => softmax(logits, 1),
};

const regionHead: Head = {
  loss: (logits, labels) => diceBce(logits, regionTargets(labels)),
  classes: (logits) => {
    const inside = greaterEqual(logits, 0);
    const [kidney, masses, tumor] = [0, 1, 2].map((k) => slice(inside, { dim: 1, start: k, end: k + 1 }));
    const [n, , h, w] = logits.shape;
    return reshape(cast(mul(kidney, add(mul(masses, add(tumor, 1)), 1)), "i32"), [n, h, w]);
  },
  probabilities: (logits) => sigmoid(logits),
};

/** [N, H, W] classes to [N, 3, H, W] ones inside each region. */
function regionTargets(labels: Tensor): Tensor {
  const [n, h, w] = labels.shape;
  return greaterEqual(reshape(cast(labels, "f32"), [n, 1, h, w]), reshape(add(arange(3), 1), [1, 3, 1, 1]));
}

function plainNetwork(model: SegmentationModel, options: TrainOptions, head: Head): Network {
  const { size } = options;
  const input = (images: Tensor) => modelInput(images, options);
  const rate = learningRate(options.lr, options);
  const adam = new Adam(parameters(model), { lr: options.lr });
  const down = descent(options.precision);
  const steps = batchStep(({ images, labels }) => {
    const loss = head.loss(model.forward(input(images)), labels);
    down.step(loss, adam);
    down.finish();
    return { names: ["loss"], values: stack([loss.detach()]) };
  });
  const parts: TrainedParts = { models: { model }, optimisers: { adam }, descent: down };
  return {
    model,
    ...head,
    discriminators: [],
    size,
    input,
    parameterCounts: { network: parameterCount(model), discriminators: 0 },
    setTraining: (training) => setTraining(model, training),
    setEpoch: (epoch) => void (adam.lr = rate(epoch)),
    get lr() {
      return adam.lr;
    },
    state: () => networkState(parts),
    loadState: (state) => loadNetworkState(parts, state),
    ...steps,
  };
}
