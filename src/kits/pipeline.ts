// One run from data to report: slices, split, the cascade, scores of the cascade and of the coarse network alone.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import packageJson from "../../package.json" with { type: "json" };
import { AdapterError, DataError, OptionError } from "../errors.ts";
import { close, init, type AdapterInfo } from "../index.ts";
import { openCache, type SliceCache } from "./cache.ts";
import { runCascade, stageFolder } from "./cascade.ts";
import { openDataset } from "./datasets/open.ts";
import { splitOfFold, testsOnValidation, type FoldChoice } from "./folds.ts";
import { InterruptedError } from "./interrupt.ts";
import { evaluate, formatMetrics, type EvaluateResult, type Metrics } from "./evaluate.ts";
import type { OnNonfinite } from "./nonfinite.ts";
import type { RunOptions } from "./options.ts";
import { preprocess } from "./preprocess.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import { caveats, writeOverlays, writeReport } from "./report.ts";
import { dataFacts, describeData, loadFacts, openRunFolder, saveFacts, type RunFacts } from "./run.ts";
import { sliceDefaults, windowRange, type SliceOptions } from "./slices.ts";
import { loadSplit, saveSplit, splitCases, type Split } from "./split.ts";
import { stageNames, type StageName } from "./stages.ts";
import { forgetTrainingStates } from "./trainingState.ts";
import type { RunWatch } from "./watch/runWatch.ts";

/** What a run is asked to do. */
export interface RunRequest {
  readonly folder: string;
  /** Slices are cached beside this run folder; default `folder`. */
  readonly cacheBeside?: string;
  readonly root: string;
  /** Name of the dataset where detection should not decide. */
  readonly dataset?: string;
  readonly dataNote: string;
  readonly preset: string;
  readonly options: RunOptions;
  /** The fold to train on, where the split is not drawn. */
  readonly fold?: FoldChoice;
  /** Networks to train; those left out are loaded from the folder. */
  readonly stages: readonly StageName[];
  readonly overwrite: boolean;
  /** Go on with what the folder's last command left unfinished, where there is a run; `stages` do not count then. */
  readonly resume: boolean;
  /** Seconds of training between training states within an epoch. */
  readonly checkpointSeconds: number;
  /** What follows a loss or gradient that is not finite. */
  readonly onNonfinite: OnNonfinite;
  /** Seconds for measuring kernels before each network's training; 0: none. */
  readonly tune: number;
  readonly png: boolean;
  readonly adapter: AdapterInfo;
  /** As the user named it, for opening it again. */
  readonly adapterName?: string;
  readonly mode: ProgressMode;
  readonly say: (text: string) => void;
  /** Is shown how every training goes; default nobody. */
  readonly watch?: RunWatch;
}

type Timed = <T>(step: string, work: () => Promise<T>) => Promise<T>;

/**
 * Runs what is asked for and returns the scores of the cascade, or null while networks are still to be trained. On
 * failure run.json says so and the error goes on.
 */
export async function trainKits(asked: RunRequest): Promise<Metrics | null> {
  const { folder, options, say } = asked;
  const again = goesOn(asked);
  if (!again) await openRunFolder(folder, asked.overwrite);
  const before = again ? await loadFacts(folder) : null;
  const resume = asked.resume && before !== null && isDeepStrictEqual(before.options, options);
  const request = { ...asked, resume, stages: resume ? unfinished(before) : asked.stages };
  const { stages } = request;
  if (before) checkWindow(before, request);
  const seconds: Record<string, number> = { ...before?.seconds };
  const timed: Timed = async (step, work) => {
    const start = performance.now();
    const result = await work();
    seconds[step] = (performance.now() - start) / 1000;
    return result;
  };
  const folded = again ? null : await foldOf(request); // before slices are made, which may take hours
  const [coarse, fine] = await timed("preprocess", () => makeCaches(request));
  try {
    if (resume && before.data.key !== fine.index.key)
      throw new DataError(
        `${folder}: the data at ${request.root} are not those of the run (files, options or --dataset changed); choose another --out`,
      );
    const split = await splitOf(request, fine, folded);
    const trained = without(before?.trained ?? {}, stages);
    // Of networks that begin anew, and of those that were trained when a run was killed before it removed them.
    const past = [...(resume ? [] : stages), ...(Object.keys(trained) as StageName[])];
    for (const name of past) await forgetTrainingStates(checkpointFolder(folder, name));
    const facts: RunFacts = {
      status: "running",
      wgrad: packageJson.version,
      node: process.version,
      adapter: request.adapter,
      preset: request.preset,
      options,
      stages: resume ? before.stages : stages,
      data: dataFacts(fine.index, request.dataNote),
      split,
      started: new Date().toISOString(),
      seconds,
      trained,
    };
    await saveFacts(folder, facts);
    say(`data: ${describeData(facts.data)}`);
    say(describeSplit(split));
    try {
      const metrics = await trainAndScore(request, facts, coarse, fine, timed);
      Object.assign(facts, { status: metrics ? "finished" : "partial", finished: new Date().toISOString() });
      await saveFacts(folder, facts);
      return metrics;
    } catch (error) {
      const ended = error instanceof InterruptedError ? "interrupted" : "failed";
      // Where this cannot be written either, run.json goes on saying "running", and the first error is the one to tell.
      await saveFacts(folder, { ...facts, status: ended, error: (error as Error).message }).catch(() => undefined);
      throw error;
    }
  } finally {
    for (const cache of new Set([coarse, fine])) cache.close();
  }
}

