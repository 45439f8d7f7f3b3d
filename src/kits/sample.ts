// Which slices make an epoch, and what of them a network sees: a pure function of (seed, epoch). Batches of them are made
// in batch.ts.

import { Rng } from "../random.ts";
import type { SliceCache } from "./cache.ts";
import type { TrainOptions } from "./options.ts";
import { jitterRoi, type CaseRois, type Roi } from "./roi.ts";
import type { Stage } from "./stages.ts";

/** Slices as one network sees them. */
export interface SliceSource {
  /** Rows and columns of what the network sees. */
  readonly size: number;
  readonly stage: Stage;
  readonly cache: SliceCache;
  /** Slices of `cases` that this network can be shown. */
  slicesOf(cases: readonly string[]): number[];
  /** The part of a slice that it sees. `rng` draws a training region; null takes the prediction's. */
  regionOf(slice: number, rng: Rng | null): Roi;
}

/** The cache's slices of some cases. */
export function slicesOf(cache: SliceCache, ids: readonly string[]): number[] {
  return ids.flatMap((id) => {
    const { first, slices } = cache.caseById(id);
    return Array.from({ length: slices }, (_, i) => first + i);
  });
}

/** Whole slices of a cache of the network's own size. */
export function wholeSlices(cache: SliceCache, stage: Stage): SliceSource {
  return {
    size: cache.size,
    stage,
    cache,
    slicesOf: (cases) => slicesOf(cache, cases),
    regionOf: () => ({ y: 0, x: 0, side: 1 }),
  };
}

/** Regions of interest of cases, by id. */
export type RoisByCase = Readonly<Record<string, CaseRois>>;

/** Regions of interest as training and prediction see them. */
export interface RoiSlicesOptions {
  readonly size: number;
  /** Regions around the reference. */
  readonly reference: RoisByCase;
  /** Regions that the stage before predicts, as far as they are known. */
  readonly predicted: RoisByCase;
  /** Chance that a training region is a predicted one. */
  readonly predictedRois: number;
  readonly jitter: number;
}

/**
 * Regions of interest of a finer cache. Training takes the reference's region or, by chance, the predicted one, and
 * moves it a little; otherwise it is the predicted one, and the reference's where none is known.
 */
export function roiSlices(cache: SliceCache, stage: Stage, options: RoiSlicesOptions): SliceSource {
  const { size, jitter, predictedRois } = options;
  const reference = bySlice(cache, options.reference);
  const predicted = bySlice(cache, options.predicted);
  return {
    size,
    stage,
    cache,
    slicesOf: (cases) => slicesOf(cache, cases).filter((s) => reference.has(s) || predicted.has(s)),
    regionOf: (slice, rng) => {
      if (!rng) return predicted.get(slice) ?? reference.get(slice)!;
      const [first, second] = rng.uniform() < predictedRois ? [predicted, reference] : [reference, predicted];
      return jitterRoi((first.get(slice) ?? second.get(slice))!, rng, jitter);
    },
  };
}

function bySlice(cache: SliceCache, rois: RoisByCase): Map<number, NonNullable<CaseRois[number]>> {
  return new Map(
    Object.entries(rois).flatMap(([id, list]) =>
      list.flatMap((roi, s) => (roi ? [[cache.caseById(id).first + s, roi] as const] : [])),
    ),
  );
}

/** Pixels of each class of the stage per slice of the cache. */
export function classCounts({ cache, stage }: Pick<SliceSource, "cache" | "stage">): number[][] {
  return cache.index.cases.flatMap(({ labelCounts }) =>
    labelCounts.map((counts) => {
      const classes = stage.classes.map(() => 0);
      counts.forEach((n, label) => (classes[stage.classOf(label)] += n));
      return classes;
    }),
  );
}

/** Those of `slices` that show what the stage looks for. */
export function targetSlices(source: Pick<SliceSource, "cache" | "stage">, slices: readonly number[]): number[] {
  const counts = classCounts(source);
  return slices.filter((s) => counts[s].slice(1).some((n) => n > 0));
}

/** Which slices an epoch takes. */
export interface EpochOptions extends Pick<TrainOptions, "slicesPerEpoch" | "foreground"> {
  readonly seed: number;
}

/**
 * The slices of one epoch in training order, of `slices` and those of them that show the target. With `slicesPerEpoch`
 * "all" each once; with a number or "organ" the share `foreground` comes from `targets` and the rest from all, each pool
 * without repetition until it is used up.
 */
export function epochOrder(
  slices: readonly number[],
  targets: readonly number[],
  epoch: number,
  { seed, slicesPerEpoch, foreground }: EpochOptions,
): number[] {
  const rng = new Rng(seed, "epoch").fork(epoch);
  if (slicesPerEpoch === "all") return rng.shuffle(slices);
  const share = targets.length > 0 ? foreground : 0;
  const total = slicesPerEpoch === "organ" ? organEpoch(slices.length, targets.length, share) : slicesPerEpoch;
  const wanted = Math.round(total * share);
  return rng.shuffle([...draw(targets, wanted, rng), ...draw(slices, total - wanted, rng)]);
}

/** Slices of an epoch in which every target slice is seen once. */
function organEpoch(slices: number, targets: number, share: number): number {
  return share > 0 ? Math.round(targets / share) : slices;
}

function draw(pool: readonly number[], count: number, rng: Rng): number[] {
  const out: number[] = [];
  while (out.length < count) out.push(...rng.shuffle(pool).slice(0, count - out.length));
  return out;
}
