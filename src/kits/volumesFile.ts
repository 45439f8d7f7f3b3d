// volumes.json and volumes.csv: how many millilitres of what predict:kits found in each scan of a folder.

import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  all,
  amount,
  count,
  fileName,
  flag,
  listOf,
  nullable,
  object,
  oneOf,
  pathText,
  recordOf,
  text,
  that,
} from "../structure.ts";
import { writeFileAtomic, writeJsonAtomic } from "./atomic.ts";
import { readJson } from "./json.ts";
import type { ScanResult } from "./predictScan.ts";
import { stageNames } from "./stages.ts";

/** volumes.json: the results of a folder, and what they were made with. */
export interface VolumesFile {
  readonly run: string;
  readonly stages: readonly string[];
  readonly classes: readonly string[];
  readonly tta: boolean;
  /** Slices at a time; null: those of each network's training. */
  readonly batch: number | null;
  readonly scans: readonly ScanResult[];
}

const fields = object<VolumesFile>({
  run: pathText,
  stages: listOf(oneOf(...stageNames)),
  classes: listOf(text),
  tta: flag,
  batch: nullable(count),
  scans: listOf(
    object<ScanResult>({
      name: fileName,
      input: pathText,
      dims: listOf(count, 3),
      spacing: listOf(amount, 3),
      ml: recordOf(amount),
      seconds: amount,
    }),
  ),
});

const volumesFile = all(
  fields,
  that("volumes of its own classes in every scan", (value) => {
    const { classes, scans } = value as VolumesFile;
    const labels = classes.slice(1).sort().join();
    return scans.every(({ ml }) => Object.keys(ml).sort().join() === labels);
  }),
);

/** What volumes.json in `folder` holds, or null where there is none. Throws DataError where it is damaged. */
export async function loadVolumes(folder: string): Promise<VolumesFile | null> {
  const path = join(folder, "volumes.json");
  return existsSync(path) ? readJson<VolumesFile>(path, volumesFile, "predict again with --overwrite") : null;
}

/** Writes volumes.json and volumes.csv. Throws DataError where they cannot be written. */
export async function saveVolumes(folder: string, volumes: VolumesFile): Promise<void> {
  await writeJsonAtomic(join(folder, "volumes.json"), volumes);
  const labels = volumes.classes.slice(1);
  const lines = volumes.scans.map(({ name, ml }) => [quoted(name), ...labels.map((label) => ml[label])]);
  const head = ["scan", ...labels.map((label) => `${label}_ml`)];
  await writeFileAtomic(join(folder, "volumes.csv"), [head, ...lines].map((line) => `${line.join(",")}\n`).join(""));
}

const quoted = (name: string): string => (/[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);

/** The results as a table for the terminal. */
export function formatVolumes({ scans, classes }: VolumesFile): string {
  const head = ["scan", ...classes.slice(1).map((label) => `${label} ml`), "seconds"];
  const rows = scans.map(({ name, ml, seconds }) => [
    name,
    ...classes.slice(1).map((label) => ml[label].toFixed(1)),
    seconds.toFixed(1),
  ]);
  const widths = head.map((text, k) => Math.max(text.length, ...rows.map((row) => row[k].length)));
  const line = (row: readonly string[]) =>
    row.map((text, k) => (k === 0 ? text.padEnd(widths[k]) : text.padStart(widths[k]))).join("  ");
  return [head, ...rows].map(line).join("\n");
}
