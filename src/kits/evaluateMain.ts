#!/usr/bin/env node
// npm run evaluate:kits: scores of a folder of predictions, whoever made them.

import { Command, Option } from "commander";
import { WgradError } from "../errors.ts";
import { evaluate, formatMetrics, type EvaluateOptions } from "./evaluate.ts";

interface CommandOptions extends Omit<EvaluateOptions, "ids"> {
  cases?: string[];
  json?: boolean;
}

const command = new Command("evaluate:kits")
  .description(
    "Scores predictions against references with the metrics of the KiTS challenge: Dice and surface Dice of kidney and\n" +
      "masses, masses, and tumor; Jaccard, distances and volumes beside them. Folders of nnU-Net are read as they are.",
  )
  .requiredOption("--reference <folder>", "a KiTS tree, an nnU-Net Dataset folder, or label files named by case")
  .requiredOption("--predictions <folder>", "label files named by case: case_00000.nii.gz")
  .option("--out <folder>", "for metrics.json, evaluation.csv and evaluation_more.csv")
  .option("--cases <ids...>", "score exactly these; default every prediction")
  .addOption(new Option("--dataset <name>", "kits19 has no cysts").choices(["kits", "kits19"]).default("kits"))
  .addOption(
    new Option("--empty <rule>", "how empty masks are scored").choices(["kits", "nnunet", "monai"]).default("kits"),
  )
  .option("--no-surface", "without surface Dice and distances: faster")
  .option("--split <name>", "what the cases are, for metrics.json", "test")
  .option("--json", "print metrics.json's content as the last line of standard output")
  .addOption(new Option("--progress <mode>").choices(["auto", "bar", "lines", "silent"]).default("auto"))
  .parse();

try {
  const { cases, json, ...options } = command.opts<CommandOptions>();
  const { metrics, warnings, files } = await evaluate({ ...options, ids: cases });
  for (const warning of warnings) console.error(`warning: ${warning}`);
  (json ? console.error : console.log)(formatMetrics(metrics));
  for (const file of files) console.error(`written: ${file}`);
  if (json) console.log(JSON.stringify(metrics));
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof WgradError ? `evaluate:kits: ${error.message}` : error);
}
