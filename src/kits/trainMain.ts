#!/usr/bin/env node
// npm run train:kits: data to slices, the cascade, scores, report. One command, one run folder.

import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Option, InvalidArgumentError, type Command } from "commander";
import { OptionError } from "../errors.ts";
import { close, init } from "../index.ts";
import { runAblation } from "./ablation.ts";
import { readJson } from "./json.ts";
import { augmentNone } from "./augment.ts";
import { adapterOption, datasetOption, kitsCommand, progressOption, runCommand, say } from "./commandLine.ts";
import { endDashboard, openDashboard, portArgument } from "./dashboard/command.ts";
import type { Dashboard } from "./dashboard/server.ts";
import type { Metrics } from "./evaluate.ts";
import { foldChoice } from "./folds.ts";
import { InterruptedError, watchInterrupts } from "./interrupt.ts";
import { lockRun } from "./lock.ts";
import type { OnNonfinite } from "./nonfinite.ts";
import { checkOptions, setOption, stageNames, type RunOptions, type StageName } from "./options.ts";
import { ensurePhantom } from "./phantom.ts";
import { trainKits, goesOn, type RunRequest } from "./pipeline.ts";
import { settlePrecision } from "./precision.ts";
import { presetOptions, presets } from "./presets.ts";
import type { ProgressMode } from "./progress.ts";
import { freeFolder, loadFacts, type RunFacts } from "./run.ts";
import { metricsFile } from "./runFiles.ts";
import { parseStages } from "./stages.ts";
import { removeLeftovers } from "./temporary.ts";
import { watchRun } from "./watch/runWatch.ts";

interface CommandOptions {
  data?: string;
  dataset?: string;
  dataNote?: string;
  out?: string;
  overwrite?: boolean;
  resume?: boolean;
  checkpointMinutes: number;
  onNonfinite: OnNonfinite;
  preset?: string;
  stages?: StageName[];
  ablation?: boolean;
  set?: string[];
  splitFile?: string;
  fold?: string;
  augment: boolean;
  coarse: boolean;
  difficulty: boolean;
  tune?: number | true;
  png?: boolean;
  adapter?: string;
  tensorboard: boolean;
  dashboard?: number | true;
  progress: ProgressMode;
  json?: boolean;
  [setting: string]: unknown;
}

const fractions = (text: string): [number, number, number] => {
  const parts = text.split(/[:,]/).map(Number);
  if (parts.length !== 3 || !parts.every((p) => p >= 0))
    throw new InvalidArgumentError("must be three numbers such as 8:1:1.");
  return parts as [number, number, number];
};

const stages = (text: string): StageName[] => {
  const named = parseStages(text);
  if (!named) throw new InvalidArgumentError(`must be all, or some of ${stageNames.join(",")}.`);
  return named;
};

/** Default of --tune: enough for a small network on four CPU cores. */
const TUNE_SECONDS = 60;

const seconds = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("must be a number of seconds above 0.");
  return value;
};

const minutes = (text: string): number => {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("must be a number of minutes.");
  return value;
};

const collect = (text: string, all: string[] = []): string[] => [...all, text];

/** Flags that set one setting of the run. */
const RUN_FLAGS = ["seed", "splitSeed", "overfit", "keepLargest", "coarseMasks", "tumorRule", "sourceSize"];
/** Flags that set the same setting of every network, those of the fine networks, and the size of either. */
const NETWORK_FLAGS = [
  "channels",
  "width",
  "depth",
  "dropout",
  "init",
  "prior",
  "epochs",
  "batch",
  "lr",
  "schedule",
  "gamma",
  "slicesPerEpoch",
  "foreground",
  "validationSlices",
  "precision",
  "recompute",
  "checkpointEvery",
];
const FINE_FLAGS = ["scales", "discriminators"];
const FINE_STAGES = stageNames.filter((name) => name !== "coarse");

