// Scores a folder of predictions against its references: files in; metrics.json, evaluation.csv (the columns of the
// KiTS challenge) and evaluation_more.csv (all other scores) out.

import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { DataError, OptionError } from "../errors.ts";
import { writeFileAtomic, writeJsonAtomic } from "./atomic.ts";
import { cornerDistance } from "./geometry.ts";
import {
  type CaseScore,
  type EmptyRule,
  type LabelVolume,
  type Overlap,
  type RegionName,
  type Regions,
  type RegionScore,
  kits19Regions,
  kitsRegions,
  kitsTolerances,
  meanOf,
  regionNames,
  scoreCase,
} from "./metrics.ts";
import { reason } from "./json.ts";
import { readHeader, readLabels } from "./nifti.ts";
import type { LabelImage, NiftiHeader } from "./nifti.ts";
import { type ProgressMode, startProgress } from "./progress.ts";

/** Scores of one case in metrics.json. Volumes are in millilitres; NaN is written as null. */
export type CaseMetrics = { id: string } & Record<RegionName, RegionScore>;

/** Means over cases. The surface scores are there only where surfaces were measured. */
export interface MeanScore extends Overlap {
  surfaceDice?: number;
  /** Means in mm over the `surfaceCases` cases in which neither mask is empty; null if there is none. */
  hd95?: number | null;
  asd?: number | null;
  surfaceCases?: number;
}

/** The content of metrics.json. */
export interface Metrics {
  unit: "3-D per case";
  split: string;
  /** How empty masks are scored; see EmptyRule. */
  empty: EmptyRule;
  /** Tolerances of surface Dice in mm; null if surfaces were not measured. */
  tolerances: Readonly<Record<RegionName, number>> | null;
  /** Means over cases. Dice and Jaccard are averaged each for itself. */
  mean: Record<RegionName, MeanScore>;
  cases: CaseMetrics[];
  /** Not comparable with `mean`: every slice counts the same, whatever its area. `slices`: how many were averaged. */
  perSlice: {
    unit: "per slice, non-empty reference or prediction";
    mean: Record<RegionName, Overlap & { slices: number }>;
  };
}

/** Settings of an evaluation of two folders. */
export interface EvaluateOptions {
  /** Folder of references: a KiTS tree, or label files named by case. */
  reference: string;
  /** Folder of predictions named by case: case_00000.nii.gz. */
  predictions: string;
  /** Folder for metrics.json, evaluation.csv and evaluation_more.csv; nothing is written if left out. */
  out?: string;
  /** Which cases these are: "test", "validation"; default "test". */
  split?: string;
  /** Score exactly these cases and fail if one lacks a prediction; default every prediction in the folder. */
  ids?: readonly string[];
  /** Default "kits" (KiTS21 and KiTS23); "kits19" has no cysts. */
  dataset?: "kits" | "kits19";
  empty?: EmptyRule;
  /** Score the surfaces too, as the challenge does; adds about a second per case. Default true. */
  surface?: boolean;
  progress?: ProgressMode;
}

/** Scores, and what was written. */
export interface EvaluateResult {
  metrics: Metrics;
  /** What a reader of the numbers should know, such as references without a prediction. */
  warnings: string[];
  /** Files written. */
  files: string[];
}

/** Label file names inside a case folder: KiTS19 and KiTS23, then the majority vote of KiTS21. */
const referenceNames = [
  "segmentation.nii.gz",
  "aggregated_MAJ_seg.nii.gz",
  "segmentation.nii",
  "aggregated_MAJ_seg.nii",
];
/** Where case folders or label files lie below a tree as downloaded: kits19, kits21, kits23, nnU-Net raw. */
const treeFolders = ["", "data", "dataset", "kits21/data", "kits23/dataset", "labelsTr"];

/**
 * Scores predictions against references in 3-D per case, and per slice beside it.
 * Writes metrics.json, evaluation.csv and evaluation_more.csv to `out`. Volumes and distances use the reference's
 * spacing.
 * Throws DataError if a folder has no label files, a prediction has no reference, a case of `ids` has no prediction,
 * or labels are not 0..3; ShapeError if the shapes of a pair differ.
 */
