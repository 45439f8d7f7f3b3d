// From slices to volumes on the scan's own grid: labels of the coarse network, masks of the fine ones.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { cast, compile, concat, noGrad, type StepInputs, type Tensor } from "../index.ts";
import { setTraining } from "../nn/index.ts";
import { uploadSlices, type GpuSlices } from "./batch.ts";
import type { SliceCache } from "./cache.ts";
import { composeLabels } from "./compose.ts";
import { throwIfInterrupted } from "./interrupt.ts";
import type { Network } from "./network.ts";
import { writeNifti } from "./nifti.ts";
import { keepLargest } from "./postprocess.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import { restoreLabels, restoreRoi } from "./resample.ts";
import { fullRois, type CaseRois } from "./roi.ts";
import type { RoisByCase } from "./sample.ts";
import type { Stage } from "./stages.ts";

/** A prediction of some cases by one stage. */
export interface PredictJob {
  readonly cache: SliceCache;
  readonly ids: readonly string[];
  /** Files are written here, named by case. */
  readonly folder: string;
  readonly batch: number;
  readonly mode: ProgressMode;
}

/**
 * Labels of whole slices, written as `folder`/case_XXXXX.nii.gz with the geometry of the image: 1 kidney, 2 mass for
 * the coarse network; 1, 2, 3 for the region-trained one. Probabilities are resized to the slice's own size before the
 * class is chosen; `keep` components of the foreground stay, largest first (0: all).
 */
export async function predictSlices(network: Network, stage: Stage, job: PredictJob, keep: number): Promise<void> {
  const { cache } = job;
  await eachCase(network, stage, job, fullRoisOf(job), async (id, run) => {
    const { geometry } = cache.caseById(id);
    const [, height, width] = geometry.shape;
    const labels = new Uint8Array(geometry.shape[0] * height * width);
    await run((s, probabilities) => {
      const offset = s * height * width;
      if (stage.name === "region") writeRegions(probabilities, [height, width], labels, offset);
      else
        restoreLabels(probabilities, { from: [network.size, network.size], to: [height, width], out: labels, offset });
    });
    await writeNifti(join(job.folder, `${id}.nii.gz`), largest(labels, geometry.shape, keep), geometry);
  });
}

/** Labels after `keepLargest` with `keep` components; all of them for 0. `support`: labels that must agree with them. */
export function largest(
  labels: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  keep: number,
  support?: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return keep > 0 ? keepLargest(labels, shape, { keep, support }).data : labels;
}

/** Three sigmoid planes to labels, each region within the one before. */
function writeRegions(
  planes: Float32Array,
  to: [number, number],
  labels: Uint8Array<ArrayBuffer>,
  offset: number,
): void {
  const [roi] = fullRois(1);
  const plane = planes.length / 3;
  const [kidney, masses, tumor] = [0, 1, 2].map((k) =>
    restoreRoi(planes.subarray(k * plane, (k + 1) * plane), roi, {
      to,
      out: new Uint8Array(to[0] * to[1]),
      write: "mask",
    }),
  );
  for (let i = 0; i < kidney.length; i++) {
    masses[i] &= kidney[i];
    tumor[i] &= masses[i];
  }
  composeLabels({ kidney, masses, tumor }, labels.subarray(offset, offset + kidney.length));
}

/**
 * Masks of a fine stage, 0 or 1 inside its regions of interest, written as `folder`/case_XXXXX.nii.gz; and with
 * discriminators the confidence of the one at full resolution as `folder`/confidence/case_XXXXX.nii.gz: 255 times it,
 * at least 1 inside a region, 0 outside.
 */
