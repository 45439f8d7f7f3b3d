// Prediction of a run's own cases: slices from a cache on the disk, volumes to files that later stages read.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { SliceCache } from "./cache.ts";
import { largest } from "./cascadeRules.ts";
import { throwIfInterrupted } from "./interrupt.ts";
import { writeNifti } from "./nifti.ts";
import { openPredictor, predictRois, predictWhole, type OnSlices, type PredictionNetwork } from "./predict.ts";
import type { Predictor, ScanSlices } from "./predict.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import type { RoisByCase } from "./sample.ts";
import type { Stage } from "./stages.ts";

export interface PredictJob {
  readonly cache: SliceCache;
  readonly ids: readonly string[];
  /** Files are written here, named by case. */
  readonly folder: string;
  readonly batch: number;
  readonly mode: ProgressMode;
}

/**
 * Labels of whole slices (see predictWhole), written as `folder`/case_XXXXX.nii.gz with the geometry of the image. `keep`
 * components of the foreground stay, largest first (0: all).
 */
export async function predictSlices(
  network: PredictionNetwork,
  stage: Stage,
  job: PredictJob,
  keep: number,
): Promise<void> {
  const total = job.ids.reduce((n, id) => n + job.cache.caseById(id).slices, 0);
  await eachCase(network, stage, job, total, async (id, predictor, scan, onSlices) => {
    const { labels } = await predictWhole(predictor, scan, onSlices);
    const { geometry } = job.cache.caseById(id);
    await writeNifti(join(job.folder, `${id}.nii.gz`), largest(labels, geometry.shape, keep), geometry);
  });
}

/**
 * Masks of a fine stage, 0 or 1 inside its regions of interest, written as `folder`/case_XXXXX.nii.gz; and with
 * discriminators the confidence of the one at full resolution as `folder`/confidence/case_XXXXX.nii.gz: 255 times it,
 * at least 1 inside a region, 0 outside.
 */
export async function predictRegions(
  network: PredictionNetwork,
  stage: Stage,
  job: PredictJob,
  rois: RoisByCase,
): Promise<void> {
  const { cache, folder, ids } = job;
  if (network.discriminators.length > 0) await mkdir(join(folder, "confidence"), { recursive: true });
  const total = ids.reduce((n, id) => n + rois[id].filter(Boolean).length, 0);
  await eachCase(network, stage, job, total, async (id, predictor, scan, onSlices) => {
    const { mask, confidence } = await predictRois(predictor, scan, rois[id], onSlices);
    const { geometry } = cache.caseById(id);
    await writeNifti(join(folder, `${id}.nii.gz`), mask, geometry);
    if (confidence) await writeNifti(join(folder, "confidence", `${id}.nii.gz`), confidence, geometry);
  });
}

/** Calls `work` for every case; `total` slices in all have a region. */
async function eachCase(
  network: PredictionNetwork,
  stage: Stage,
  { cache, ids, folder, batch, mode }: PredictJob,
  total: number,
  work: (id: string, predictor: Predictor, scan: ScanSlices, onSlices: OnSlices) => Promise<void>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const predictor = await openPredictor(network, stage, { batch, sourceSize: cache.size });
  const progress = startProgress({ label: `predict ${stage.name}`, total, mode });
  try {
    for (const id of ids) {
      throwIfInterrupted();
      const { first, geometry } = cache.caseById(id);
      const scan = { slices: cache, first, shape: geometry.shape };
      await work(id, predictor, scan, (count) => progress.increment(count, { case: id }));
    }
  } finally {
    progress.stop();
    predictor.free();
  }
}
