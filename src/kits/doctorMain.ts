#!/usr/bin/env node
// npm run doctor:kits: everything that is wrong with a tree of CT, in one table, before a night of training.

import { Command } from "commander";
import { WgradError } from "../errors.ts";
import { diagnose, formatDiagnosis } from "./doctor.ts";
import { startProgress, type Progress } from "./progress.ts";

const command = new Command("doctor:kits")
  .description(
    "Reads every image and label of a KiTS tree and lists all problems with their fixes.\nExit code 0: none or only warnings; 1: errors.",
  )
  .requiredOption("--data <folder>", "a KiTS19, KiTS21 or KiTS23 tree, any folder in that layout, or nnU-Net's raw one")
  .option("--dataset <name>", "kits19, kits21, kits23 or kits, where detection should not decide")
  .option("--json", "print the findings as JSON")
  .parse();

const { data, dataset, json } = command.opts<{ data: string; dataset?: string; json?: boolean }>();
let progress: Progress | undefined;
try {
  const diagnosis = await diagnose(data, {
    dataset,
    onCase: (done, total, id) => {
      progress ??= startProgress({ label: "read", total, unit: "cases" });
      progress.update(done, { case: id });
    },
  });
  progress?.stop();
  console.log(json ? JSON.stringify(diagnosis) : formatDiagnosis(diagnosis));
  if (diagnosis.findings.some(({ severity }) => severity === "error")) process.exitCode = 1;
} catch (error) {
  progress?.stop();
  process.exitCode = 1;
  console.error(error instanceof WgradError ? `doctor:kits: ${error.message}` : error);
}