export async function evaluate(options: EvaluateOptions): Promise<EvaluateResult> {
  const { split = "test", empty = "kits", surface = true } = options;
  const regions = regionsOf(options.dataset ?? "kits");
  const predictions = await labelFiles(options.predictions);
  const references = await labelFiles(options.reference);
  const ids = chooseCases(options, predictions, references);
  const warnings = unpredicted(options, ids, references);

  const scores: CaseScore[] = [];
  const progress = startProgress({ label: "evaluate", total: ids.length, unit: "cases", mode: options.progress });
  try {
    for (const id of ids) {
      const [reference, prediction] = await readPair(references.get(id)!, predictions.get(id)!);
      warnings.push(...geometryWarnings(id, reference.header, prediction.header));
      scores.push(scoreCase(volumeOf(reference), volumeOf(prediction), { id, regions, empty, surface }));
      progress.increment();
    }
  } finally {
    progress.stop();
  }

  const metrics = summarize(scores, { split, empty, tolerances: surface ? kitsTolerances : null });
  const files = options.out === undefined ? [] : await writeReports(options.out, metrics);
  return { metrics, warnings, files };
}

/**
 * Case scores to the content of metrics.json: means over cases, and apart from them means over slices.
 * `tolerances`: those of the scores; null, the default, if the surfaces were not scored.
 */
export function summarize(
  scores: readonly CaseScore[],
  { split = "test", empty = "kits", tolerances = null }: Partial<Pick<Metrics, "split" | "empty" | "tolerances">> = {},
): Metrics {
  const perRegion = <T>(make: (name: RegionName) => T): Record<RegionName, T> =>
    Object.fromEntries(regionNames.map((name) => [name, make(name)])) as Record<RegionName, T>;
  return {
    unit: "3-D per case",
    split,
    empty,
    tolerances,
    mean: perRegion((name) => meanScore(scores.map((score) => score.regions[name]), tolerances !== null)),
    cases: scores.map(({ id, regions }) => ({ id, ...regions })),
    perSlice: {
      unit: "per slice, non-empty reference or prediction",
      mean: perRegion((name) => {
        const slices = scores.flatMap((score) => score.perSlice[name]);
        return { ...meanOverlap(slices), slices: slices.length };
      }),
    },
  };
}

/**
 * The content of evaluation.csv: caseID, Dice and surface Dice (SD) per region with 8 decimals, and a last row
 * `average` without a final newline, as the KiTS challenge's own file has it. SD is nan if surfaces were not measured.
 */
export function evaluationCsv(metrics: Metrics): string {
  return csv(metrics, { Dice: (score) => score.dice, SD: (score) => score.surfaceDice });
}

/** The content of evaluation_more.csv, in the form of evaluation.csv: Jaccard, HD95 and ASD in mm, volumes in ml. */
export function evaluationMoreCsv(metrics: Metrics): string {
  return csv(metrics, {
    JC: (score) => score.jaccard,
    HD95: (score) => score.hd95,
    ASD: (score) => score.asd,
    ml_reference: (score) => score.referenceMl,
    ml_prediction: (score) => score.predictionMl,
  });
}

type Column = (score: RegionScore) => number | null | undefined;

function csv({ cases }: Metrics, columns: Record<string, Column>): string {
  const cells = Object.entries(columns).flatMap(([head, value]) =>
    regionNames.map((name) => ({ head: `${head}_${name}`, values: cases.map((one) => value(one[name]) ?? NaN) })),
  );
  return [
    ["caseID", ...cells.map(({ head }) => head)],
    ...cases.map(({ id }, row) => [id, ...cells.map(({ values }) => decimals(values[row]))]),
    ["average", ...cells.map(({ values }) => decimals(meanOf(values)))],
  ]
    .map((row) => row.join(","))
    .join("\n");
}

