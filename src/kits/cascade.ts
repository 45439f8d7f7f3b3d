// The cascade, stage by stage: the coarse network, regions of interest, three fine networks, composed labels. Stages
// pass files in the run folder, so that any of them can be run again alone.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { DataError, DeviceLostError } from "../errors.ts";
import { loadStateDict, stateDict } from "../nn/index.ts";
import { sameShape } from "../shape.ts";
import type { SliceCache } from "./cache.ts";
import { loadCheckpoint } from "./checkpointFile.ts";
import { composeLabels, wholeLesions } from "./compose.ts";
import { fineNetwork } from "./fineNetwork.ts";
import { coarseNetwork, type ClassFrequencies, type Network } from "./network.ts";
import { advisingOnMemory } from "./memoryAdvice.ts";
import { readLabels, writeNifti } from "./nifti.ts";
import type { OnNonfinite } from "./nonfinite.ts";
import type { RunOptions } from "./options.ts";
import { largest, predictRegions, predictSlices, type PredictJob } from "./predict.ts";
import type { ProgressMode } from "./progress.ts";
import { fullRois, roisOf, saveRois, type CaseRois } from "./roi.ts";
import { roiSlices, slicesOf, targetSlices, wholeSlices, type RoisByCase, type SliceSource } from "./sample.ts";
import type { Split } from "./split.ts";
import { coarseStage, fineStages, stageNames, type FineStage, type StageName } from "./stages.ts";
import { hasTrainingStates } from "./trainingState.ts";
import { classFrequencies, loadNetwork, train, type TrainJob, type TrainResult } from "./train.ts";

/** A run as its stages see it. */
export interface Cascade {
  readonly options: RunOptions;
  readonly split: Split;
  /** Whole slices of the coarse network's size, and finer ones that regions are cut from. */
  readonly coarse: SliceCache;
  readonly fine: SliceCache;
  readonly folder: string;
  readonly mode: ProgressMode;
  /** Seconds for measuring kernels before each network's training; 0: none. */
  readonly tune: number;
  /** See TrainJob. */
  readonly resume: boolean;
  readonly checkpointSeconds: number;
  readonly onNonfinite: OnNonfinite;
  /** Opens the GPU again after it was lost. */
  readonly reopen: () => Promise<void>;
  /** The networks to train; the others are loaded from the run folder. */
  readonly stages: readonly StageName[];
  /** What is known of networks trained before; "absent" ones had nothing to learn. */
  readonly trained: Readonly<Record<string, TrainResult | "absent">>;
  readonly say: (text: string) => void;
  /** Told after each stage; `result` null for a network that was loaded, "absent" for one without anything to learn. */
  readonly onStage: (stage: StageName, seconds: number, result: TrainResult | null | "absent") => Promise<void>;
}

/**
 * Runs the stages in order and, when every network is there, leaves predictions/case_XXXXX.nii.gz of the test cases.
 * Returns the networks that are still to be trained; none if the cascade is complete. Throws DataError if a stage that
 * is asked for needs one of them.
 */
export async function runCascade(run: Cascade): Promise<StageName[]> {
  const left = untrained(run);
  if (run.options.roi.from === "coarse" && !left.includes("coarse"))
    await outlivingLosses(run, (again) => advised(run, "coarse", () => coarseStageOf(resumed(run, again))));
  for (const stage of fineStages)
    if (!left.includes(stage.name))
      await outlivingLosses(run, (again) => advised(run, stage.name, () => fineStageOf(resumed(run, again), stage)));
  if (left.length === 0) await compose(run);
  return left;
}

const advised = <T>({ options }: Cascade, stage: StageName, work: () => Promise<T>): Promise<T> =>
  advisingOnMemory(stage, options[stage], work);

const resumed = (run: Cascade, again: boolean): Cascade => (again ? { ...run, resume: true } : run);

/** Losses of the GPU in one stage after which the run ends. */
const MAX_LOSSES = 3;

/**
 * Does a stage's work. Where the GPU is lost, opens it anew and lets the work go on `again` from its last training state;
 * where its memory is too small, that would not help.
 */
export async function outlivingLosses<T>(
  { say, reopen }: Pick<Cascade, "say" | "reopen">,
  work: (again: boolean) => Promise<T>,
): Promise<T> {
  for (let losses = 0; ; losses++) {
    try {
      return await work(losses > 0);
    } catch (error) {
      if (!(error instanceof DeviceLostError) || losses === MAX_LOSSES) throw error;
      say(`warning: ${error.message}. Opening it again (${losses + 1} of at most ${MAX_LOSSES} times)`);
      await reopen();
    }
  }
}

/** The stage whose predictions a stage's regions come from. */
export function stageBefore(stage: StageName, { roi }: RunOptions): StageName | null {
  if (stage === "tumor") return "masses";
  return stage === "coarse" || roi.from === "none" ? null : "coarse";
}

