// What the JSON files of a run folder must hold. They are read by later runs and reports, maybe after an editor, a copy
// over the network or another version of this program had them in hand.

import {
  all,
  amount,
  count,
  either,
  fileName,
  flag,
  insidePath,
  isRecord,
  listOf,
  nullable,
  number,
  object,
  oneOf,
  optional,
  pathText,
  plain,
  real,
  recordOf,
  text,
  that,
  whole,
  type Check,
} from "../structure.ts";
import type { Ablation, AblationRow } from "./ablation.ts";
import type { CaseMetrics, MeanScore, Metrics } from "./evaluate.ts";
import { regionNames, type RegionName, type RegionScore } from "./metrics.ts";
import { settingRule } from "./options.ts";
import { presets } from "./presets.ts";
import type { RunFacts } from "./run.ts";
import type { Split } from "./split.ts";
import { regionStage, stageNames } from "./stages.ts";
import type { EpochLog, TrainResult } from "./train.ts";

const stageName = oneOf(...stageNames);
const trainedName = oneOf(...stageNames, regionStage.name);
const seed = whole(0, 0xffffffff);
/** What a number that was NaN is written as. */
const maybe = nullable(number);
const maybeShare = nullable(real(0, 1));

/** Cases are named by their folders or files, and files are named by them. */
const caseIds = all(
  listOf(fileName),
  that("a list of cases, each once", (v) => new Set(v as string[]).size === (v as string[]).length),
);

/** splits.json. */
export const splitFile = object<Split>({
  unit: oneOf("case"),
  seed,
  fractions: listOf(amount, 3),
  overfit: flag,
  train: caseIds,
  val: caseIds,
  test: caseIds,
  origin: optional(object<NonNullable<Split["origin"]>>({ file: pathText, fold: count })),
});

const trainResult = object<TrainResult>({
  best: object<TrainResult["best"]>({ epoch: count, validationLoss: maybe }),
  epochs: count,
  images: count,
  seed,
  seconds: amount,
  parameters: object<TrainResult["parameters"]>({ network: count, discriminators: count }),
});

const facts = (options: Check): Check =>
  object<RunFacts>({
    status: oneOf("running", "partial", "finished", "failed", "interrupted"),
    error: optional(text),
    wgrad: text,
    node: text,
    adapter: object<RunFacts["adapter"]>({ name: text, driver: text, software: flag }, plain(4)),
    preset: text,
    options,
    stages: listOf(stageName),
    data: object<RunFacts["data"]>({
      title: text,
      root: pathText,
      synthetic: flag,
      license: text,
      note: text,
      cases: count,
      slices: count,
      key: text,
    }),
    split: splitFile,
    started: text,
    finished: optional(text),
    seconds: optional(recordOf(amount)),
    trained: optional(recordOf(either(oneOf("absent"), trainResult), trainedName)),
  });

/** Settings with the names of `template`, each by its rule. */
function settingsLike(template: object): Check {
  const fields = Object.entries(template).map(([name, value]: [string, unknown]) => [
    name,
    isRecord(value)
      ? settingsLike(value)
      : (settingRule(name) ?? (Array.isArray(value) ? listOf(number, value.length) : number)),
  ]);
  return object(Object.fromEntries(fields) as Record<string, Check>);
}

/** run.json of a run that is gone on with: its settings are used again. */
export const factsFile = facts(settingsLike(presets.phantom.options));

/** run.json for the report, which shows whatever settings there are. */
export const shownFactsFile = facts(all(that("an object", isRecord), plain(5)));

const scaleTerms = listOf(recordOf(maybe));

/** A line of log.jsonl. */
export const epochLine = object<EpochLog>({
  stage: trainedName,
  epoch: count,
  epochs: count,
  lr: maybe,
  trainLoss: maybe,
  validationLoss: maybe,
  validationDice: recordOf(maybe),
  imagesPerSecond: maybe,
  seconds: maybe,
  gpuMemory: optional(count),
  generator: optional(scaleTerms),
  discriminator: optional(scaleTerms),
  skipped: optional(listOf(count)),
  warnings: optional(listOf(text)),
});

const surface = {
  surfaceDice: optional(maybeShare),
  hd95: optional(nullable(amount)),
  asd: optional(nullable(amount)),
};

const perRegion = (check: Check) =>
  Object.fromEntries(regionNames.map((name) => [name, check])) as Record<RegionName, Check>;

const regionScore = object<RegionScore>({
  ...{ dice: maybeShare, jaccard: maybeShare, intersection: count, reference: count, prediction: count },
  ...{ referenceMl: amount, predictionMl: amount },
  ...surface,
});

const meanScore = object<MeanScore>({
  ...{ dice: maybeShare, jaccard: maybeShare, ...surface },
  surfaceCases: optional(count),
});

/** metrics.json. */
export const metricsFile = object<Metrics>({
  unit: oneOf("3-D per case"),
  split: text,
  empty: oneOf("kits", "nnunet", "monai"),
  tolerances: nullable(object(perRegion(amount))),
  mean: object(perRegion(meanScore)),
  cases: listOf(object<CaseMetrics>({ id: fileName, ...perRegion(regionScore) })),
  perSlice: object<Metrics["perSlice"]>({
    unit: oneOf("per slice, non-empty reference or prediction"),
    mean: object(
      perRegion(
        object<Metrics["perSlice"]["mean"][RegionName]>({ dice: maybeShare, jaccard: maybeShare, slices: count }),
      ),
    ),
  }),
});

const ablationMean = object<AblationRow["mean"][RegionName]>({
  dice: maybe,
  jaccard: maybe,
  surfaceDice: optional(maybe),
});

/** ablation.json. */
export const ablationFile = object<Ablation>({
  rows: listOf(
    object<AblationRow>({
      name: text,
      title: text,
      images: count,
      seconds: amount,
      cases: count,
      mean: object(perRegion(ablationMean)),
      metrics: insidePath,
    }),
  ),
  notes: listOf(text),
});
