// From slices to a label volume on the scan's own grid.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { noGrad, softmax, step } from "../index.ts";
import { setTraining } from "../nn/index.ts";
import type { SegmentationModel } from "../nn/models/index.ts";
import type { SliceCache } from "./cache.ts";
import { writeNifti } from "./nifti.ts";
import { keepLargest } from "./postprocess.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import { restoreLabels } from "./resample.ts";
import { COARSE_CLASSES, readBatch, slicesOf } from "./sample.ts";
import { imagesOf } from "./train.ts";

export interface PredictOptions {
  readonly batch: number;
  /** Connected components of the foreground that stay, largest first; 0 keeps all. */
  readonly keepLargest: number;
}

/**
 * Predicts the cases `ids` and writes `folder`/case_XXXXX.nii.gz with the geometry of the image. Probabilities are resized
 * to the slice's own size before the class is chosen. Labels: 1 kidney, 2 mass.
 */
export async function predictCases(
  model: SegmentationModel,
  cache: SliceCache,
  ids: readonly string[],
  folder: string,
  options: PredictOptions,
  mode: ProgressMode,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  setTraining(model, false);
  const progress = startProgress({ label: "predict", total: slicesOf(cache, ids).length, mode });
  try {
    for (const id of ids) {
      const labels = await predictCase(model, cache, id, options.batch, (n) => progress.increment(n, { case: id }));
      const { geometry } = cache.caseById(id);
      const kept =
        options.keepLargest > 0 ? keepLargest(labels, geometry.shape, { keep: options.keepLargest }).data : labels;
      await writeNifti(join(folder, `${id}.nii.gz`), kept, geometry);
    }
  } finally {
    progress.stop();
  }
}

/** The class of every voxel, [S, H, W] on the scan's own grid. */
async function predictCase(
  model: SegmentationModel,
  cache: SliceCache,
  id: string,
  batch: number,
  done: (slices: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const slices = slicesOf(cache, [id]);
  const [, height, width] = cache.caseById(id).geometry.shape;
  const out = new Uint8Array(slices.length * height * width);
  const classes = COARSE_CLASSES.length;
  const plane = classes * cache.size ** 2;
  for (let i = 0; i < slices.length; i += batch) {
    const group = readBatch(cache, slices.slice(i, i + batch));
    const probabilities = await step(() => noGrad(() => softmax(model.forward(imagesOf(group, cache.size)), 1)).read());
    for (let s = 0; s < group.count; s++) {
      restoreLabels(probabilities.subarray(s * plane, (s + 1) * plane), {
        from: [cache.size, cache.size],
        to: [height, width],
        out,
        offset: (i + s) * height * width,
      });
    }
    done(group.count);
  }
  return out;
}