/** Networks that are neither asked for nor in the run folder. */
function untrained(run: Cascade): StageName[] {
  const { options, folder, stages, trained } = run;
  const needed = stageNames.filter((name) => name !== "coarse" || options.roi.from === "coarse");
  const left = needed.filter(
    (name) => !stages.includes(name) && trained[name] !== "absent" && !isTrained(folder, name),
  );
  for (const stage of needed.filter((name) => !left.includes(name))) {
    const before = stageBefore(stage, options);
    if (before && left.includes(before) && stages.includes(stage))
      throw new DataError(`${folder}: the ${stage} stage needs the ${before} network; add ${before} to --stages`);
  }
  return needed.filter(
    (name) => left.includes(name) || (stageBefore(name, options) && left.includes(stageBefore(name, options)!)),
  );
}

/** Weights are there, and no training state: training ended. */
function isTrained(folder: string, stage: StageName): boolean {
  const checkpoints = join(folder, "checkpoints", stage);
  return existsSync(join(checkpoints, "best.safetensors")) && !hasTrainingStates(checkpoints);
}

/** Where a stage keeps its predictions and regions. */
export function stageFolder(folder: string, stage: string): string {
  return join(folder, "stages", stage);
}

/** The cases of a run without repetition: one list if all parts are the same cases. */
function casesOf({ train, val, test }: Split): string[] {
  return [...new Set([...train, ...val, ...test])].sort();
}

/** Cases that a stage predicts: what is scored, and what later stages train or validate with. */
function predictedCases({ options, split }: Cascade, later: readonly FineStage[]): string[] {
  const wanted = later.some(({ name }) => options[name].predictedRois > 0);
  return wanted ? casesOf(split) : [...new Set([...split.val, ...split.test])].sort();
}

async function coarseStageOf(run: Cascade): Promise<void> {
  const { options, coarse, folder, mode } = run;
  const started = performance.now();
  const source = wholeSlices(coarse, coarseStage);
  const job = trainJob(run, source, "coarse");
  const network = coarseNetwork(options.coarse, options.seed, await frequenciesOf(run, "coarse", job));
  const result = await trainOrLoad(run, "coarse", network, job);
  const ids = predictedCases(run, fineStages.slice(0, 2));
  if (result || missing(run, "coarse", ids)) {
    const target: PredictJob = {
      cache: coarse,
      ids,
      folder: stageFolder(folder, "coarse"),
      batch: options.coarse.batch,
      mode,
    };
    await predictSlices(network, coarseStage, target, options.keepLargest);
  }
  await run.onStage("coarse", (performance.now() - started) / 1000, result);
}

function trainJob(run: Cascade, source: SliceSource, stage: StageName): TrainJob {
  const { options, split, folder, mode, tune, resume, checkpointSeconds, onNonfinite } = run;
  return {
    source,
    train: split.train,
    val: split.val,
    options: options[stage],
    seed: options.seed,
    folder,
    mode,
    tune,
    resume,
    checkpointSeconds,
    onNonfinite,
  };
}

/** The prior of a network that is trained with one; else nothing is read, and all classes count the same. */
async function frequenciesOf({ stages }: Cascade, stage: StageName, job: TrainJob): Promise<ClassFrequencies> {
  const counted = stages.includes(stage) && job.options.prior;
  return counted ? classFrequencies(job) : job.source.stage.classes.map(() => 1);
}

/** Trains the network, or loads it if its stage is not asked for: null then. */
async function trainOrLoad(
  run: Cascade,
  stage: StageName,
  network: Network,
  job: TrainJob,
): Promise<TrainResult | null> {
  if (run.stages.includes(stage)) return train(network, job);
  await loadNetwork(network, run.folder, stage);
  return null;
}

/** Gives a network the weights of the one before it that fit: the same names and shapes. */
async function startFromBefore({ folder, options, say }: Cascade, stage: StageName, network: Network): Promise<void> {
  const before = stageBefore(stage, options);
  if (!before) return;
  const { tensors } = await loadCheckpoint(join(folder, "checkpoints", before, "best.safetensors"));
  const own = await stateDict(network.model);
  const fitting = Object.entries(tensors).filter(([name, { shape }]) => own[name] && sameShape(own[name].shape, shape));
  loadStateDict(network.model, Object.fromEntries(fitting), { strict: false });
  say(`${stage}: starts from ${fitting.length} of ${Object.keys(own).length} tensors of the ${before} network`);
}

function missing({ folder }: Cascade, stage: string, ids: readonly string[]): boolean {
  return ids.some((id) => !existsSync(join(stageFolder(folder, stage), `${id}.nii.gz`)));
}