/** True if a run that is there is resumed, or some of its stages run again, and it is not to be replaced. */
export function goesOn({
  folder,
  stages,
  overwrite,
  resume,
}: Pick<RunRequest, "folder" | "stages" | "overwrite" | "resume">): boolean {
  return !overwrite && (resume || stages.length < stageNames.length) && existsSync(join(folder, "run.json"));
}

/** The networks that the last command was to train and has not. */
function unfinished({ stages, trained = {} }: RunFacts): StageName[] {
  return stages.filter((name) => trained[name] === undefined);
}

function checkpointFolder(folder: string, stage: StageName): string {
  return join(folder, "checkpoints", stage);
}

function without<T>(values: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name)));
}

/** Whole slices for the coarse network and finer ones for regions; one cache if they have one size. */
async function makeCaches(request: RunRequest): Promise<[coarse: SliceCache, fine: SliceCache]> {
  const { coarse, sourceSize } = request.options;
  const first = await openSlices(request, coarse.size);
  return [first, coarse.size === sourceSize ? first : await openSlices(request, sourceSize)];
}

/** The cache of slices of one size, made if it is not there. */
export async function openSlices(request: RunRequest, size: number): Promise<SliceCache> {
  const { folder, cacheBeside = folder, root, png, mode } = request;
  const dataset = await openDataset(root, request.dataset ? { name: request.dataset } : {});
  const { window, level } = request.options;
  const at = cacheFolder(cacheBeside, root, { size, window, level });
  const progress = startProgress({ label: `preprocess ${size}`, total: dataset.cases.length, unit: "cases", mode });
  try {
    await preprocess(dataset, at, { size, window, level, png }, ({ done, reused, id }) => {
      progress.update(done, { case: id });
      if (reused) progress.log(`slices: reused from ${at}`);
    });
  } finally {
    progress.stop();
  }
  return openCache(at);
}

/** Slices are kept beside the runs, so that runs with the same data, size and window share them. */
function cacheFolder(folder: string, root: string, { size, window, level }: SliceOptions): string {
  const name = createHash("sha256").update(root).digest("hex").slice(0, 10);
  const usual = window === sliceDefaults.window && level === sliceDefaults.level;
  return join(dirname(folder), "cache", `${name}-${size}${usual ? "" : `-window-${window}-level-${level}`}`);
}

/** Opens the GPU of a run again after it was lost. Throws AdapterError if another one is found. */
export async function reopen({ adapter, adapterName }: RunRequest): Promise<void> {
  close();
  const { name } = await init(adapterName === undefined ? {} : { adapter: adapterName });
  if (name !== adapter.name)
    throw new AdapterError(`${adapter.name} did not come back, found ${name}; go on with --resume when it is there`);
}

/** The split of the fold that is asked for, or null. */
async function foldOf({ root, dataset, fold, options }: RunRequest): Promise<Split | null> {
  if (!fold) return null;
  if (options.overfit) throw new OptionError("--split-file says which cases train; leave out --overfit");
  const { cases } = await openDataset(root, dataset ? { name: dataset } : {});
  const { splitSeed: seed, fractions } = options;
  return splitOfFold(
    fold,
    cases.map(({ id }) => id),
    { seed, fractions },
  );
}

/** The split of the folder if stages are run again, else that of the fold, else a new one. */
async function splitOf(request: RunRequest, cache: SliceCache, folded: Split | null): Promise<Split> {
  const { folder, options } = request;
  const ids = cache.index.cases.filter((c) => c.label !== null).map((c) => c.id);
  const path = join(folder, "splits.json");
  if (goesOn(request) && existsSync(path)) return sameSplit(await loadSplit(path, ids), request);
  const { splitSeed: seed, fractions, overfit } = options;
  const split = folded ?? splitCases(ids, { seed, fractions, overfit });
  if (split.test.length === 0)
    throw new OptionError(`fractions must leave at least one test case, got ${fractions.join(":")}`);
  await saveSplit(path, split);
  return split;
}

