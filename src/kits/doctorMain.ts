#!/usr/bin/env node
// npm run doctor:kits: everything that is wrong with a tree of CT, in one table, before a night of training.

import { datasetOption, kitsCommand, runCommand } from "./commandLine.ts";
import { diagnose, formatDiagnosis } from "./doctor.ts";
import { startProgress, type Progress } from "./progress.ts";

const command = kitsCommand(
  "doctor:kits",
  "Reads every image and label of a KiTS tree and lists all problems with their fixes.\nExit code 0: none or only warnings; 1: errors.",
  "own-data.md",
)
  .requiredOption("--data <folder>", "a KiTS19, KiTS21 or KiTS23 tree, any folder in that layout, or nnU-Net's raw one")
  .addOption(datasetOption())
  .option("--json", "print the findings as JSON")
  .parse();

const { data, dataset, json } = command.opts<{ data: string; dataset?: string; json?: boolean }>();
let progress: Progress | undefined;
await runCommand("doctor:kits", async () => {
  const diagnosis = await diagnose(data, {
    dataset,
    onCase: (done, total, id) => {
      progress ??= startProgress({ label: "read", total, unit: "cases" });
      progress.update(done, { case: id });
    },
  }).finally(() => progress?.stop());
  console.log(json ? JSON.stringify(diagnosis) : formatDiagnosis(diagnosis));
  if (diagnosis.findings.some(({ severity }) => severity === "error")) process.exitCode = 1;
});
