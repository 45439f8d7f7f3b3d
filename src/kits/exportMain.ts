#!/usr/bin/env node
// npm run export:kits: the networks of a run as ONNX files for other programs.

import { Command } from "commander";
import { OptionError, WgradError } from "../errors.ts";
import { close, init } from "../index.ts";
import { exportRun } from "./exportKits.ts";
import { parseStages, stageNames } from "./stages.ts";

const command = new Command("export:kits")
  .description(
    "Writes each network of a trained run as <stage>.onnx, with a <stage>.json that states the exact steps before and after it,\nand cascade.json, which says how the networks work together (docs/weights.md).",
  )
  .requiredOption("--run <folder>", "a run of train:kits")
  .requiredOption("--out <folder>", "where the files go")
  .option(
    "--stage <names>",
    `some of ${stageNames.join(", ")}, with commas between them; default: all that are trained`,
  )
  .option("--adapter <name>", "the GPU, as for train:kits")
  .parse();

const { run, out, stage, adapter } = command.opts<{ run: string; out: string; stage?: string; adapter?: string }>();
try {
  const stages = stage === undefined ? undefined : parseStages(stage);
  if (stages === null) throw new OptionError(`--stage must name some of ${stageNames.join(", ")}; got ${stage}`);
  await init(adapter ? { adapter } : {});
  for (const { onnx, json, bytes } of await exportRun(run, out, stages))
    console.error(`${onnx} ${(bytes / 2 ** 20).toFixed(1)} MiB, ${json}`);
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof WgradError ? `export:kits: ${error.message}` : error);
} finally {
  close();
}
