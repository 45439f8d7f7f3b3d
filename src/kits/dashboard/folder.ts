// A run folder as the dashboard sees it: the files that it shows, and whether they have changed.

import { lstat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { readJson } from "../json.ts";
import type { Metrics } from "../evaluate.ts";
import { readLog } from "../report/read.ts";
import type { RunFacts } from "../run.ts";
import { metricsFile, shownFactsFile } from "../runFiles.ts";
import { regionStage, stageNames } from "../stages.ts";
import { processExists } from "../temporary.ts";
import type { EpochLog } from "../train.ts";
import { readLive, type Live } from "../watch/liveFile.ts";

/** Stages that a run folder may have, in running order. */
export const shownStages = [...stageNames, regionStage.name];

/** Files that are sent as they are, and nothing else: their paths in the run folder, and their types. */
export const sentFiles: Readonly<Record<string, string>> = {
  "report.html": "text/html; charset=utf-8",
  "overlays.png": "image/png",
  ...Object.fromEntries(shownStages.map((stage) => [`validation/${stage}.png`, "image/png"])),
};

const readFiles = ["run.json", "log.jsonl", "live.json", "metrics.json"];

/** What is there of a run. */
export interface Snapshot {
  readonly folder: string;
  readonly facts: RunFacts | null;
  readonly log: ReadonlyMap<string, readonly EpochLog[]>;
  readonly live: Live | null;
  /** The process that live.json names is at work. */
  readonly alive: boolean;
  readonly metrics: Metrics | null;
  /** Those of sentFiles that are there, with a text that changes when they do. */
  readonly sent: ReadonlyMap<string, string>;
  /** What could not be read, by file. */
  readonly faults: ReadonlyMap<string, string>;
}

/** Minutes without a word after which a run on another machine counts as gone. */
const SILENT_MINUTES = 5;

/** Reads a run folder again and again; what has not changed is not read. */
export class FolderReader {
  readonly folder: string;
  #versions = new Map<string, string>();
  #last: Snapshot | null = null;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The folder now; the same object as before where nothing has changed. Never rejects. */
  async read(): Promise<Snapshot> {
    const versions = await this.#findVersions();
    const last = this.#last;
    const alive = isAlive(last?.live ?? null);
    const changed = (name: string): boolean => versions.get(name) !== this.#versions.get(name);
    if (last && alive === last.alive && [...readFiles, ...Object.keys(sentFiles)].every((name) => !changed(name)))
      return last;
    const faults = new Map<string, string>();
    const at = (name: string): string => join(this.folder, name);
    /** The file read anew if it has changed; null where it is missing or damaged, which is told. */
    const fresh = async <T>(name: string, before: T | null, read: () => Promise<T | null>): Promise<T | null> => {
      if (!versions.has(name)) return null;
      if (last && !changed(name)) {
        if (last.faults.has(name)) faults.set(name, last.faults.get(name)!);
        return before;
      }
      return read().catch((error: Error) => {
        faults.set(name, error.message);
        return null;
      });
    };
    const live = await fresh("live.json", last?.live ?? null, () => readLive(this.folder));
    const snapshot: Snapshot = {
      folder: this.folder,
      live,
      alive: isAlive(live),
      facts: await fresh("run.json", last?.facts ?? null, () => readJson<RunFacts>(at("run.json"), shownFactsFile)),
      log: (await fresh("log.jsonl", last?.log ?? null, () => readLog(at("log.jsonl")))) ?? new Map(),
      metrics: await fresh("metrics.json", last?.metrics ?? null, () => readJson(at("metrics.json"), metricsFile)),
      sent: new Map([...versions].filter(([name]) => Object.hasOwn(sentFiles, name))),
      faults,
    };
    this.#versions = versions;
    this.#last = snapshot;
    return snapshot;
  }

  async #findVersions(): Promise<Map<string, string>> {
    const versions = new Map<string, string>();
    for (const name of [...readFiles, ...Object.keys(sentFiles)]) {
      const found = await lstat(join(this.folder, name)).catch(() => null);
      if (found?.isFile()) versions.set(name, `${found.mtimeMs}-${found.size}`);
    }
    return versions;
  }
}

/** A process of another machine cannot be asked: what it wrote lately tells. */
function isAlive(live: Live | null): boolean {
  if (!live) return false;
  if (live.host === hostname()) return processExists(live.pid);
  return Date.now() - live.written < 60_000 * SILENT_MINUTES;
}
