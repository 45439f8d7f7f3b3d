#!/usr/bin/env node
// npm run train:kits: data to slices, training, prediction, scores, report. One command, one run folder.

import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { OptionError, WgradError } from "../errors.ts";
import { close, init } from "../index.ts";
import { openCache, type SliceCache } from "./cache.ts";
import { openDataset } from "./datasets/open.ts";
import { evaluate, formatMetrics, type Metrics } from "./evaluate.ts";
import { ensurePhantom } from "./phantom.ts";
import { predictCases } from "./predict.ts";
import { preprocess } from "./preprocess.ts";
import { checkOptions, presetOptions, presets, type RunOptions } from "./presets.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import { caveats, writeOverlays, writeReport } from "./report.ts";
import { dataFacts, describeData, freeFolder, openRunFolder, saveFacts, type RunFacts } from "./run.ts";
import { saveSplit, splitCases } from "./split.ts";
import { coarseModel, train } from "./train.ts";

interface CommandOptions extends Partial<Omit<RunOptions, "fractions" | "augment">> {
  data?: string;
  dataset?: string;
  dataNote: string;
  out?: string;
  overwrite?: boolean;
  preset?: string;
  fractions?: [number, number, number];
  augment: boolean;
  png?: boolean;
  adapter?: string;
  progress?: ProgressMode;
  json?: boolean;
}

const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("must be a number.");
  return value;
};

const fractions = (text: string): [number, number, number] => {
  const parts = text.split(/[:,]/).map(Number);
  if (parts.length !== 3 || !parts.every((p) => p >= 0))
    throw new InvalidArgumentError("must be three numbers such as 8:1:1.");
  return parts as [number, number, number];
};

function commandLine(): Command {
  const list = Object.entries(presets)
    .map(([name, p]) => `  ${name.padEnd(9)} ${p.about}`)
    .join("\n");
  return new Command("train:kits")
    .description(
      "Trains the coarse kidney network on CT in KiTS layout, predicts the test cases and scores them.\nWithout --data it runs on a built-in synthetic phantom.",
    )
    .option("--data <folder>", "a KiTS19, KiTS21 or KiTS23 tree as downloaded, or any folder in that layout")
    .option("--dataset <name>", "kits19, kits21, kits23 or kits, where detection should not decide")
    .option("--data-note <text>", "a sentence about the data for the report", "")
    .option("--out <folder>", "run folder; default runs/<preset>")
    .option("--overwrite", "replace a run that is already there")
    .option("--preset <name>", "see below; default phantom, or demo with --data")
    .option("--seed <n>", "seed of split, weights, sampling and augmentation", number)
    .option("--size <n>", "rows and columns of a slice", number)
    .option("--model <name>", "resunet, deep-resunet or unet")
    .option("--width <n>", "channels of the first stage", number)
    .option("--depth <n>", "number of poolings", number)
    .option("--dropout <p>", "probability of dropping a channel", number)
    .option("--init <name>", "pytorch, or normal: N(0, 0.02) as in the paper's code")
    .option("--prior", "start from the classes' frequencies")
    .option("--no-prior", "start from equal classes")
    .option("--epochs <n>", "passes over the training slices, or draws of --slices-per-epoch", number)
    .option("--batch <n>", "slices per step", number)
    .option("--lr <rate>", "learning rate of Adam", number)
    .option("--schedule <name>", "step, cosine or constant")
    .option("--gamma <factor>", "factor per epoch of the step schedule", number)
    .option("--slices-per-epoch <n>", "training slices drawn per epoch; 0 takes all", number)
    .option("--foreground <share>", "share of drawn slices that show an organ", number)
    .option("--validation-slices <n>", "0 takes all", number)
    .option("--fractions <a:b:c>", "train, validation and test weights", fractions)
    .option("--overfit", "train, validate and score on the same cases")
    .option("--no-augment", "no rotation, mirror or noise")
    .option("--checkpoint-every <n>", "epochs between periodic checkpoints", number)
    .option("--keep-largest <n>", "components kept in a prediction; 0 keeps all", number)
    .option("--png", "also write every slice as PNG into the cache")
    .option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name")
    .option("--progress <mode>", "auto, bar, lines or silent", "auto")
    .option("--json", "print metrics.json's content as the last line of standard output")
    .addHelpText("after", `\nPresets:\n${list}`);
}

/** The preset's settings with what the command line changes. */
function settings(o: CommandOptions, preset: string): RunOptions {
  const base = presetOptions(preset);
  for (const key of Object.keys(base) as (keyof RunOptions)[]) {
    if (key !== "augment" && o[key] !== undefined) Object.assign(base, { [key]: o[key] });
  }
  if (!o.augment)
    for (const key of ["rotate", "quarterTurn", "mirrorHorizontal", "mirrorVertical", "saltPepper", "noise"] as const)
      base.augment[key] = 0;
  oneOf("model", base.model, ["resunet", "deep-resunet", "unet"]);
  oneOf("init", base.init, ["pytorch", "normal"]);
  oneOf("schedule", base.schedule, ["step", "cosine", "constant"]);
  oneOf("progress", o.progress ?? "auto", ["auto", "bar", "lines", "silent"]);
  checkOptions(base);
  return base;
}

function oneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw new OptionError(`--${name} must be one of ${allowed.join(", ")}; got ${value}`);
}

/** Everything but results goes to standard error, so that --json leaves standard output to the numbers. */
const say = (text: string): void => console.error(text);

async function run(o: CommandOptions): Promise<void> {
  const preset = o.preset ?? (o.data ? "demo" : "phantom");
  const options = settings(o, preset);
  const mode = o.progress ?? "auto";
  const folder = resolve(o.out ?? freeFolder(join("runs", preset)));
  const seconds: Record<string, number> = {};
  const timed = async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    seconds[stage] = (performance.now() - start) / 1000;
    return result;
  };

  const root = resolve(o.data ?? (await ensurePhantom(join("runs", "phantom-data"))));
  const dataset = await openDataset(root, o.dataset ? { name: o.dataset } : {});
  const adapter = await init(o.adapter ? { adapter: o.adapter } : {});
  say(
    `adapter: ${adapter.name}${adapter.software ? ". It is a software adapter: the CPU does the work of a GPU, many times slower" : ""}`,
  );
  await openRunFolder(folder, o.overwrite ?? false);
  const cache = await timed("preprocess", () =>
    makeCache(dataset, cacheFolder(folder, root, options), options, o.png ?? false, mode),
  );
  const split = splitCases(
    cache.index.cases.filter((c) => c.label !== null).map((c) => c.id),
    { seed: options.seed, fractions: options.fractions, overfit: options.overfit },
  );
  await saveSplit(join(folder, "splits.json"), split);
  const facts: RunFacts = {
    status: "running",
    wgrad: packageJson.version,
    node: process.version,
    adapter,
    preset,
    options,
    data: dataFacts(cache.index, o.dataNote),
    split,
    started: new Date().toISOString(),
    seconds,
  };
  await saveFacts(folder, facts);
  say(`data: ${describeData(facts.data)}`);
  say(
    `split: ${split.train.length} train, ${split.val.length} validation, ${split.test.length} test cases${split.overfit ? " (the same cases: an overfit check)" : ""}`,
  );
  try {
    const metrics = await trainAndScore(cache, facts, folder, mode, timed);
    Object.assign(facts, { status: "finished", finished: new Date().toISOString() });
    await saveFacts(folder, facts);
    say(
      `done in ${Object.values(seconds)
        .reduce((a, b) => a + b, 0)
        .toFixed(0)} s: ${join(folder, "report.md")}`,
    );
    if (o.json) console.log(JSON.stringify(metrics));
  } catch (error) {
    await saveFacts(folder, { ...facts, status: "failed", error: (error as Error).message });
    throw error;
  } finally {
    cache.close();
  }
}

async function trainAndScore(
  cache: SliceCache,
  facts: RunFacts,
  folder: string,
  mode: ProgressMode,
  timed: <T>(stage: string, work: () => Promise<T>) => Promise<T>,
): Promise<Metrics> {
  const { options, split } = facts;
  const model = coarseModel(options, cache, split);
  const trained = await timed("train", () => train(model, cache, split, options, folder, mode));
  const predictions = join(folder, "predictions");
  await timed("predict", () => predictCases(model, cache, split.test, predictions, options, mode));
  const scored = await timed("evaluate", () =>
    evaluate({
      reference: cache.index.dataset.root,
      predictions,
      ids: split.test,
      out: folder,
      split: split.overfit ? "overfit" : "test",
      dataset: cache.index.dataset.name === "kits19" ? "kits19" : "kits",
      progress: mode,
    }),
  );
  for (const warning of scored.warnings) say(`warning: ${warning}`);
  await timed("overlays", () => writeOverlays(folder, cache, split.test));
  await writeReport(folder, facts, scored.metrics, trained);
  console.log(`\n${formatMetrics(scored.metrics)}\n\n${caveats(facts, scored.metrics).join("\n")}`);
  return scored.metrics;
}

/** Slices are kept beside the runs, so that runs with the same data and size share them. */
function cacheFolder(folder: string, root: string, { size }: RunOptions): string {
  const name = createHash("sha256").update(root).digest("hex").slice(0, 10);
  return join(dirname(folder), "cache", `${name}-${size}`);
}

async function makeCache(
  dataset: Parameters<typeof preprocess>[0],
  folder: string,
  { size }: RunOptions,
  png: boolean,
  mode: ProgressMode,
): Promise<SliceCache> {
  const progress = startProgress({ label: "preprocess", total: dataset.cases.length, unit: "cases", mode });
  try {
    await preprocess(dataset, folder, { size, png }, ({ done, reused, id }) => {
      progress.update(done, { case: id });
      if (reused) progress.log(`slices: reused from ${folder}`);
    });
  } finally {
    progress.stop();
  }
  return openCache(folder);
}

/** Runs the command line; failures that are understood are one line and exit code 1. */
async function main(): Promise<void> {
  const command = commandLine().parse();
  try {
    await run(command.opts<CommandOptions>());
  } catch (error) {
    process.exitCode = 1;
    say(
      error instanceof WgradError
        ? `train:kits: ${error.message}`
        : `train:kits: unexpected error\n${(error as Error).stack}`,
    );
  } finally {
    close();
  }
}

await main();
