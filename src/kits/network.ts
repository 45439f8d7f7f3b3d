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
import { initNormal, initPrior, loadRngState, parameterCount, parameters, rngState, setTraining } from "../nn/index.ts";
import { buildModel, type Discriminator, type SegmentationModel } from "../nn/models/index.ts";
import { Adam } from "../nn/optim.ts";
import { firstNonfinite } from "../nn/probe.ts";
import { constantLR, cosineAnnealingLR, cosineWarmRestarts, stepLR, type Schedule } from "../nn/schedule.ts";
import { Rng } from "../random.ts";
import { hostTensors, type Batch, type BatchTensors, type GpuSlices } from "./batch.ts";
import { descent, probing, type Moves } from "./descent.ts";
import type { CoarseOptions, TrainOptions } from "./options.ts";
import { loadNetworkState, networkState, type NetworkState, type TrainedParts } from "./networkState.ts";

/**
 * What a step leaves for the log: names of scalars, the first the loss, and their values in one tensor. One more value
 * follows them: not 0 where the step was not taken, since its loss or gradients were not finite.
 */
export interface Terms {
  readonly names: readonly string[];
  readonly values: Tensor;
}

/** Named scalars and what Moves.finish() gave. */
export function termsOf(scalars: readonly (readonly [name: string, value: Tensor])[], skipped: Tensor): Terms {
  const values = [...scalars.map(([, value]) => value), reshape(skipped, [])];
  return { names: scalars.map(([name]) => name), values: stack(values) };
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
  /**
   * Computes the step that was taken last or before it once more and names what in it first is not finite: "the output of
   * encoder.0.conv1"; null where all is finite. Takes the weights as they are now, so it is exact where no step was taken
   * since. Ends the training: running statistics and random sequences move.
   */
  inspect(batch: Batch): Promise<string | null>;
  /** Its loss is scaled: gradients that overflow now and then are no fault. */
  readonly lossScaled: boolean;
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
export function batchStep(
  train: (batch: BatchTensors, moves: Moves) => Terms,
  { models, descent }: TrainedParts,
): Pick<Network, "prepare" | "trainStep" | "inspect" | "lossScaled" | "free"> {
  let compiled: { slices: GpuSlices; step: CompiledStep<Record<string, Tensor>, Terms> } | null = null;
  let positions = new Map<string, Record<string, number>>(); // of random sequences, where the next step begins
  const begun = new WeakMap<Batch, typeof positions>(); // and where the step of a batch began
  const positionsNow = () => new Map(Object.entries(models).map(([name, model]) => [name, rngState(model)]));
  const free = () => {
    compiled?.step.free();
    compiled = null;
  };
  const stepOn = (slices: GpuSlices) => {
    if (compiled?.slices !== slices) {
      free();
      positions = positionsNow();
      compiled = { slices, step: compile((inputs: Record<string, Tensor>) => train(slices.tensors(inputs), descent)) };
    }
    return compiled!.step;
  };
  return {
    prepare: (count, slices) => stepOn(slices).prepare(slices.blank(count).inputs),
    trainStep: async (batch) => {
      const step = stepOn(batch.slices);
      begun.set(batch, positions);
      const terms = await step(batch.inputs);
      positions = positionsNow();
      return terms;
    },
    inspect: (batch) => {
      free(); // the memory is needed
      for (const [name, at] of begun.get(batch) ?? []) loadRngState(models[name], at);
      return firstNonfinite(unprefixed(models), (probe) => {
        train(batch.slices.tensors(hostTensors(batch.inputs)), probing(descent, probe));
      });
    },
    lossScaled: descent.scaled,
    free,
  };
}

/** The network's layers go by their names in its checkpoint. */
function unprefixed({ model, ...others }: TrainedParts["models"]): TrainedParts["models"] {
  return { "": model, ...others };
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
  const model = buildCoarse(options, new Rng(seed, "init"));
  if (options.init === "normal") initNormal(model, new Rng(seed, "init normal"));
  if (options.prior) initPrior(model.classifier, frequencies);
  return plainNetwork(model, options, softmaxHead);
}

/**
 * Sigmoid outputs for kidney, masses and tumor, each within the one before: the yardstick of the ablation. Its classes
 * are 1 kidney, 2 cyst, 3 tumor, so that a pixel of class k lies in the first k regions.
 */
export function regionNetwork(options: CoarseOptions, seed: number, frequencies: ClassFrequencies): Network {
  const model = buildCoarse(options, new Rng(seed, "region init"));
  if (options.init === "normal") initNormal(model, new Rng(seed, "region init normal"));
  if (options.prior) assign(model.classifier.bias!, tensor(regionLogits(frequencies)));
  return plainNetwork(model, options, regionHead);
}

/** The coarse network with random weights. */
export function buildCoarse(
  { model, channels, width, depth, dropout, recompute }: CoarseOptions,
  rng: Rng,
): SegmentationModel {
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
  const parts: TrainedParts = { models: { model }, optimisers: { adam }, descent: descent(options.precision) };
  const steps = batchStep(({ images, labels }, moves) => {
    const loss = head.loss(model.forward(input(images)), labels);
    moves.step(loss, adam);
    return termsOf([["loss", loss.detach()]], moves.finish());
  }, parts);
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
