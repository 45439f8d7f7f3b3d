// The ablations of the paper's Table 2 at the settings of a run, and one region-trained network as a yardstick: the
// same coarse network, split and numbers of slices; only the named parts differ.

import { existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeFileAtomic, writeJsonAtomic } from "./atomic.ts";
import { readJson } from "./json.ts";
import { stageFolder } from "./cascade.ts";
import { type Metrics } from "./evaluate.ts";
import { regionNames, type RegionName } from "./metrics.ts";
import { stageNames, type FineOptions, type RunOptions } from "./options.ts";
import { trainKits, type RunRequest } from "./pipeline.ts";
import { regionRun } from "./regionRun.ts";
import { writeReport } from "./report.ts";
import { loadFacts, type RunFacts } from "./run.ts";
import { metricsFile } from "./runFiles.ts";
import { fineStages } from "./stages.ts";

/** One row of the table. */
export interface AblationRow {
  name: string;
  title: string;
  /** Training slices over all its networks, and the seconds that they took. */
  images: number;
  seconds: number;
  cases: number;
  mean: Record<RegionName, { dice: number; jaccard: number; surfaceDice?: number }>;
  /** Its metrics.json, from the run folder. */
  metrics: string;
}

/** ablation.json. */
export interface Ablation {
  rows: AblationRow[];
  notes: string[];
}

interface Variant {
  name: string;
  title: string;
  change: (options: RunOptions) => void;
}

const everyFine = (options: RunOptions, change: Partial<FineOptions>): void => {
  for (const { name } of fineStages) Object.assign(options[name], change);
};

/** The rows of Table 2 that are not the full method, and the cascade without any discriminator. */
const variants: readonly Variant[] = [
  {
    name: "no-coarse",
    title: "Without coarse segmentation",
    change: (options) => {
      options.roi.from = "none";
      // Whole slices at the size that the coarse network sees them in, not squeezed into that of a region.
      for (const stage of ["kidney", "masses"] as const) options[stage].size = options.coarse.size;
    },
  },
  {
    name: "plain",
    title: "Cascade without discriminators",
    change: (options) => everyFine(options, { discriminators: "none", scales: 1 }),
  },
  {
    name: "baseline",
    title: "Baseline: discriminator at the last layer",
    change: (options) => everyFine(options, { discriminators: "last", scales: 1, difficulty: false }),
  },
  {
    name: "msal",
    title: "Baseline + MSAL: all scales, no difficulty supervision",
    change: (options) => everyFine(options, { difficulty: false }),
  },
];

const NOTES = [
  "All rows: same cases, split and seed, same coarse network where there is one. One seed: differences smaller than the spread between seeds mean nothing.",
  "Equal numbers of training slices, not equal time: a step with discriminators costs more than one without, see the seconds.",
  "Without coarse segmentation the kidney and masses networks have no coarse weights to start from, whatever `start` says: that row lacks both.",
  "The baseline trains the full-resolution output alone, as a traditional GAN; MSAL adds the other outputs and their discriminators.",
];

/**
 * Trains and scores every variant in <folder>/ablation/<name>, after the full method in <folder> with `metrics`; writes
 * ablation.json, ablation.md and the report again. Variants that are finished there with the same settings are kept, so
 * that an ablation that was stopped goes on.
 */
export async function runAblation(request: RunRequest, metrics: Metrics): Promise<Ablation> {
  const { folder, say } = request;
  const full = await loadFacts(folder);
  const rows = [
    await coarseRow(request, full),
    row("full", "Baseline + MSAL + DS: the full method", folder, request, full, metrics),
  ];
  for (const variant of variants) {
    say(`\nablation: ${variant.title}`);
    rows.push(await variantRow(request, full, variant));
    await save(folder, rows);
  }
  say("\nablation: one region-trained network");
  const at = join(folder, "ablation", "region");
  const region = (await finished(at, request.options)) ?? (await regionRun(request, full, imagesOf(full), at));
  rows.push(row("region", "One region-trained network", at, request, region.facts, region.metrics));
  const ablation = await save(folder, rows);
  await writeReport(folder);
  say(`\n${ablationTable(ablation)}`);
  return ablation;
}