function commandLine(): Command {
  const list = Object.entries(presets)
    .map(([name, p]) => `  ${name.padEnd(15)} ${p.about}`)
    .join("\n");
  return kitsCommand(
    "train:kits",
    "Trains the kidney cascade on CT in KiTS layout, predicts the test cases and scores them.\nWithout --data it runs on a built-in synthetic phantom.",
    "cascade.md",
  )
    .option(
      "--data <folder>",
      "a KiTS19, KiTS21 or KiTS23 tree as downloaded, any folder in that layout, or nnU-Net's raw one",
    )
    .addOption(datasetOption())
    .option("--data-note <text>", "a sentence about the data for the report")
    .option("--out <folder>", "run folder; default runs/<preset>")
    .option("--overwrite", "replace a run that is already there")
    .option("--resume", "go on where the run in --out was interrupted, bit by bit; begin it where there is none")
    .option(
      "--checkpoint-minutes <n>",
      "minutes between checkpoints to resume from; one follows each epoch anyway",
      minutes,
      10,
    )
    .addOption(
      new Option(
        "--on-nonfinite <what>",
        "a loss or gradient that is not finite: stop, or skip its step; its batch is kept in nonfinite/",
      )
        .choices(["stop", "skip"])
        .default("stop"),
    )
    .option("--preset <name>", "see below; default phantom, or demo with --data")
    .option(
      "--stages <list>",
      "networks to train, such as coarse or masses,tumor; others are taken from the run in --out",
      stages,
    )
    .option("--ablation", "also train the paper's ablations and a region-trained network, and write their table")
    .option("--set <path=value>", "any setting of run.json, such as masses.epochs=20; may be repeated", collect)
    .option("--seed <n>", "seed of weights, sampling and augmentation")
    .option("--size <n>", "rows and columns of the coarse network's slices")
    .option("--roi-size <n>", "rows and columns of the fine networks' regions")
    .option("--source-size <n>", "rows and columns of the slices that regions are cut from")
    .option("--model <name>", "coarse network: resunet, deep-resunet or unet")
    .option("--channels <n>", "input channels, the grey slice repeated")
    .option("--width <n>", "channels of the first level")
    .option("--depth <n>", "number of poolings")
    .option("--dropout <p>", "probability of dropping a channel")
    .option("--init <name>", "pytorch, or normal: N(0, 0.02) as in the paper's code")
    .option("--prior", "start from the classes' frequencies")
    .option("--no-prior", "start from equal classes")
    .option("--epochs <n>", "epochs of every network")
    .option("--batch <n>", "slices per step")
    .option("--lr <rate>", "learning rate of Adam; the discriminators' is --set kidney.discriminatorLr=...")
    .option("--schedule <name>", "step, cosine, restarts or constant")
    .option("--gamma <factor>", "factor per epoch of the step schedule")
    .option("--slices-per-epoch <n>", "training slices drawn per epoch; all, or organ: each that shows the target")
    .option("--foreground <share>", "share of drawn slices that show the target")
    .option("--validation-slices <n>", "0 takes all")
    .option("--scales <n>", "outputs of the fine networks that are trained")
    .option("--discriminators <which>", "all, last or none")
    .option("--no-difficulty", "plain cross entropy: without difficulty supervision")
    .option("--no-coarse", "without coarse segmentation: kidney and masses networks see whole slices")
    .option("--fractions <a:b:c>", "train, validation and test weights", fractions)
    .option("--split-seed <n>", "seed of the split")
    .option("--split-file <file>", "nnU-Net's splits_final.json; cases that the fold does not name are the test cases")
    .option("--fold <k>", "which of its folds, from 0")
    .option("--overfit", "train, validate and score on the same cases")
    .option("--no-augment", "no rotation, mirror or noise")
    .option("--precision <name>", "f32, or f16: activations take half the memory")
    .option("--recompute", "compute blocks again for the gradient: less GPU memory, more work")
    .option("--checkpoint-every <n>", "epochs between periodic checkpoints")
    .option("--keep-largest <n>", "components kept in a prediction; 0 keeps all")
    .option("--tumor-rule <rule>", "voxels (as the paper), or lesions: all of a mass in which any tumor is found")
    .option("--coarse-masks <use>", "regions (as the paper), or join: kidney and masses are what either network finds")
    .option("--png", "also write every slice as PNG into the cache")
    .option(
      "--tune [seconds]",
      "first measure which kernels are fastest here, for about that long per network",
      seconds,
    )
    .addOption(adapterOption())
    .option(
      "--dashboard [port]",
      "serve a page that follows the run on http://127.0.0.1:6007, or another port",
      portArgument,
    )
    .option("--no-tensorboard", "no event files for TensorBoard in the run folder")
    .addOption(progressOption())
    .option("--json", "print metrics.json's content as the last line of standard output")
    .addHelpText("after", `\nPresets:\n${list}`);
}

