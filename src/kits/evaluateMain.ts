#!/usr/bin/env node
// npm run evaluate:kits: scores of a folder of predictions, whoever made them.

import { resolve } from "node:path";
import { Option } from "commander";
import { kitsCommand, progressOption, runCommand, say } from "./commandLine.ts";
import { isNnunet } from "./datasets/nnunet.ts";
import { listCases } from "./datasets/open.ts";
import { evaluate, formatMetrics, type EvaluateOptions } from "./evaluate.ts";

interface CommandOptions extends Omit<EvaluateOptions, "ids" | "dataset"> {
  dataset?: "kits" | "kits19";
  cases?: string[];
  json?: boolean;
}

const command = kitsCommand(
  "evaluate:kits",
  "Scores predictions against references with the metrics of the KiTS challenge: Dice and surface Dice of kidney and " +
    "masses, masses, and tumor; Jaccard, distances and volumes beside them. Folders of nnU-Net are read as they are.",
  "data.md",
)
  .requiredOption("--reference <folder>", "a KiTS tree, an nnU-Net Dataset folder, or label files named by case")
  .requiredOption("--predictions <folder>", "label files named by case: case_00000.nii.gz")
  .option("--out <folder>", "for metrics.json, evaluation.csv and evaluation_more.csv")
  .option("--cases <ids...>", "score exactly these; default every prediction")
  .addOption(
    new Option("--dataset <name>", "kits19 has no cysts; default what the references are").choices(["kits", "kits19"]),
  )
  .addOption(
    new Option("--empty <rule>", "how empty masks are scored").choices(["kits", "nnunet", "monai"]).default("kits"),
  )
  .option("--no-surface", "without surface Dice and distances: faster")
  .option("--split <name>", "what the cases are, for metrics.json", "test")
  .option("--json", "print metrics.json's content as the last line of standard output")
  .addOption(progressOption())
  .parse();

/** What the references are. Label files alone do not say: they count as of three labels. */
async function datasetOf(reference: string): Promise<"kits" | "kits19"> {
  const listed = listCases(reference, { labels: "optional" });
  const { spec } = isNnunet(resolve(reference)) ? await listed : await listed.catch(() => ({ spec: null }));
  return spec?.name === "kits19" ? "kits19" : "kits";
}

await runCommand("evaluate:kits", async () => {
  const { cases, json, dataset, ...options } = command.opts<CommandOptions>();
  const known = dataset ?? (await datasetOf(options.reference));
  const { metrics, warnings, files } = await evaluate({ ...options, dataset: known, ids: cases });
  for (const warning of warnings) say(`warning: ${warning}`);
  (json ? say : console.log)(formatMetrics(metrics));
  for (const file of files) say(`written: ${file}`);
  if (json) console.log(JSON.stringify(metrics));
});
