// The files of a run folder as the report reads them. Only run.json and metrics.json must be there.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Check } from "../../structure.ts";
import type { Ablation } from "../ablation.ts";
import { parseJson, readJson, readText } from "../json.ts";
import type { Metrics } from "../evaluate.ts";
import type { RunFacts } from "../run.ts";
import { ablationFile, epochLine, metricsFile, shownFactsFile, splitFile } from "../runFiles.ts";
import type { Split } from "../split.ts";
import { fineStages } from "../stages.ts";
import type { EpochLog } from "../train.ts";

/** What scored the test cases: the whole cascade, one network of regions, or the coarse network only. */
export type ModelKind = "cascade" | "region network" | "coarse network";

export interface RunFiles {
  facts: RunFacts;
  split: Split;
  /** Epochs by stage, in the order in which the stages were first trained. */
  log: Map<string, EpochLog[]>;
  metrics: Metrics;
  /** Scores of the coarse network by itself, beside those of a cascade. */
  coarse?: Metrics;
  ablation?: Ablation;
  model: ModelKind;
  /** Stages with confidence maps. */
  confidence: string[];
}

/** Where the confidence maps of a stage lie, one file per test case. */
export function confidenceFolder(folder: string, stage: string): string {
  return join(folder, "stages", stage, "confidence");
}

/** Reads a run folder. Throws DataError if run.json or metrics.json is missing, or a file is damaged. */
export async function readRun(folder: string): Promise<RunFiles> {
  const again = "run the stage that writes it again";
  const at = (...path: string[]): string => join(folder, ...path);
  const optional = async <T>(path: string, check: Check): Promise<T | undefined> =>
    existsSync(at(path)) ? readJson<T>(at(path), check, again) : undefined;
  const facts = await readJson<RunFacts>(at("run.json"), shownFactsFile, "it is written when a run starts");
  const log = await readLog(at("log.jsonl"));
  const fine = fineStages.some(({ name }) => log.has(name) || existsSync(at("stages", name)));
  const model = fine ? "cascade" : log.has("region") ? "region network" : "coarse network";
  const confidence: string[] = [];
  for (const { name } of fineStages) {
    const files = await readdir(confidenceFolder(folder, name)).catch(() => []);
    if (files.length > 0) confidence.push(name);
  }
  return {
    facts,
    split: (await optional<Split>("splits.json", splitFile)) ?? facts.split,
    log,
    metrics: await readJson<Metrics>(at("metrics.json"), metricsFile, "run the evaluation again"),
    coarse:
      model === "coarse network" ? undefined : await optional(join("stages", "coarse", "metrics.json"), metricsFile),
    ablation: await optional("ablation.json", ablationFile),
    model,
    confidence,
  };
}

/**
 * log.jsonl by stage. A stage that was trained again counts from where it started: an epoch replaces its earlier line
 * and all after it. A last line that a killed run left unfinished is ignored.
 */
export async function readLog(path: string): Promise<Map<string, EpochLog[]>> {
  const stages = new Map<string, EpochLog[]>();
  if (!existsSync(path)) return stages;
  const texts = (await readText(path, "delete it", false)).split("\n").filter((text) => text.trim() !== "");
  texts.forEach((text, i) => {
    const line = parseLine(text, path, i, i === texts.length - 1);
    if (!line) return;
    stages.set(line.stage, [...(stages.get(line.stage) ?? []).filter(({ epoch }) => epoch < line.epoch), line]);
  });
  return stages;
}

function parseLine(text: string, path: string, index: number, last: boolean): EpochLog | undefined {
  try {
    return parseJson<EpochLog>(text, epochLine, `${path}, line ${index + 1}`, "delete that line");
  } catch (error) {
    if (last) return undefined;
    throw error;
  }
}
