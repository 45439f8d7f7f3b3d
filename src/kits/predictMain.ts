#!/usr/bin/env node
// npm run predict:kits: a trained run on other scans. Labels, volumes and pictures of one NIfTI or a folder of them.

import { resolve } from "node:path";
import { OutOfMemoryError } from "../errors.ts";
import { close, init } from "../index.ts";
import { adapterOption, kitsCommand, progressOption, runCommand, say, wholeNumber } from "./commandLine.ts";
import { InterruptedError, watchInterrupts } from "./interrupt.ts";
import { lockRun } from "./lock.ts";
import { predictKits } from "./predictKits.ts";
import type { ProgressMode } from "./progress.ts";
import { removeLeftovers } from "./temporary.ts";
import { formatVolumes } from "./volumesFile.ts";

interface CommandOptions {
  run: string;
  input: string;
  output: string;
  tta?: boolean;
  probabilities?: boolean;
  confidence?: boolean;
  preview: boolean;
  batch?: number;
  overwrite?: boolean;
  resume?: boolean;
  adapter?: string;
  progress: ProgressMode;
  json?: boolean;
}

const command = kitsCommand(
  "predict:kits",
  "Finds kidneys, tumors and cysts in CT with a run that train:kits made, and writes NAME.nii.gz on each scan's own grid: " +
    "1 kidney, 2 tumor, 3 cyst; of a run whose coarse network alone is trained 1 kidney, 2 mass.",
  "prediction.md",
)
  .requiredOption("--run <folder>", "run folder of train:kits")
  .requiredOption(
    "--input <path>",
    "a NIfTI file, a folder of them (nnU-Net's _0000 is no part of a name), or a KiTS tree",
  )
  .requiredOption("--output <folder>", "for NAME.nii.gz, NAME.png, volumes.json and volumes.csv")
  .option("--tta", "average over mirror images of each slice: four times the work")
  .option("--probabilities", "also NAME_<region>_probability.nii.gz for kidney (with its masses), masses, tumor")
  .option("--confidence", "also NAME_<network>_confidence.nii.gz: how much the discriminators trust the masks")
  .option("--no-preview", "no NAME.png")
  .option(
    "--batch <n>",
    "slices at a time; default as in training, which gives the run's own predictions",
    wholeNumber(1, 1024),
  )
  .option("--overwrite", "predict again what is there already")
  .option("--resume", "leave out what is there already")
  .addOption(adapterOption())
  .addOption(progressOption())
  .option("--json", "print volumes.json's content as the last line of standard output");

async function run(o: CommandOptions): Promise<void> {
  const output = resolve(o.output);
  const open = () => init(o.adapter ? { adapter: o.adapter } : {});
  const { name, software } = await open();
  say(
    `adapter: ${name}${software ? ". It is a software adapter: the CPU does the work of a GPU, many times slower" : ""}`,
  );
  const unlock = await lockRun(output);
  const unwatch = watchInterrupts(say, "ending after this batch");
  try {
    await removeLeftovers(output);
    const { volumes, failures } = await predictKits({
      ...o,
      output,
      tta: o.tta ?? false,
      probabilities: o.probabilities ?? false,
      confidence: o.confidence ?? false,
      picture: o.preview,
      overwrite: o.overwrite ?? false,
      resume: o.resume ?? false,
      mode: o.progress,
      say,
      reopen: async () => {
        close();
        await open();
      },
    });
    if (volumes.scans.length > 0) say(`\n${formatVolumes(volumes)}\n`);
    const { length } = volumes.scans;
    say(`${length} ${length === 1 ? "scan" : "scans"} in ${output}`);
    for (const { name, message } of failures) say(`not predicted: ${name}: ${message}`);
    if (failures.length > 0) process.exitCode = 1;
    if (o.json) console.log(JSON.stringify(volumes));
  } catch (error) {
    if (error instanceof InterruptedError) throw new InterruptedError("interrupted; --resume goes on from here");
    if (error instanceof OutOfMemoryError)
      throw new OutOfMemoryError(error.asked, "less memory is taken with a smaller --batch", { cause: error });
    throw error;
  } finally {
    unwatch();
    unlock();
  }
}

await runCommand("predict:kits", () => run(command.parse().opts<CommandOptions>()), close);