async function fineStageOf(run: Cascade, stage: FineStage): Promise<void> {
  const { options, split, fine, folder, mode, say } = run;
  const { name } = stage;
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  if (targetSlices({ cache: fine, stage }, slicesOf(fine, split.train)).length === 0) {
    say(`${name}: no training case shows it; the stage is left out and its mask is empty`);
    return run.onStage(name, seconds(), "absent");
  }
  const rois = await regionsOf(run, stage);
  const source = roiSlices(fine, stage, {
    size: options[name].size,
    reference: rois.reference,
    predicted: rois.predicted,
    predictedRois: options[name].predictedRois,
    jitter: options.roi.jitter,
  });
  const job = trainJob(run, source, name);
  const network = fineNetwork(name, options[name], options.seed, await frequenciesOf(run, name, job));
  if (run.stages.includes(name) && options[name].start === "before") await startFromBefore(run, name, network);
  const result = await trainOrLoad(run, name, network, job);
  const ids = name === "masses" ? predictedCases(run, [fineStages[2]]) : split.test;
  const target: PredictJob = { cache: fine, ids, folder: stageFolder(folder, name), batch: options[name].batch, mode };
  await predictRegions(network, stage, target, rois.predicted);
  await run.onStage(name, seconds(), result);
}

/** Regions around the reference of the cases that training shows, and those predicted by the stage before. */
async function regionsOf(run: Cascade, stage: FineStage): Promise<{ reference: RoisByCase; predicted: RoisByCase }> {
  const { fine, split } = run;
  const reference: Record<string, CaseRois> = {};
  const shown = run.stages.includes(stage.name) ? [...split.train, ...split.val] : [];
  for (const id of new Set(shown)) {
    const { labels } = fine.readCase(id);
    reference[id] = rois(run, stage, labels, [fine.caseById(id).slices, fine.size, fine.size]);
  }
  const predicted = await predictedRegions(run, stage);
  const { margin, neighbours } = run.options.roi;
  await saveRois(join(stageFolder(run.folder, stage.name), "rois.json"), { margin, neighbours, cases: predicted });
  return { reference, predicted };
}

/** Regions in the labels of the stage before, for every case that it has predicted. */
async function predictedRegions(run: Cascade, stage: FineStage): Promise<Record<string, CaseRois>> {
  const { folder } = run;
  const before = stageBefore(stage.name, run.options);
  if (before === null) return wholeRegions(run);
  const out: Record<string, CaseRois> = {};
  for (const id of casesOf(run.split)) {
    const path = join(stageFolder(folder, before), `${id}.nii.gz`);
    if (!existsSync(path)) continue;
    const { data, header } = before === "masses" ? await maskOf(run, before, id) : await readLabels(path);
    const rule = before === "masses" ? { inside: [1] } : { minArea: run.options.roi.minArea };
    out[id] = rois(run, stage, data, header.shape, rule);
  }
  return out;
}

/** The coarse network's labels of what a fine network looks for. */
export const coarseLabels: Readonly<Partial<Record<StageName, readonly number[]>>> = { kidney: [1, 2], masses: [2] };

/** The mask of a fine network, joined with the coarse one's where the run says so. */
async function maskOf(run: Cascade, stage: StageName, id: string) {
  const mask = await readLabels(join(stageFolder(run.folder, stage), `${id}.nii.gz`));
  const labels = coarseLabels[stage];
  const coarse = labels && (await joinedLabels(run, id));
  if (coarse) {
    coarse.forEach((label, i) => labels.includes(label) && (mask.data[i] = 1));
  }
  return mask;
}

/** The coarse network's labels of a case where they join those of the fine networks, else null. */
async function joinedLabels({ folder, options }: Cascade, id: string): Promise<Uint8Array | null> {
  if (options.coarseMasks !== "join" || options.roi.from !== "coarse") return null;
  return (await readLabels(join(stageFolder(folder, "coarse"), `${id}.nii.gz`))).data;
}

function wholeRegions({ fine, split }: Cascade): Record<string, CaseRois> {
  return Object.fromEntries(casesOf(split).map((id) => [id, fullRois(fine.caseById(id).slices)]));
}

/** The rule of regions for one label volume [S, H, W]: see roisOf. `minArea`: specks below this share do not count. */
function rois(
  { options: { roi } }: Cascade,
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

/** Labels of the test cases from the masks of the three stages; a stage that was left out has an empty mask. */
async function compose(run: Cascade): Promise<void> {
  const { split, fine, folder, options } = run;
  for (const id of split.test) {
    const { geometry } = fine.caseById(id);
    const voxels = geometry.shape[0] * geometry.shape[1] * geometry.shape[2];
    const mask = async (stage: StageName): Promise<Uint8Array> => {
      const path = join(stageFolder(folder, stage), `${id}.nii.gz`);
      return existsSync(path) ? (await maskOf(run, stage, id)).data : new Uint8Array(voxels);
    };
    const [kidney, masses, tumor] = [await mask("kidney"), await mask("masses"), await mask("tumor")];
    const labels = composeLabels({ kidney, masses, tumor }) as Uint8Array<ArrayBuffer>;
    // Two networks that agree on a kidney outvote a larger blob that only one of them sees.
    const support = (await joinedLabels(run, id)) ?? undefined;
    const kept = largest(labels, geometry.shape, options.keepLargest, support);
    if (options.tumorRule === "lesions") wholeLesions(kept, geometry.shape);
    await writeNifti(join(folder, "predictions", `${id}.nii.gz`), kept, geometry);
  }
}
