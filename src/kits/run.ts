// The run folder: run.json says what was run and whether it finished, log.jsonl grows by a line per epoch.

import { existsSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { writeError, writeFileAtomic, writeJsonAtomic } from "./atomic.ts";
import { parseJson, readJson, readText } from "./json.ts";
import type { CacheIndex } from "./cacheIndex.ts";
import type { RunOptions } from "./options.ts";
import { epochLine, factsFile } from "./runFiles.ts";
import type { Split } from "./split.ts";
import type { StageName } from "./stages.ts";
import type { EpochLog, TrainResult } from "./train.ts";

/** run.json. `status` is "finished" only when every file of the run is complete, "partial" while networks are to be trained. */
export interface RunFacts {
  status: "running" | "partial" | "finished" | "failed" | "interrupted";
  error?: string;
  wgrad: string;
  node: string;
  adapter: { name: string; driver: string; software: boolean };
  preset: string;
  options: RunOptions;
  /** Networks that the last command was to train. */
  stages: readonly StageName[];
  data: {
    title: string;
    root: string;
    synthetic: boolean;
    license: string;
    note: string;
    cases: number;
    slices: number;
    key: string;
  };
  split: Split;
  started: string;
  finished?: string;
  /** Per step of the run, training and prediction of a stage together. */
  seconds?: Record<string, number>;
  /** Per network; "absent" if no training case shows what it looks for. */
  trained?: Record<string, TrainResult | "absent">;
}

/** What the data of a cache are, for run.json and the report. */
export function dataFacts(index: CacheIndex, note: string): RunFacts["data"] {
  const { title, root, synthetic, license } = index.dataset;
  return { title, root, synthetic, license, note, cases: index.cases.length, slices: index.slices, key: index.key };
}

/** A sentence that says what the data are, for every place that shows a score. */
export function describeData({ title, root, synthetic, note, cases, slices }: RunFacts["data"]): string {
  const kind = synthetic ? "the built-in SYNTHETIC phantom (analytic shapes, not patients)" : `${title} at ${root}`;
  return `${kind}, ${cases} cases, ${slices} axial slices${note ? `; ${note}` : ""}`;
}

/** What a run makes, and another run in the same folder replaces. */
const MADE = [
  ...[
    "checkpoints",
    "stages",
    "nonfinite",
    "predictions",
    "plots",
    "overlays",
    "overlays.png",
    "tensorboard",
    "validation",
    "ablation",
    "ablation.json",
  ],
  ...[
    "run.json",
    "splits.json",
    "ablation.md",
    "log.jsonl",
    "live.json",
    "metrics.json",
    "evaluation.csv",
    "evaluation_more.csv",
    "report.html",
  ],
];

/** A folder for a new run. Throws DataError when it already holds one, unless `overwrite`, which removes that one. */
export async function openRunFolder(folder: string, overwrite: boolean): Promise<void> {
  if (existsSync(join(folder, "run.json"))) {
    if (!overwrite)
      throw new DataError(
        `${folder} already holds a run; choose another --out, add --overwrite to replace it, --resume to go on where it was interrupted, or --stages to run some of it again`,
      );
    for (const name of MADE) await rm(join(folder, name), { recursive: true, force: true });
  }
  await mkdir(join(folder, "checkpoints"), { recursive: true });
}

/** The facts of the run in a folder. Throws DataError if there is none, or one that is damaged. */
export async function loadFacts(folder: string): Promise<RunFacts> {
  return readJson<RunFacts>(join(folder, "run.json"), factsFile, "give the folder of a run of train:kits");
}

export async function saveFacts(folder: string, facts: RunFacts): Promise<void> {
  await writeJsonAtomic(join(folder, "run.json"), facts);
}

/** Appends one line to log.jsonl, which is then on the disk. Throws DataError where it cannot be written. */
export async function logLine(folder: string, line: object): Promise<void> {
  const path = join(folder, "log.jsonl");
  try {
    const file = await open(path, "a");
    await file
      .appendFile(`${JSON.stringify(line)}\n`)
      .then(() => file.sync())
      .finally(() => file.close());
  } catch (error) {
    throw await writeError(path, "the log", error);
  }
}

/** Removes the lines of a stage after its first `epochs`, and what a killed run left unfinished. */
export async function trimLog(folder: string, stage: string, epochs: number): Promise<void> {
  const path = join(folder, "log.jsonl");
  if (!existsSync(path)) return;
  const lines = (await readText(path, "delete it", false)).split("\n").filter((line) => line !== "");
  const kept = lines.filter((line) => {
    const entry = parsed(line);
    return entry !== null && (entry.stage !== stage || entry.epoch <= epochs);
  });
  await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(""));
}

function parsed(line: string): EpochLog | null {
  try {
    return parseJson<EpochLog>(line, epochLine, "log.jsonl", "delete that line");
  } catch {
    return null;
  }
}

/** The first free of `base`, `base-2`, `base-3`, ... */
export function freeFolder(base: string): string {
  for (let i = 1; ; i++) {
    const folder = i === 1 ? base : `${base}-${i}`;
    if (!existsSync(join(folder, "run.json"))) return folder;
  }
}
