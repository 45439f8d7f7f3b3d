// A trained cascade on one scan, all in memory: for predict:kits, and for a page in a browser (nothing that is imported
// from here needs Node). Voxels of a file come from parseImage (nifti_bytes.ts) or readImage (nifti.ts).

import { OptionError } from "../errors.ts";
import { composeCase, joinMask, joinsCoarse, largest, predictedRois } from "./cascadeRules.ts";
import type { Geometry } from "./geometry.ts";
import type { RegionName } from "./metrics.ts";
import { checkOptions, stageNames, type RunOptions } from "./options.ts";
import { settlePrecision } from "./precision.ts";
import { openPredictor, predictRois, predictWhole, type Bytes, type InRegions } from "./predict.ts";
import type { OnSlices, Predictor, ScanSlices, WholeSlices } from "./predict.ts";
import { scanSlices } from "./slices.ts";
import { coarseStage, fineStages, type FineStage, type StageName } from "./stages.ts";
import { trainedNetwork, type NetworkWeights } from "./trainedNetwork.ts";

export type { NetworkWeights } from "./trainedNetwork.ts";

/** A CT scan as parseImage and readImage give it: [S, H, W] Hounsfield units. */
export interface Scan {
  readonly data: Int16Array;
  readonly header: Pick<Geometry, "shape">;
}

/** Weights by stage; "absent" for a network that had nothing to learn, as run.json has it under `trained`. */
export type CascadeWeights = Readonly<Partial<Record<StageName, NetworkWeights | "absent">>>;

/** Settings of a segmenter for all its scans. */
export interface SegmenterOptions {
  /**
   * Slices at a time; default those of each network's training, which gives the labels that the run itself gave. Others may
   * choose other kernels, whose results differ in the last bits.
   */
  readonly batch?: number;
  /** Average over a slice and its mirror images, left-right, front-back and both: four times the work. Default false. */
  readonly tta?: boolean;
  /** Told what the adapter cannot do; default: nobody is told. */
  readonly say?: (text: string) => void;
}

/** Where a segmentation stands: `done` of `total` slices of a network; of 1 for what is no network's. */
export interface SegmentProgress {
  readonly stage: "slices" | StageName | "labels";
  readonly done: number;
  readonly total: number;
}

/** Settings of one segmentation. */
export interface SegmentOptions {
  /** Told at the beginning of each stage and after each batch. What it throws ends the segmentation. */
  readonly onProgress?: (at: SegmentProgress) => void;
  /** Ends the segmentation after the batch under way, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Also give the probabilities. Default false. */
  readonly probabilities?: boolean;
}

/** What is found in a scan; all volumes are [S, H, W] on its own grid, in the order of its voxels. */
export interface Segmentation {
  /** Index into `classes`. */
  readonly labels: Bytes;
  /** KiTS: background, kidney, tumor, cyst. Of the coarse network alone: background, kidney, mass. */
  readonly classes: readonly string[];
  /**
   * Where asked for, 255 times the probability of each region: kidney with its masses, masses, tumor. 0 where no network
   * looked, from 128 on the network says yes. Where the run joins the coarse masks, the larger of both networks'.
   */
  readonly probabilities: Readonly<Partial<Record<RegionName, Bytes>>>;
  /**
   * By stage, where the weights of discriminators were given: 255 times how much they trust the prediction there, 0 outside
   * of the regions.
   */
  readonly confidence: Readonly<Partial<Record<StageName, Bytes>>>;
}

/** A cascade that is ready for scans. */
export interface Segmenter {
  /** Networks that it runs. */
  readonly stages: readonly StageName[];
  readonly classes: readonly string[];
  /** Segments one scan; one at a time. Throws as onProgress and signal, or what the GPU throws. */
  segment(scan: Scan, options?: SegmentOptions): Promise<Segmentation>;
  /** Gives back the GPU memory that is kept between scans. */
  free(): void;
}

/** One scan with a cascade that is not needed again: see openSegmenter. */
export async function segment(
  scan: Scan,
  run: RunOptions,
  weights: CascadeWeights,
  options: SegmenterOptions & SegmentOptions = {},
): Promise<Segmentation> {
  const segmenter = await openSegmenter(run, weights, options);
  try {
    return await segmenter.segment(scan, options);
  } finally {
    segmenter.free();
  }
}

/**
 * Makes a cascade of its settings (`options` of run.json) and weights, after init(). With all its networks it gives KiTS labels; where
 * fine networks are still to be trained, the coarse network's alone. Throws OptionError where there is not even that, or for
 * settings out of range, DataError for weights of other networks.
 */
export async function openSegmenter(
  run: RunOptions,
  weights: CascadeWeights,
  { batch, tta = false, say = () => {} }: SegmenterOptions = {},
): Promise<Segmenter> {
  const options = structuredClone(run);
  checkOptions(options);
  settlePrecision(options, say);
  const stages = runnable(options, weights);
  const predictors = new Map<StageName, Predictor>();
  for (const stage of [coarseStage, ...fineStages]) {
    const name = stage.name as StageName;
    const own = weights[name];
    if (!stages.includes(name) || !own || own === "absent") continue;
    const how = { batch: batch ?? options[name].batch, mirror: tta };
    const sourceSize = name === "coarse" ? options.coarse.size : options.sourceSize;
    const network = trainedNetwork(name, options, own);
    predictors.set(name, await openPredictor(network, stage, { ...how, sourceSize }));
  }
  const alone = stages.length === 1;
  const classes = alone ? coarseStage.classes : ["background", "kidney", "tumor", "cyst"];
  return {
    stages,
    classes,
    segment: async (scan, how = {}) => {
      const work = { options, predictors, scan, how };
      return { ...(await (alone ? coarseAlone(work) : cascade(work))), classes };
    },
    free: () => predictors.forEach((predictor) => predictor.free()),
  };
}

