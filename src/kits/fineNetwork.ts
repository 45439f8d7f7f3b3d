// An MSALDS-UNet and its discriminators in training: the discriminators' step, then the network's, on one batch.
// Source: Zheng et al., section 2.2; the options are the places where the authors' published code differs from the text.

import type { Tensor } from "../index.ts";
import {
  Discriminator,
  MSALDSUNet,
  discriminatorLoss,
  fullResolution,
  generatorLoss,
  initNormal,
  initPrior,
  parameterCount,
  parameters,
  setTraining,
  type MultiScaleLoss,
} from "../nn/index.ts";
import { Adam } from "../nn/optim.ts";
import { Rng } from "../random.ts";
import { descent, type Moves } from "./descent.ts";
import {
  batchStep,
  learningRate,
  modelInput,
  softmaxHead,
  termsOf,
  type ClassFrequencies,
  type Network,
  type Terms,
} from "./network.ts";
import type { FineOptions } from "./options.ts";
import { loadNetworkState, networkState, type TrainedParts } from "./networkState.ts";

/** Background and one target, softmax; named for its stage so that every stage starts from weights of its own. */
export function fineNetwork(stage: string, options: FineOptions, seed: number, frequencies: ClassFrequencies): Network {
  const generator = buildGenerator(stage, options, seed, frequencies);
  const discriminators = buildDiscriminators(stage, options, seed);
  const { size } = options;
  const input = (images: Tensor) => modelInput(images, options);
  const rate = learningRate(options.lr, options);
  const discriminatorRate = learningRate(options.discriminatorLr, options);
  const adam = new Adam(parameters(generator), { lr: options.lr });
  const adamD =
    discriminators.length > 0 ? new Adam(parameters(discriminators), { lr: options.discriminatorLr }) : null;
  const parts: TrainedParts = {
    models: { model: generator, ...(adamD && { discriminators }) },
    optimisers: { adam, ...(adamD && { adamD }) },
    descent: descent(options.precision),
  };
  const steps = batchStep(({ images, labels }, moves) => {
    const image = input(images);
    const logits = generator.forward(image).slice(0, options.scales);
    const d = adamD && discriminatorStep(image, logits, labels, discriminators, adamD, moves, options);
    const g = generatorStep(generator, image, logits, labels, discriminators, adam, moves, options);
    return packed(g, d, moves.finish());
  }, parts);
  return {
    model: fullResolution(generator),
    ...softmaxHead,
    discriminators,
    size,
    input,
    parameterCounts: { network: parameterCount(generator), discriminators: parameterCount(discriminators) },
    setTraining: (training) => [generator, ...discriminators].forEach((model) => setTraining(model, training)),
    setEpoch: (epoch) => {
      adam.lr = rate(epoch);
      if (adamD) adamD.lr = discriminatorRate(epoch);
    },
    get lr() {
      return adam.lr;
    },
    state: () => networkState(parts),
    loadState: (state) => loadNetworkState(parts, state),
    ...steps,
  };
}

/** MSALDS-UNet with random weights. */
export function buildGenerator(
  stage: string,
  { channels, width, depth, dropout, recompute, init, prior }: FineOptions,
  seed: number,
  frequencies: ClassFrequencies,
): MSALDSUNet {
  const rng = new Rng(seed, `${stage} init`);
  const generator = new MSALDSUNet({ inChannels: channels, classes: 2, width, depth, dropout, recompute, rng });
  if (init === "normal") initNormal(generator, new Rng(seed, `${stage} init normal`));
  if (prior) for (const classifier of [generator.classifier, ...generator.sides]) initPrior(classifier, frequencies);
  return generator;
}

/**
 * One pass runs the discriminators of all scales, which saves small launches; apart from each other only where one of
 * them judges two scales.
 */
export function buildDiscriminators(stage: string, options: FineOptions, seed: number): Discriminator[] {
  const total = { all: options.scales, last: 1, none: 0 }[options.discriminators];
  const counts = options.sharedLastDiscriminator ? Array<number>(total).fill(1) : total > 0 ? [total] : [];
  return counts.map((count, k) => {
    const discriminator = new Discriminator({
      inChannels: options.channels + 2,
      width: options.discriminatorWidth,
      depth: options.discriminatorDepth,
      dropout: options.discriminatorDropout,
      count,
      recompute: options.recompute,
      rng: new Rng(seed, `${stage} discriminator ${k} init`),
    });
    if (options.init === "normal") initNormal(discriminator, new Rng(seed, `${stage} discriminator ${k} init normal`));
    return discriminator;
  });
}

function discriminatorStep(
  image: Tensor,
  logits: readonly Tensor[],
  labels: Tensor,
  discriminators: readonly Discriminator[],
  adam: Adam,
  moves: Moves,
  { discriminatorInput }: FineOptions,
): MultiScaleLoss<object> {
  const judged = logits.slice(0, countOf(discriminators));
  const d = discriminatorLoss(image, judged, labels, discriminators, { input: discriminatorInput });
  moves.step(d.loss, adam);
  return d;
}

function generatorStep(
  generator: MSALDSUNet,
  image: Tensor,
  logits: readonly Tensor[],
  labels: Tensor,
  discriminators: readonly Discriminator[],
  adam: Adam,
  moves: Moves,
  options: FineOptions,
): MultiScaleLoss<object> {
  const fresh = options.forward === "fresh" ? generator.forward(image).slice(0, options.scales) : null;
  const judged = fresh ?? logits;
  // The authors' code takes Dice and cross entropy of the two coarsest of its four outputs from the first pass.
  const segmentation = fresh?.map((z, k) => (k < 2 ? z : logits[k]));
  const g = generatorLoss(image, judged, labels, criticsOf(discriminators, options), { ...options, segmentation });
  moves.step(g.loss, adam);
  return g;
}

function countOf(discriminators: readonly Discriminator[]): number {
  return discriminators.reduce((n, { count }) => n + count, 0);
}

/** The discriminators of all trained scales in the network's part, null where there is none. */
function criticsOf(discriminators: readonly Discriminator[], options: FineOptions): (Discriminator | null)[] {
  const none = Array<null>(options.scales - countOf(discriminators)).fill(null);
  const critics = [...discriminators, ...none];
  if (options.sharedLastDiscriminator && critics.length > 1) critics[critics.length - 1] = critics.at(-2)!;
  return critics;
}

/** All scalars of a step in one tensor: "generator.0.dice", "discriminator.3.accuracy", ... */
function packed(
  generator: MultiScaleLoss<object>,
  discriminator: MultiScaleLoss<object> | null,
  skipped: Tensor,
): Terms {
  const scalars: [string, Tensor][] = [["loss", generator.loss.detach()]];
  for (const [part, scales] of [
    ["generator", generator.scales],
    ["discriminator", discriminator?.scales ?? []],
  ] as const) {
    scales.forEach((terms, k) => {
      for (const [name, value] of Object.entries(terms)) scalars.push([`${part}.${k}.${name}`, value as Tensor]);
    });
  }
  return termsOf(scalars, skipped);
}