/** A split stays as it was made. Throws OptionError if another one is asked for. */
function sameSplit(
  split: Split,
  { folder, fold, options: { splitSeed: seed, fractions, overfit } }: RunRequest,
): Split {
  const { origin } = split;
  if (fold && (fold.file !== origin?.file || (fold.fold ?? origin.fold) !== origin.fold))
    throw new OptionError(
      `${folder} keeps its split, ${origin ? `fold ${origin.fold} of ${origin.file}` : "which was drawn"}; ` +
        `ask for the same, or choose another --out`,
    );
  const show = (parts: readonly number[], by: number, over: boolean) =>
    `fractions ${parts.join(":")}, split seed ${by}${over ? " and --overfit" : ""}`;
  if (fractions.join() !== split.fractions.join() || seed !== split.seed || (overfit && !split.overfit))
    throw new OptionError(
      `--stages keeps the split of ${folder}, made with ${show(split.fractions, split.seed, split.overfit)}, ` +
        `got ${show(fractions, seed, overfit)}; ask for the same, or choose another --out`,
    );
  return split;
}

/** Throws OptionError where networks that stay were trained with another window. */
function checkWindow({ options: before, trained = {} }: RunFacts, { folder, stages, options }: RunRequest): void {
  if (options.window === before.window && options.level === before.level) return;
  const kept = stageNames.filter((name) => trained[name] && !stages.includes(name));
  if (kept.length === 0) return;
  const show = ({ window, level }: RunOptions) => `window ${window} and level ${level}`;
  throw new OptionError(
    `--stages keeps the ${kept.join(", ")} networks of ${folder}, trained with ${show(before)}, got ${show(options)}; ` +
      `ask for the same, or choose another --out`,
  );
}

function describeSplit(split: Split): string {
  const { train, val, test, overfit, origin } = split;
  const parts = `${train.length} train, ${val.length} validation, ${test.length} test cases`;
  if (overfit) return `split: ${parts} (the same cases: an overfit check)`;
  if (!origin) return `split: ${parts}`;
  const tested = testsOnValidation(split) ? "tests on its validation cases" : "the cases that it does not name test";
  return `split: ${parts} (fold ${origin.fold} of ${origin.file}; ${tested})`;
}

/** Scores predictions of the test cases; metrics.json and the tables go to `out`. */
export function scoreTest(
  { index: { dataset } }: SliceCache,
  split: Split,
  predictions: string,
  out: string,
  mode: ProgressMode,
): Promise<EvaluateResult> {
  return evaluate({
    reference: dataset.root,
    predictions,
    ids: split.test,
    out,
    split: split.overfit ? "overfit" : testsOnValidation(split) ? "validation" : "test",
    dataset: dataset.name === "kits19" ? "kits19" : "kits",
    progress: mode,
  });
}

async function trainAndScore(
  request: RunRequest,
  facts: RunFacts,
  coarse: SliceCache,
  fine: SliceCache,
  timed: Timed,
): Promise<Metrics | null> {
  const { folder, options, stages, mode, say } = request;
  const { split } = facts;
  const left = await runCascade({
    options,
    split,
    coarse,
    fine,
    folder,
    mode,
    tune: request.tune,
    resume: request.resume,
    checkpointSeconds: request.checkpointSeconds,
    onNonfinite: request.onNonfinite,
    watch: request.watch,
    reopen: () => reopen(request),
    stages,
    trained: facts.trained!,
    say,
    onStage: async (stage, seconds, result) => {
      if (result === null) return;
      facts.trained![stage] = result;
      facts.seconds![stage] = seconds;
      await saveFacts(folder, facts);
      await forgetTrainingStates(checkpointFolder(folder, stage));
    },
  });
  const score = (predictions: string, out: string) => scoreTest(fine, split, predictions, out, mode);
  const alone = stageFolder(folder, "coarse");
  if (options.roi.from === "coarse" && !left.includes("coarse"))
    await timed("evaluate coarse", () => score(alone, alone));
  if (left.length > 0) {
    say(`still to be trained: ${left.join(", ")}; go on with --stages ${left.join(",")} --out ${folder}`);
    return null;
  }
  const scored = await timed("evaluate", () => score(join(folder, "predictions"), folder));
  for (const warning of scored.warnings) say(`warning: ${warning}`);
  await saveFacts(folder, facts);
  await timed("report", async () => {
    await writeOverlays(folder, fine, split.test, { window: windowRange(options) });
    await writeReport(folder, { sources: fine });
  });
  const coarseBeside = options.roi.from === "coarse" ? "beside" : "none";
  say(`\n${formatMetrics(scored.metrics)}\n\n${caveats(facts, scored.metrics, coarseBeside).join("\n")}`);
  return scored.metrics;
}