/** The networks that can be run: all that the settings ask for, else the coarse one. */
function runnable({ roi }: RunOptions, weights: CascadeWeights): StageName[] {
  const needed = stageNames.filter((name) => name !== "coarse" || roi.from === "coarse");
  const left = needed.filter((name) => !weights[name]);
  if (left.length === 0) return needed;
  if (weights.coarse && weights.coarse !== "absent") return ["coarse"];
  throw new OptionError(`segment: weights of the ${left[0]} network must be there, found none; train it first`);
}

/** One scan on its way through the networks. */
interface Work {
  readonly options: RunOptions;
  readonly predictors: ReadonlyMap<StageName, Predictor>;
  readonly scan: Scan;
  readonly how: SegmentOptions;
}

type Found = Omit<Segmentation, "classes">;

async function coarseAlone(work: Work): Promise<Found> {
  const [slices] = slicesOf(work, [work.options.coarse.size]);
  const { labels, regions } = await coarseOf(work, slices);
  return { labels, probabilities: regions, confidence: {} };
}

async function cascade(work: Work): Promise<Found> {
  const { options, predictors, scan } = work;
  const [fine, first] = slicesOf(work, [
    options.sourceSize,
    ...(predictors.has("coarse") ? [options.coarse.size] : []),
  ]);
  const coarse = first ? await coarseOf(work, first) : null;
  const joined = coarse && joinsCoarse(options) ? coarse.labels : null;
  const before = coarse?.labels ?? null;
  const kidney = await fineOf(work, fineStages[0], fine, before, joined);
  const masses = await fineOf(work, fineStages[1], fine, before, joined);
  const tumor = await fineOf(work, fineStages[2], fine, masses.mask, joined);
  tell(work, "labels", 0, 1);
  const said = { kidney, masses, tumor };
  const probabilities = volumesOf(said, "probability");
  if (joined) for (const name of ["kidney", "masses"] as const) keepLarger(probabilities[name], coarse!.regions[name]);
  const masks = { kidney: kidney.mask, masses: masses.mask, tumor: tumor.mask };
  const labels = composeCase(masks, joined, scan.header.shape, options);
  tell(work, "labels", 1, 1);
  return { labels, probabilities, confidence: volumesOf(said, "confidence") };
}

/** The scan's slices of each size, made once. */
function slicesOf(work: Work, sizes: readonly number[]): ScanSlices[] {
  const { window, level } = work.options;
  tell(work, "slices", 0, 1);
  const bySize = new Map([...new Set(sizes)].map((size) => [size, scanSlices(work.scan, { size, window, level })]));
  tell(work, "slices", 1, 1);
  return sizes.map((size) => ({ slices: bySize.get(size)!, first: 0, shape: work.scan.header.shape }));
}

/** Labels of the coarse network, the largest components of them; and its probabilities where asked for. */
async function coarseOf(work: Work, slices: ScanSlices): Promise<WholeSlices> {
  const { options, predictors, how } = work;
  const onSlices = counter(work, "coarse", slices.shape[0]);
  const found = await predictWhole(predictors.get("coarse")!, slices, onSlices, { regions: how.probabilities });
  return { ...found, labels: largest(found.labels, slices.shape, options.keepLargest) };
}

/** The mask of a fine network in its regions, which lie in the labels of the stage before. */
async function fineOf(
  work: Work,
  stage: FineStage,
  slices: ScanSlices,
  before: Uint8Array | null,
  joined: Uint8Array | null,
): Promise<InRegions> {
  const { options, predictors, how } = work;
  const predictor = predictors.get(stage.name);
  // "absent": it has never seen what it looks for.
  if (!predictor) return { mask: new Uint8Array(work.scan.data.length), probability: null, confidence: null };
  const rois = predictedRois(options, stage, before, slices.shape);
  const onSlices = counter(work, stage.name, rois.filter(Boolean).length);
  const found = await predictRois(predictor, slices, rois, onSlices, { probability: how.probabilities });
  joinMask(found.mask, stage.name, joined);
  return found;
}

/** Tells the beginning of a stage, and after each batch how many slices are done. */
function counter(work: Work, stage: StageName, total: number): OnSlices {
  let done = 0;
  tell(work, stage, done, total);
  return (count) => tell(work, stage, (done += count), total);
}

function tell({ how }: Work, stage: SegmentProgress["stage"], done: number, total: number): void {
  how.signal?.throwIfAborted();
  how.onProgress?.({ stage, done, total });
}

/** One volume of each stage that has it. */
function volumesOf<Name extends string>(
  said: Readonly<Record<Name, InRegions>>,
  which: "probability" | "confidence",
): Partial<Record<Name, Bytes>> {
  const entries = Object.entries<InRegions>(said).map(([name, found]) => [name, found[which]] as const);
  return Object.fromEntries(entries.filter(([, bytes]) => bytes !== null)) as Partial<Record<Name, Bytes>>;
}

function keepLarger(bytes: Bytes | undefined, others: Bytes | undefined): void {
  if (bytes && others) for (let i = 0; i < bytes.length; i++) if (others[i] > bytes[i]) bytes[i] = others[i];
}