/** `base` with what the command line changes. */
function changed(base: RunOptions, o: CommandOptions, given: (name: string) => boolean): RunOptions {
  const options = structuredClone(base);
  const set = (path: string, name: string) => {
    if (given(name)) setOption(options, path, String(o[name]));
  };
  for (const name of RUN_FLAGS) set(name, name);
  for (const stage of stageNames) for (const name of NETWORK_FLAGS) set(`${stage}.${name}`, name);
  for (const stage of FINE_STAGES) for (const name of [...FINE_FLAGS, "difficulty"]) set(`${stage}.${name}`, name);
  for (const stage of FINE_STAGES) set(`${stage}.size`, "roiSize");
  set("coarse.size", "size");
  set("coarse.model", "model");
  if (given("fractions")) options.fractions = o.fractions as [number, number, number];
  if (!o.augment) for (const stage of stageNames) options[stage].augment = { ...augmentNone };
  if (!o.coarse) options.roi.from = "none";
  for (const text of o.set ?? []) {
    const [path, value] = text.split(/=(.*)/s);
    if (value === undefined) throw new OptionError(`--set must be path=value such as masses.epochs=20, got ${text}`);
    setOption(options, path, value);
  }
  checkOptions(options);
  return options;
}

/** Settings, from a preset or from the run that is gone on with, and what the command line changes. */
interface Settings {
  readonly preset: string;
  readonly options: RunOptions;
  /** The run in the folder, where it is gone on with. */
  readonly before: RunFacts | null;
  /** Its settings must stay. */
  readonly kept: boolean;
  /** The run in the folder is finished, and only its ablation is asked for. */
  readonly ablated: boolean;
}

async function settingsOf(o: CommandOptions, given: (name: string) => boolean): Promise<Settings> {
  const { out, resume = false, overwrite = false, stages = stageNames } = o;
  if (resume && (overwrite || o.stages || out === undefined))
    throw new OptionError("--resume needs the --out of the run, and goes without --overwrite and --stages");
  // An ablation goes on in the folder of a finished run, whose settings it keeps.
  const ablated = Boolean(o.ablation) && !overwrite && !o.stages && out !== undefined && (await isFinished(out));
  const again = out !== undefined && (ablated || goesOn({ folder: out, stages, overwrite, resume }));
  const before = again ? await loadFacts(resolve(out)) : null;
  const kept = before !== null && (ablated || resume);
  const preset = o.preset ?? before?.preset ?? (o.data ? "demo" : "phantom");
  const options = changed(before && (kept || !o.preset) ? before.options : presetOptions(preset), o, given);
  // Networks that are not trained now were trained with what run.json says of them.
  if (before && !kept)
    for (const name of stageNames) if (!stages.includes(name)) Object.assign(options, { [name]: before.options[name] });
  if (o.ablation && options.roi.from === "none")
    throw new OptionError(
      "--ablation compares with the coarse network and trains without it itself; leave out --no-coarse",
    );
  return { preset, options, before, kept, ablated };
}

/** Throws OptionError if a run that is gone on with was begun with other settings. */
function checkKept({ options, before, kept, ablated, preset }: Settings, out: string | undefined): void {
  if (!kept || (isDeepStrictEqual(options, before!.options) && preset === before!.preset)) return;
  throw new OptionError(
    `--${ablated ? "ablation" : "resume"} goes on with the settings of the run in ${out}; leave the others out, or choose another --out`,
  );
}