export async function predictRegions(network: Network, stage: Stage, job: PredictJob, rois: RoisByCase): Promise<void> {
  const { cache, folder } = job;
  const judged = network.discriminators.length > 0;
  if (judged) await mkdir(join(folder, "confidence"), { recursive: true });
  await eachCase(network, stage, job, rois, async (id, run) => {
    const { geometry } = cache.caseById(id);
    const [slices, height, width] = geometry.shape;
    const mask = new Uint8Array(slices * height * width);
    const confidence = new Uint8Array(judged ? mask.length : 0);
    const plane = network.size ** 2;
    await run((s, probabilities, confident) => {
      const [roi, offset, to] = [rois[id][s]!, s * height * width, [height, width] as const];
      restoreRoi(probabilities.subarray(plane, 2 * plane), roi, { to, out: mask, offset, write: "mask" });
      if (confident) restoreRoi(confident, roi, { to, out: confidence, offset, write: "byte" });
    });
    await writeNifti(join(folder, `${id}.nii.gz`), mask, geometry);
    if (judged) await writeNifti(join(folder, "confidence", `${id}.nii.gz`), confidence, geometry);
  });
}

function fullRoisOf({ cache, ids }: PredictJob): RoisByCase {
  return Object.fromEntries(ids.map((id) => [id, fullRois(cache.caseById(id).slices)]));
}

/** What is done with a slice of a case: its probabilities [C, size, size] and the confidence map [size, size]. */
type Use = (slice: number, probabilities: Float32Array, confidence: Float32Array | null) => void;

/** Calls `work` for every case with a function that runs the network on all slices that have a region. */
async function eachCase(
  network: Network,
  stage: Stage,
  job: PredictJob,
  rois: RoisByCase,
  work: (id: string, run: (use: Use) => Promise<void>) => Promise<void>,
): Promise<void> {
  await mkdir(job.folder, { recursive: true });
  network.setTraining(false);
  const { cache, ids, batch, mode } = job;
  const regions = new Map(ids.flatMap((id) => rois[id].map((roi, s) => [cache.caseById(id).first + s, roi] as const)));
  const source = { size: network.size, stage, cache, regionOf: (slice: number) => regions.get(slice)! };
  const slices = await uploadSlices(source, [], { resident: false, labels: false }); // each is seen once
  const infer = inference(network, slices);
  const total = ids.reduce((n, id) => n + rois[id].filter(Boolean).length, 0);
  const progress = startProgress({ label: `predict ${stage.name}`, total, mode });
  try {
    for (const id of ids) {
      throwIfInterrupted();
      const { first } = cache.caseById(id);
      await work(id, async (use) => {
        for (const group of groupsOf(rois[id], batch)) {
          // The batch is always full, since each batch size has its own pipelines.
          const full = Array.from({ length: batch }, (_, i) => first + (group[i] ?? group[0]));
          await predictGroup(infer, slices.batch(full).inputs, group, batch, use);
          progress.increment(group.length, { case: id });
        }
      });
    }
  } finally {
    progress.stop();
    infer.free();
  }
}

/** Probabilities [N, C, size, size], and the confidence [N, 1, size, size] of the discriminator at full resolution. */
function inference(network: Network, slices: GpuSlices) {
  const critic = network.discriminators[0]?.alone(0);
  if (critic) setTraining(critic, false);
  return compile((inputs: Record<string, Tensor>) =>
    noGrad(() => {
      const image = network.input(slices.tensors(inputs).images);
      const probabilities = network.probabilities(network.model.forward(image));
      return {
        probabilities,
        confidence: critic ? critic.confidence(concat([image, cast(probabilities, image.dtype)], 1)) : null,
      };
    }),
  );
}

type Inference = ReturnType<typeof inference>;

/** The slices with a region, in groups of a batch. */
function groupsOf(rois: CaseRois, batch: number): number[][] {
  const slices = rois.flatMap((roi, s) => (roi ? [s] : []));
  return Array.from({ length: Math.ceil(slices.length / batch) }, (_, i) => slices.slice(i * batch, (i + 1) * batch));
}

/** Runs one group, which is the beginning of a batch. */
async function predictGroup(
  infer: Inference,
  inputs: StepInputs,
  group: readonly number[],
  batch: number,
  use: Use,
): Promise<void> {
  const made = await infer(inputs);
  const [probabilities, confidence] = await Promise.all([made.probabilities.read(), made.confidence?.read()]);
  const part = (values: Float32Array, i: number) =>
    values.subarray((i * values.length) / batch, ((i + 1) * values.length) / batch);
  group.forEach((s, i) => {
    use(s, part(probabilities as Float32Array, i), confidence ? part(confidence as Float32Array, i) : null);
  });
}