/** A table for people: one line per case, the mean, and the per-slice mean under its own heading. */
export function formatMetrics(metrics: Metrics): string {
  const { cases, mean, perSlice, split, tolerances, unit } = metrics;
  const width = Math.max(7, ...cases.map(({ id }) => id.length));
  const heads = regionNames.flatMap((name) => [`${name} Dice`, ...(tolerances ? ["SD"] : []), "JC"]);
  const columns = heads.map((head) => Math.max(head.length, 6));
  const line = (first: string, cells: readonly string[]): string =>
    [first.padEnd(width), ...cells.map((cell, i) => cell.padStart(columns[i]))].join("  ");
  const scores = (of: Record<RegionName, MeanScore>): string[] =>
    regionNames.flatMap((name) => {
      const { dice, surfaceDice, jaccard } = of[name];
      return [short(dice), ...(tolerances ? [short(surfaceDice ?? NaN)] : []), short(jaccard)];
    });
  const rule = "-".repeat(line("", heads).length);
  const slices = regionNames.map((name) => `${name} ${perSlice.mean[name].slices}`).join(", ");
  return [
    `Agreement with the reference, ${unit} (split: ${split}, ${cases.length} ${cases.length === 1 ? "case" : "cases"})`,
    line("case", heads),
    rule,
    ...cases.map((one) => line(one.id, scores(one))),
    rule,
    line("mean", scores(mean)),
    ...(tolerances ? surfaceLines(mean, tolerances) : []),
    "",
    `Another unit, not to be compared with the above: ${perSlice.unit} (slices: ${slices})`,
    line("mean", scores(perSlice.mean)),
  ].join("\n");
}

function surfaceLines(mean: Record<RegionName, MeanScore>, tolerances: Readonly<Record<RegionName, number>>): string[] {
  const each = (value: (name: RegionName) => string): string =>
    regionNames.map((name) => `${name} ${value(name)}`).join(", ");
  return [
    `SD: surface Dice, tolerance in mm: ${each((name) => tolerances[name].toFixed(3))}`,
    `HD95 in mm: ${each((name) => millimetres(mean[name].hd95))}; ` +
      `average surface distance: ${each((name) => millimetres(mean[name].asd))}`,
    `  (cases where neither mask is empty: ${each((name) => String(mean[name].surfaceCases))})`,
  ];
}

/** Case ids and label files of a folder: case folders of a KiTS tree, or label files named by case. Sorted by id. */
export async function labelFiles(folder: string): Promise<Map<string, string>> {
  for (const below of treeFolders) {
    const found = await labelFilesIn(join(folder, below), below === "");
    if (found.size > 0) return found;
  }
  throw new DataError(
    `${folder}: must hold label files, found none; ` +
      `expected case_00000/segmentation.nii.gz (a KiTS tree) or case_00000.nii.gz`,
  );
}

async function labelFilesIn(folder: string, required: boolean): Promise<Map<string, string>> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (!required) return [];
    throw new DataError(`${folder}: must be a readable folder, found ${reason(error)}; check the path`);
  });
  const found = new Map<string, string>();
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    const name = /^(?!\.)(.+)\.nii(\.gz)?$/.exec(entry.name)?.[1];
    if (name !== undefined) {
      const id = name.replace(/^prediction_(?=\d{5}$)/, "case_"); // KiTS19 submissions are named prediction_00000
      if (found.has(id)) throw new DataError(`${path}: a case must have one file, found another for ${id}; remove one`);
      found.set(id, path);
    } else if (/^case_\d+$/.test(entry.name)) {
      const file = await firstFile(referenceNames.map((inside) => join(path, inside)));
      if (file) found.set(entry.name, file);
    }
  }
  return found;
}

async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile()) return path;
  }
  return undefined;
}

function chooseCases(
  { predictions: folder, reference, ids }: EvaluateOptions,
  predictions: Map<string, string>,
  references: Map<string, string>,
): readonly string[] {
  const chosen = ids ?? [...predictions.keys()];
  if (chosen.length === 0)
    throw new OptionError("evaluate: ids must name at least one case, found none; leave it out for all");
  for (const id of chosen) {
    if (!predictions.has(id)) {
      throw new DataError(
        `${folder}: must hold a prediction of ${id}, found none; run the prediction of this case first`,
      );
    }
    if (!references.has(id)) {
      throw new DataError(
        `${reference}: must hold a reference of ${id} (${basename(predictions.get(id)!)}), found none; ` +
          `rename the prediction to its case, or remove it`,
      );
    }
  }
  return chosen;
}

