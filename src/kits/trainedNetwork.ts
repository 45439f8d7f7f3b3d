// Networks of a run as prediction needs them: weights that were trained, no optimisers. Nothing here touches files, so
// that a browser can do it too.

import type { Tensor } from "../index.ts";
import { fullResolution, loadStateDict, setTraining, type StateDict } from "../nn/index.ts";
import { Rng } from "../random.ts";
import { buildDiscriminators, buildGenerator } from "./fineNetwork.ts";
import { buildCoarse, modelInput, softmaxHead } from "./network.ts";
import type { RunOptions } from "./options.ts";
import type { PredictionNetwork } from "./predict.ts";
import type { StageName } from "./stages.ts";

/** Weights of one network as decodeSafetensors(bytes).tensors gives them. */
export interface NetworkWeights {
  /** checkpoints/<stage>/best.safetensors */
  readonly model: StateDict;
  /** checkpoints/<stage>/best.discriminators.safetensors: for confidence; may be left out. */
  readonly discriminators?: StateDict;
}

/** The network of a stage with these weights. Throws DataError where they are another network's. */
export function trainedNetwork(stage: StageName, options: RunOptions, weights: NetworkWeights): PredictionNetwork {
  const settings = options[stage];
  const { model, trained } = stage === "coarse" ? coarse(options) : fine(stage, options);
  loadStateDict(trained, weights.model);
  const judged = stage !== "coarse" && weights.discriminators;
  const discriminators = judged ? buildDiscriminators(stage, options[stage], options.seed) : [];
  if (judged) loadStateDict(discriminators, judged);
  return {
    model,
    discriminators,
    size: settings.size,
    input: (images: Tensor) => modelInput(images, settings),
    probabilities: softmaxHead.probabilities,
    setTraining: (training) => [trained, ...discriminators].forEach((part) => setTraining(part, training)),
  };
}

function coarse({ coarse: options, seed }: RunOptions) {
  const model = buildCoarse(options, new Rng(seed, "init"));
  return { model, trained: model };
}

function fine(stage: Exclude<StageName, "coarse">, options: RunOptions) {
  const generator = buildGenerator(stage, { ...options[stage], prior: false }, options.seed, []);
  return { model: fullResolution(generator), trained: generator };
}