/** Returns the dashboard, where one was asked for, of a run that has ended well. */
async function run(o: CommandOptions, given: (name: string) => boolean): Promise<Dashboard | null> {
  const settings = await settingsOf(o, given);
  const { preset, options, before, ablated } = settings;
  warnOfSchedule(options);
  const folder = resolve(o.out ?? freeFolder(join("runs", preset)));
  const root = resolve(o.data ?? before?.data.root ?? (await ensurePhantom(join("runs", "phantom-data"))));
  const adapter = await init(o.adapter ? { adapter: o.adapter } : {});
  const software = ". It is a software adapter: the CPU does the work of a GPU, many times slower";
  say(`adapter: ${adapter.name}${adapter.software ? software : ""}`);
  settlePrecision(options, say);
  checkKept(settings, o.out);
  if (o.resume && !before) say(`resume: there is no run in ${folder} yet; it begins`);
  const request: RunRequest = {
    folder,
    root,
    dataset: o.dataset,
    dataNote: o.dataNote ?? before?.data.note ?? "",
    preset,
    options,
    fold: foldChoice(o.splitFile, o.fold, given("fractions") || given("splitSeed")),
    stages: o.stages ?? stageNames,
    overwrite: o.overwrite ?? false,
    resume: o.resume ?? false,
    checkpointSeconds: 60 * o.checkpointMinutes,
    onNonfinite: o.onNonfinite,
    tune: o.tune === true ? TUNE_SECONDS : (o.tune ?? 0),
    png: o.png ?? false,
    adapter,
    adapterName: o.adapter,
    mode: o.progress,
    say,
  };
  const unlock = await lockRun(folder);
  const unwatch = watchInterrupts(say);
  const watch = watchRun(folder, o);
  let dashboard: Dashboard | null = null;
  let ended = false;
  try {
    await removeLeftovers(folder);
    if (o.dashboard !== undefined) dashboard = await openDashboard(folder, o.dashboard, say);
    await trainAll({ ...request, watch }, ablated, o);
    ended = true;
    return dashboard;
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    const again = `--resume --out ${relative("", folder) || "."}${o.ablation ? " --ablation" : ""}`;
    const begun = existsSync(join(folder, "run.json"));
    throw new InterruptedError(
      `interrupted; ${begun ? `${again} goes on from here` : "the same command begins again"}`,
    );
  } finally {
    await watch.close();
    if (!ended) await dashboard?.close();
    unwatch();
    unlock();
  }
}

/** The run, its ablation where asked for, and the last line. */
async function trainAll(request: RunRequest, ablated: boolean, o: CommandOptions): Promise<void> {
  const started = performance.now();
  const metrics = ablated ? await loadMetrics(request.folder) : await trainKits(request);
  if (o.ablation && metrics) await runAblation(request, metrics);
  else if (o.ablation)
    say("ablation: not started, it needs all networks of the run; add it to the command that trains the last");
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  say(`done in ${seconds} s: ${metrics ? join(request.folder, "report.html") : request.folder}`);
  if (o.json && metrics) console.log(JSON.stringify(metrics));
}

async function isFinished(folder: string): Promise<boolean> {
  return existsSync(join(folder, "run.json")) && (await loadFacts(folder)).status === "finished";
}

function loadMetrics(folder: string): Promise<Metrics> {
  return readJson<Metrics>(join(folder, "metrics.json"), metricsFile, "run it again with --overwrite");
}

/** The literal reading of equation 6 ends training early; who chose it should know. */
function warnOfSchedule(options: RunOptions): void {
  const stuck = stageNames.find((name) => {
    const { schedule, gamma, epochs } = options[name];
    return schedule === "step" && gamma ** epochs < 1e-8;
  });
  if (!stuck) return;
  const { gamma, epochs, lr } = options[stuck];
  const effective = (1 - gamma ** epochs) / (1 - gamma);
  say(
    `warning: with gamma ${gamma} per epoch the learning rate ends at ${(lr * gamma ** (epochs - 1)).toExponential(1)}: ` +
      `${epochs} epochs move the weights as much as ${effective.toFixed(2)} at the first rate; gamma 0.96 is the authors' code`,
  );
}

const command = commandLine().parse();
const given = (name: string) => command.getOptionValueSource(name) === "cli";
const dashboard = await runCommand("train:kits", () => run(command.opts<CommandOptions>(), given), close);
if (dashboard) await endDashboard(dashboard, say);
