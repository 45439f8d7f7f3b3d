// Agreement of a predicted and a reference label volume: Dice, Jaccard and volume per region, 3-D per case and per
// slice; and per case the distances between the surfaces (surface.ts).
//
// Every overlap score comes from one integer table per slice, table[r * L + p] = voxels with reference label r and
// predicted label p. Regions overlap (a tumour is kidney too), so they are sums over that table and the voxels are read
// once.

import { DataError, OptionError, ShapeError } from "../errors.ts";
import { averageSurfaceDistance, robustHausdorff, surfaceDice, surfaceDistances } from "./surface.ts";

/** Voxel labels, slice after slice; anything that can be indexed. */
export type Labels = ArrayLike<number>;

/** A label volume: `data` in [D, H, W] order (axial slices first), `spacing` in mm in the same order. */
export interface LabelVolume {
  data: Labels;
  shape: readonly number[];
  spacing: readonly number[];
}

/** The regions that are scored, each a union of labels. */
export type RegionName = "kidney" | "masses" | "tumor";
/** The labels of every region. */
export type Regions = Readonly<Record<RegionName, readonly number[]>>;

/** The regions in the order of every table. */
export const regionNames: readonly RegionName[] = ["kidney", "masses", "tumor"];

/** KiTS21 and KiTS23: 1 kidney, 2 tumour, 3 cyst, in the official hierarchy. Source: kits23/configuration/labels.py. */
export const kitsRegions: Regions = { kidney: [1, 2, 3], masses: [2, 3], tumor: [2] };

/** KiTS19: kidney = label > 0, tumour = label > 1; there are no cysts. Source: kits19/starter_code/evaluation.py. */
export const kits19Regions: Regions = { kidney: [1, 2, 3], masses: [2, 3], tumor: [2, 3] };

/**
 * Tolerances of surface Dice in mm: how far the annotators of KiTS differ. Final values of KiTS21, the same in KiTS23;
 * KiTS19 had no surface score. Source: kits23/configuration/labels.py.
 */
export const kitsTolerances: Readonly<Record<RegionName, number>> = {
  kidney: 1.0330772532390826,
  masses: 1.1328796488598762,
  tumor: 1.1498198361434828,
};

/**
 * What a score is when a mask is empty (reference empty & prediction empty | only reference | only prediction):
 * `kits` (KiTS21, KiTS23) 1 | 0 | 0; `nnunet` (and the KiTS19 code) NaN | 0 | 0; `monai` NaN | NaN | 0.
 */
export type EmptyRule = "kits" | "nnunet" | "monai";

/** Voxel counts of one region: in both masks, in the reference, in the prediction. Exact integers. */
export interface RegionCounts {
  intersection: number;
  reference: number;
  prediction: number;
}

/** Agreement of two masks, 0 to 1. */
export interface Overlap {
  dice: number;
  jaccard: number;
}

/** Scores of the surfaces of one region in one case. */
export interface SurfaceScore {
  /** Share of both surfaces within the region's tolerance. */
  surfaceDice: number;
  /** 95th percentile of the distance between the surfaces in mm; null if a mask is empty, where it is undefined. */
  hd95: number | null;
  /** Average distance between the surfaces in mm, both directions together; null if a mask is empty. */
  asd: number | null;
}

/** Scores of one region in one case, whole volume. Volumes in millilitres; surface scores only if asked for. */
export interface RegionScore extends Overlap, RegionCounts, Partial<SurfaceScore> {
  referenceMl: number;
  predictionMl: number;
}

/** Scores of one region in one slice; slices where both masks are empty are left out. */
export interface SliceScore extends Overlap {
  slice: number;
}

/** One case: scores over the whole volume, and apart from them the scores of its slices. */
export interface CaseScore {
  id: string;
  regions: Record<RegionName, RegionScore>;
  perSlice: Record<RegionName, SliceScore[]>;
}

/** Settings of the scores of a case; the rules of KiTS23 where they are left out. */
export interface ScoreOptions {
  id?: string;
  regions?: Regions;
  empty?: EmptyRule;
}