function unpredicted(options: EvaluateOptions, ids: readonly string[], references: Map<string, string>): string[] {
  if (options.ids || references.size === ids.length) return [];
  const missing = [...references.keys()].filter((id) => !ids.includes(id));
  const some = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
  return [`${missing.length} of ${references.size} references have no prediction and are not scored: ${some}`];
}

/** Both volumes as axial slices. A prediction without a matrix is taken to lie as its reference does. */
async function readPair(referencePath: string, predictionPath: string): Promise<[LabelImage, LabelImage]> {
  const [reference, prediction] = await Promise.all([readHeader(referencePath), readHeader(predictionPath)]);
  const orientation =
    prediction.affineSource === "pixdim" ? { axes: reference.axes, flips: reference.flips } : undefined;
  return Promise.all([readLabels(referencePath), readLabels(predictionPath, orientation)]);
}

function volumeOf({ data, header }: LabelImage): LabelVolume {
  return { data, shape: header.shape, spacing: header.spacing };
}

/** The official code means to check the spacing but cannot fail; here the reference decides and the reader is told. */
function geometryWarnings(id: string, reference: NiftiHeader, prediction: NiftiHeader): string[] {
  if (prediction.affineSource === "pixdim" && reference.affineSource !== "pixdim") {
    return [`${id}: the prediction has no matrix; it is taken to lie as the reference does`];
  }
  const words = (of: NiftiHeader): string => of.spacing.map((mm) => Number(mm.toPrecision(6))).join(" x ");
  const sameSpacing = reference.spacing.every((mm, axis) => Math.abs(mm - prediction.spacing[axis]) <= 1e-3 * mm);
  if (!sameSpacing) {
    return [
      `${id}: spacing of the prediction is ${words(prediction)} mm, of the reference ${words(reference)} mm; ` +
        `the reference's is used`,
    ];
  }
  const sameAxes = [0, 1, 2].every(
    (d) => reference.axes[d] === prediction.axes[d] && reference.flips[d] === prediction.flips[d],
  );
  if (!sameAxes)
    return [`${id}: the prediction is stored in other axes than the reference; both are compared as axial slices`];
  const distance = reference.dims.every((n, axis) => n === prediction.dims[axis])
    ? cornerDistance(reference, prediction)
    : 0;
  if (distance <= 1) return [];
  return [`${id}: the prediction lies ${distance.toFixed(1)} mm away from the reference; voxels are compared by index`];
}

async function writeReports(out: string, metrics: Metrics): Promise<string[]> {
  const json = join(out, "metrics.json");
  const official = join(out, "evaluation.csv");
  const more = join(out, "evaluation_more.csv");
  await writeJsonAtomic(json, metrics);
  await writeFileAtomic(official, evaluationCsv(metrics));
  await writeFileAtomic(more, evaluationMoreCsv(metrics));
  return [json, official, more];
}

function meanScore(scores: readonly RegionScore[], surface: boolean): MeanScore {
  if (!surface) return meanOverlap(scores);
  const distances = scores.filter((score) => typeof score.hd95 === "number");
  const mean = (values: readonly (number | null | undefined)[]): number | null =>
    values.length === 0 ? null : meanOf(values.map((value) => value ?? NaN));
  return {
    ...meanOverlap(scores),
    surfaceDice: meanOf(scores.map((score) => score.surfaceDice ?? NaN)),
    hd95: mean(distances.map((score) => score.hd95)),
    asd: mean(distances.map((score) => score.asd)),
    surfaceCases: distances.length,
  };
}

function meanOverlap(scores: readonly Overlap[]): Overlap {
  return { dice: meanOf(scores.map((score) => score.dice)), jaccard: meanOf(scores.map((score) => score.jaccard)) };
}

function regionsOf(dataset: "kits" | "kits19"): Regions {
  if (dataset === "kits") return kitsRegions;
  if (dataset === "kits19") return kits19Regions;
  throw new OptionError(
    `evaluate: dataset must be kits or kits19, found ${String(dataset)}; KiTS21 and KiTS23 are kits`,
  );
}

function decimals(value: number): string {
  return Number.isNaN(value) ? "nan" : value.toFixed(8);
}

function short(value: number): string {
  return Number.isNaN(value) ? "-" : value.toFixed(4);
}

function millimetres(value: number | null | undefined): string {
  return typeof value === "number" ? value.toFixed(2) : "-";
}
