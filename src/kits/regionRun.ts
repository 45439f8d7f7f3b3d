// One network for all regions at once, kidney within masses within tumor, on whole slices: the yardstick that a cascade
// of the same budget must beat.

import { join } from "node:path";
import type { SliceCache } from "./cache.ts";
import { outlivingLosses } from "./deviceLoss.ts";
import type { Metrics } from "./evaluate.ts";
import { advisingOnMemory } from "./memoryAdvice.ts";
import { regionNetwork } from "./network.ts";
import type { CoarseOptions } from "./options.ts";
import { openSlices, reopen, scoreTest, type RunRequest } from "./pipeline.ts";
import { predictSlices, type PredictJob } from "./predictFiles.ts";
import { saveFacts, type RunFacts } from "./run.ts";
import { wholeSlices } from "./sample.ts";
import { regionStage } from "./stages.ts";
import { classFrequencies, train, type TrainJob } from "./train.ts";
import { forgetTrainingStates } from "./trainingState.ts";

export interface RegionRun {
  facts: RunFacts;
  metrics: Metrics;
}

/**
 * Trains the region network in `folder` with the coarse network's settings on `images` slices in all,
 * predicts the test cases and scores them.
 */
export async function regionRun(
  request: RunRequest,
  full: RunFacts,
  images: number,
  folder: string,
): Promise<RegionRun> {
  const cache = await openSlices({ ...request, folder, cacheBeside: request.folder }, request.options.coarse.size);
  try {
    return await advisingOnMemory(regionStage.name, request.options.coarse, () =>
      trainAndScore(request, full, images, folder, cache),
    );
  } finally {
    cache.close();
  }
}

async function trainAndScore(
  request: RunRequest,
  full: RunFacts,
  images: number,
  folder: string,
  cache: SliceCache,
): Promise<RegionRun> {
  const { mode, options } = request;
  const stage = regionStage;
  const { epochs } = options.coarse;
  const settings: CoarseOptions = { ...options.coarse, slicesPerEpoch: Math.max(1, Math.round(images / epochs)) };
  const job: TrainJob = {
    source: wholeSlices(cache, stage),
    train: full.split.train,
    val: full.split.val,
    options: settings,
    seed: options.seed,
    folder,
    mode,
    tune: request.tune,
    resume: request.resume,
    checkpointSeconds: request.checkpointSeconds,
    onNonfinite: request.onNonfinite,
  };
  const checkpoints = join(folder, "checkpoints", stage.name);
  if (!request.resume) await forgetTrainingStates(checkpoints);
  const predictions = join(folder, "predictions");
  const target: PredictJob = { cache, ids: full.split.test, folder: predictions, batch: settings.batch, mode };
  const gpu = { say: request.say, reopen: () => reopen(request) };
  const region = await outlivingLosses(gpu, async (again) => {
    const network = regionNetwork(settings, options.seed, await classFrequencies(job));
    const result = await train(network, again ? { ...job, resume: true } : job);
    await predictSlices(network, stage, target, options.keepLargest);
    return result;
  });
  await forgetTrainingStates(checkpoints);
  const facts: RunFacts = { ...full, status: "running", trained: { region } };
  const { metrics } = await scoreTest(cache, full.split, predictions, folder, mode);
  await saveFacts(folder, { ...facts, status: "finished", finished: new Date().toISOString() });
  return { facts, metrics };
}