/** Settings of the scores of a case from its volumes. */
export interface CaseOptions extends ScoreOptions {
  /** Also score the surfaces; takes seconds for a large case. Default false. */
  surface?: boolean;
  /** Tolerances of surface Dice in mm; default those of KiTS23. */
  tolerances?: Readonly<Record<RegionName, number>>;
}

const LABELS = 4; // 0 background, 1 kidney, 2 tumour, 3 cyst

/** 2|P and G| / (|P| + |G|), with `empty` deciding when a mask is empty. */
export function dice(counts: RegionCounts, empty: EmptyRule = "kits"): number {
  return emptyScore(counts, empty) ?? (2 * counts.intersection) / (counts.reference + counts.prediction);
}

/** |P and G| / |P or G|, with `empty` deciding for empty masks. Average it itself: JC = D/(2-D) fails for means. */
export function jaccard(counts: RegionCounts, empty: EmptyRule = "kits"): number {
  const union = counts.reference + counts.prediction - counts.intersection;
  return emptyScore(counts, empty) ?? counts.intersection / union;
}

function emptyScore(counts: RegionCounts, empty: EmptyRule): number | undefined {
  if (empty !== "kits" && empty !== "nnunet" && empty !== "monai") {
    throw new OptionError(
      `metrics: empty must be kits, nnunet or monai, found ${String(empty)}; leave it out for kits`,
    );
  }
  if (counts.reference > 0) return counts.prediction > 0 ? undefined : 0;
  if (counts.prediction > 0) return empty === "monai" ? NaN : 0;
  return empty === "kits" ? 1 : NaN;
}

/** Arithmetic mean without the NaN entries; NaN if nothing is left. */
export function meanOf(values: Iterable<number>): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return count === 0 ? NaN : sum / count;
}

/** Counts the voxels whose label is in `labels`, for any label ids. Throws ShapeError if the lengths differ. */
export function countLabels(reference: Labels, prediction: Labels, labels: readonly number[]): RegionCounts {
  if (reference.length !== prediction.length) {
    throw new ShapeError(
      `countLabels: reference and prediction must have one length, found ${reference.length} and ${prediction.length}`,
    );
  }
  const inside = new Set(labels);
  const counts = { intersection: 0, reference: 0, prediction: 0 };
  for (let i = 0; i < reference.length; i++) {
    const r = inside.has(reference[i]);
    const p = inside.has(prediction[i]);
    if (r) counts.reference++;
    if (p) counts.prediction++;
    if (r && p) counts.intersection++;
  }
  return counts;
}

/**
 * Collects one case slice by slice, so that neither volume has to be in memory whole.
 * `voxel`: volume of one voxel in mm3. Call `addSlice` once per axial slice in order, then `score`.
 */
export class CaseCounter {
  readonly id: string;
  readonly voxel: number;
  readonly regions: Regions;
  readonly empty: EmptyRule;
  private readonly total = new Float64Array(LABELS * LABELS); // exact up to 2^53 voxels
  private readonly perSlice: Record<RegionName, SliceScore[]> = { kidney: [], masses: [], tumor: [] };
  private slices = 0;

  constructor(voxel: number, { id = "case", regions = kitsRegions, empty = "kits" }: ScoreOptions = {}) {
    if (!(voxel > 0) || !Number.isFinite(voxel)) {
      throw new DataError(
        `${id}: voxel volume must be positive, found ${voxel} mm3; check the spacing of the reference`,
      );
    }
    this.id = id;
    this.voxel = voxel;
    this.regions = regions;
    this.empty = empty;
  }

  /**
   * Counts `length` voxels of both volumes starting at `offset`: one slice. Nothing is copied.
   * Throws DataError on a label outside 0..3.
   */
  addSlice(reference: Labels, prediction: Labels, offset = 0, length = reference.length - offset): void {
    if (offset + length > reference.length || offset + length > prediction.length) {
      throw new ShapeError(
        `${this.id}: slice ${this.slices} must lie inside both volumes, found voxels ${offset}..${offset + length} ` +
          `of ${reference.length} and ${prediction.length}; compare their shapes`,
      );
    }
    const table = new Float64Array(LABELS * LABELS);
    for (let i = offset; i < offset + length; i++) {
      const r = reference[i];
      const p = prediction[i];
      if (!(r >= 0 && r < LABELS && p >= 0 && p < LABELS)) this.refuse(r, p);
      table[r * LABELS + p]++;
    }
    for (let k = 0; k < table.length; k++) this.total[k] += table[k];
    for (const name of regionNames) {
      const counts = countRegion(table, this.regions[name]);
      if (counts.reference + counts.prediction === 0) continue;
      this.perSlice[name].push({
        slice: this.slices,
        dice: dice(counts, this.empty),
        jaccard: jaccard(counts, this.empty),
      });
    }
    this.slices++;
  }

