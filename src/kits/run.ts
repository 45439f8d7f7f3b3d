// The run folder: run.json says what was run and whether it finished, log.jsonl grows by a line per epoch.

import { existsSync } from "node:fs";
import { appendFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { writeJsonAtomic } from "./atomic.ts";
import type { CacheIndex } from "./cache.ts";
import type { RunOptions } from "./presets.ts";
import type { Split } from "./split.ts";

/** run.json. `status` is "finished" only when every file of the run is complete. */
export interface RunFacts {
  status: "running" | "finished" | "failed";
  error?: string;
  wgrad: string;
  node: string;
  adapter: { name: string; driver: string; software: boolean };
  preset: string;
  options: RunOptions;
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
  seconds?: Record<string, number>;
  parameters?: number;
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

/** A folder for a new run. Throws DataError when it already holds one, unless `overwrite`. */
export async function openRunFolder(folder: string, overwrite: boolean): Promise<void> {
  if (existsSync(join(folder, "run.json")) && !overwrite) {
    throw new DataError(`${folder} already holds a run; choose another --out, or add --overwrite to replace it`);
  }
  await mkdir(join(folder, "checkpoints"), { recursive: true });
}

export async function saveFacts(folder: string, facts: RunFacts): Promise<void> {
  await writeJsonAtomic(join(folder, "run.json"), facts);
}

/** Appends one line to log.jsonl. */
export async function logLine(folder: string, line: object): Promise<void> {
  await appendFile(join(folder, "log.jsonl"), `${JSON.stringify(line)}\n`);
}

/** The first free of `base`, `base-2`, `base-3`, ... */
export function freeFolder(base: string): string {
  for (let i = 1; ; i++) {
    const folder = i === 1 ? base : `${base}-${i}`;
    if (!existsSync(join(folder, "run.json"))) return folder;
  }
}