async function variantRow(request: RunRequest, full: RunFacts, { name, title, change }: Variant): Promise<AblationRow> {
  const { folder } = request;
  const options = structuredClone(request.options);
  change(options);
  const at = join(folder, "ablation", name);
  const before = await finished(at, options);
  if (before) return row(name, title, at, request, withCoarse(full, before.facts), before.metrics);
  if (options.roi.from === "coarse")
    for (const part of ["checkpoints", "stages"])
      await cp(join(folder, part, "coarse"), join(at, part, "coarse"), { recursive: true });
  const stages = stageNames.filter((stage) => stage !== "coarse");
  const metrics = await trainKits({ ...request, folder: at, cacheBeside: folder, options, stages, overwrite: false });
  return row(name, title, at, request, withCoarse(full, await loadFacts(at)), metrics!);
}

/** The run in a folder, if it was finished with these settings. */
async function finished(folder: string, options: RunOptions): Promise<{ facts: RunFacts; metrics: Metrics } | null> {
  if (!existsSync(join(folder, "run.json"))) return null;
  const facts = await loadFacts(folder);
  if (facts.status !== "finished" || !isDeepStrictEqual(facts.options, options)) return null;
  return {
    facts,
    metrics: await readJson<Metrics>(join(folder, "metrics.json"), metricsFile, "delete the folder to run it again"),
  };
}

/** A variant's facts with the coarse training that it shares. */
function withCoarse(full: RunFacts, facts: RunFacts): RunFacts {
  if (facts.options.roi.from === "none") return facts;
  return { ...facts, trained: { ...facts.trained, coarse: full.trained!.coarse } };
}

async function coarseRow(request: RunRequest, full: RunFacts): Promise<AblationRow> {
  const alone = stageFolder(request.folder, "coarse");
  const facts = { ...full, trained: { coarse: full.trained!.coarse } };
  const metrics = await readJson<Metrics>(join(alone, "metrics.json"), metricsFile);
  return row("coarse", "Coarse network alone", alone, request, facts, metrics);
}

function row(
  name: string,
  title: string,
  folder: string,
  request: RunRequest,
  facts: RunFacts,
  metrics: Metrics,
): AblationRow {
  const mean = Object.fromEntries(
    regionNames.map((region) => {
      const { dice, jaccard, surfaceDice } = metrics.mean[region];
      return [region, { dice, jaccard, surfaceDice }];
    }),
  ) as AblationRow["mean"];
  const path = relative(request.folder, join(folder, "metrics.json"));
  return {
    name,
    title,
    images: imagesOf(facts),
    seconds: secondsOf(facts),
    cases: metrics.cases.length,
    mean,
    metrics: path,
  };
}

const trainings = ({ trained = {} }: RunFacts) => Object.values(trained).filter((t) => t !== "absent");
const imagesOf = (facts: RunFacts): number => trainings(facts).reduce((sum, { images }) => sum + images, 0);
const secondsOf = (facts: RunFacts): number => trainings(facts).reduce((sum, { seconds }) => sum + seconds, 0);

async function save(folder: string, rows: AblationRow[]): Promise<Ablation> {
  const ablation = { rows, notes: NOTES };
  await writeJsonAtomic(join(folder, "ablation.json"), ablation);
  await writeFileAtomic(join(folder, "ablation.md"), `${ablationTable(ablation)}\n`);
  return ablation;
}

/** The table as Markdown: 3-D Dice, Jaccard and surface Dice per region, means over test cases. */
export function ablationTable({ rows, notes }: Ablation): string {
  const cell = (value: number | undefined): string => (value === undefined ? "-" : value.toFixed(4));
  const scores = ["dice", "jaccard", "surfaceDice"] as const;
  const head = { dice: "Dice", jaccard: "JC", surfaceDice: "SD" };
  const columns = scores.flatMap((score) => regionNames.map((region) => ({ score, region })));
  const lines = rows.map(
    (r) =>
      `| ${[r.title, ...columns.map(({ score, region }) => cell(r.mean[region][score])), r.images, r.seconds.toFixed(0)].join(" | ")} |`,
  );
  return [
    `| network | ${columns.map(({ score, region }) => `${head[score]} ${region}`).join(" | ")} | training slices | seconds |`,
    `| --- |${" --- |".repeat(columns.length + 2)}`,
    ...lines,
    "",
    ...notes.map((note) => `> ${note}`),
  ].join("\n");
}
