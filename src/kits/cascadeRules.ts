// What the stages of the cascade hand to each other, volume by volume: regions of interest from the labels of the stage
// before, and labels from the masks of all. Training does it with files (cascade.ts), segment.ts in memory.

import { composeLabels, wholeLesions, type Masks } from "./compose.ts";
import type { RunOptions } from "./options.ts";
import { keepLargest } from "./postprocess.ts";
import { fullRois, roisOf, type CaseRois } from "./roi.ts";
import type { FineStage, StageName } from "./stages.ts";

/** The stage whose predictions a stage's regions come from. */
export function stageBefore(stage: StageName, { roi }: RunOptions): StageName | null {
  if (stage === "tumor") return "masses";
  return stage === "coarse" || roi.from === "none" ? null : "coarse";
}

/**
 * Regions of a stage in what the stage before predicts for a case of `shape` [S, H, W]: the labels of the coarse network,
 * or the masses mask, joined (joinMask) where the run joins; null without such a stage.
 */
export function predictedRois(
  options: RunOptions,
  stage: FineStage,
  labels: Uint8Array | null,
  shape: readonly number[],
): CaseRois {
  if (labels === null) return fullRois(shape[0]);
  const masks = stageBefore(stage.name, options) === "masses";
  return roisFor(options, stage, labels, shape, masks ? { inside: [1] } : { minArea: options.roi.minArea });
}

/** The rule of regions for one label volume [S, H, W]: see roisOf. `minArea`: specks below this share do not count. */
export function roisFor(
  { roi }: RunOptions,
  stage: FineStage,
  labels: Uint8Array,
  shape: readonly number[],
  { inside = stage.roiLabels, minArea = 0 }: { inside?: readonly number[]; minArea?: number } = {},
): CaseRois {
  const { margin, neighbours } = roi;
  const minPixels = Math.round(minArea * shape[1] * shape[2]);
  if (stage.name === "tumor") return roisOf(labels, shape, { inside, margin, minPixels, emptySlices: "none" });
  if (roi.from === "none") return fullRois(shape[0]);
  if (stage.name === "kidney") return roisOf(labels, shape, { inside, margin, neighbours, minPixels });
  const fallback = roisOf(labels, shape, { inside: [1, 2, 3], margin, neighbours, minPixels });
  return roisOf(labels, shape, { inside, margin, neighbours, minPixels, fallback });
}

/** True where the coarse network's labels join the masks of the fine networks. */
export function joinsCoarse({ coarseMasks, roi }: RunOptions): boolean {
  return coarseMasks === "join" && roi.from === "coarse";
}

/** The coarse network's labels of what a fine network looks for. */
export const coarseLabels: Readonly<Partial<Record<StageName, readonly number[]>>> = { kidney: [1, 2], masses: [2] };

/** Adds to the mask of a fine stage what the coarse labels say of it; nothing where they are null or do not tell. */
export function joinMask(mask: Uint8Array, stage: StageName, coarse: Uint8Array | null): void {
  const labels = coarseLabels[stage];
  if (!labels || !coarse) return;
  for (let i = 0; i < mask.length; i++) if (labels.includes(coarse[i])) mask[i] = 1;
}

/**
 * KiTS labels of a case from the masks of the three stages, joined where the run joins; they are written over the kidney
 * mask. `coarse`: the coarse labels where they join, else null; of the components those stay of which they hold most.
 */
export function composeCase(
  masks: Masks & { kidney: Uint8Array<ArrayBuffer> },
  coarse: Uint8Array | null,
  shape: readonly number[],
  { keepLargest: keep, tumorRule }: Pick<RunOptions, "keepLargest" | "tumorRule">,
): Uint8Array<ArrayBuffer> {
  const labels = composeLabels(masks, masks.kidney) as Uint8Array<ArrayBuffer>;
  // Two networks that agree on a kidney outvote a larger blob that only one of them sees.
  const kept = largest(labels, shape, keep, coarse ?? undefined);
  if (tumorRule === "lesions") wholeLesions(kept, shape);
  return kept;
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
