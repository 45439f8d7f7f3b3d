#!/usr/bin/env node
// npm run export:kits: the networks of a run as ONNX files for other programs.

import { OptionError } from "../errors.ts";
import { close, init } from "../index.ts";
import { adapterOption, kitsCommand, runCommand, say } from "./commandLine.ts";
import { exportRun } from "./exportKits.ts";
import { parseStages, stageNames } from "./stages.ts";

const command = kitsCommand(
  "export:kits",
  "Writes each network of a trained run as <stage>.onnx, with a <stage>.json that states the exact steps before and " +
    "after it, and cascade.json, which says how the networks work together.",
  "weights.md",
)
  .requiredOption("--run <folder>", "run folder of train:kits")
  .requiredOption("--out <folder>", "where the files go")
  .option(
    "--stage <names>",
    `some of ${stageNames.join(", ")}, with commas between them; default: all that are trained`,
  )
  .addOption(adapterOption())
  .parse();

async function exportNetworks(): Promise<void> {
  const { run, out, stage, adapter } = command.opts<{ run: string; out: string; stage?: string; adapter?: string }>();
  const stages = stage === undefined ? undefined : parseStages(stage);
  if (stages === null) throw new OptionError(`--stage must name some of ${stageNames.join(", ")}; got ${stage}`);
  await init(adapter ? { adapter } : {});
  for (const { onnx, json, bytes } of await exportRun(run, out, stages))
    say(`${onnx} ${(bytes / 2 ** 20).toFixed(1)} MiB, ${json}`);
}

await runCommand("export:kits", exportNetworks, close);