  /** The scores of all slices added so far. */
  score(): CaseScore {
    const regions = {} as Record<RegionName, RegionScore>;
    for (const name of regionNames) {
      const counts = countRegion(this.total, this.regions[name]);
      regions[name] = {
        dice: dice(counts, this.empty),
        jaccard: jaccard(counts, this.empty),
        ...counts,
        referenceMl: (counts.reference * this.voxel) / 1000,
        predictionMl: (counts.prediction * this.voxel) / 1000,
      };
    }
    return { id: this.id, regions, perSlice: this.perSlice };
  }

  private refuse(r: number, p: number): never {
    const side = r >= 0 && r < LABELS ? "prediction" : "reference";
    throw new DataError(
      `${this.id}: labels must be 0 background, 1 kidney, 2 tumour or 3 cyst, found ` +
        `${side === "reference" ? r : p} in slice ${this.slices} of the ${side}; convert it to KiTS labels`,
    );
  }
}

/**
 * Scores one predicted label volume against its reference, in 3-D and per slice.
 * `reference`, `prediction`: [D, H, W] in the same orientation; volumes and distances use the reference's spacing.
 * Throws ShapeError if the shapes differ, DataError on a label outside 0..3.
 * Regions and conventions follow the KiTS challenge code; Dice and Jaccard are computed from exact counts.
 */
export function scoreCase(reference: LabelVolume, prediction: LabelVolume, options: CaseOptions = {}): CaseScore {
  const { id = "case" } = options;
  const [d, h, w] = reference.shape;
  const same = prediction.shape.length === 3 && prediction.shape.every((n, axis) => n === reference.shape[axis]);
  if (reference.shape.length !== 3 || !same) {
    throw new ShapeError(
      `${id}: prediction and reference must have one shape, found [${prediction.shape}] and [${reference.shape}]; ` +
        `write predictions in the geometry of the input CT`,
    );
  }
  const voxel = reference.spacing.reduce((a, b) => a * b, 1);
  const counter = new CaseCounter(voxel, options);
  for (let z = 0; z < d; z++) counter.addSlice(reference.data, prediction.data, z * h * w, h * w);
  const score = counter.score();
  if (options.surface) {
    for (const name of regionNames) {
      Object.assign(score.regions[name], scoreSurface(reference, prediction, name, score.regions[name], options));
    }
  }
  return score;
}

function scoreSurface(
  reference: LabelVolume,
  prediction: LabelVolume,
  name: RegionName,
  counts: RegionCounts,
  { regions = kitsRegions, tolerances = kitsTolerances, empty = "kits" }: CaseOptions,
): SurfaceScore {
  const decided = emptyScore(counts, empty);
  if (decided !== undefined) return { surfaceDice: decided, hd95: null, asd: null };
  const { shape, spacing } = reference;
  const distances = surfaceDistances(reference.data, prediction.data, { labels: regions[name], shape, spacing });
  return {
    surfaceDice: surfaceDice(distances, tolerances[name]),
    hd95: robustHausdorff(distances),
    asd: averageSurfaceDistance(distances),
  };
}

function countRegion(table: Float64Array, labels: readonly number[]): RegionCounts {
  const counts = { intersection: 0, reference: 0, prediction: 0 };
  for (let r = 0; r < LABELS; r++) {
    const inReference = labels.includes(r);
    for (let p = 0; p < LABELS; p++) {
      const inPrediction = labels.includes(p);
      const voxels = table[r * LABELS + p];
      if (inReference) counts.reference += voxels;
      if (inPrediction) counts.prediction += voxels;
      if (inReference && inPrediction) counts.intersection += voxels;
    }
  }
  return counts;
}
