#!/usr/bin/env node
// npm run convert:kits: data in KiTS layout for nnU-Net, and nnU-Net's for KiTS.

import { Command, InvalidArgumentError, Option } from "commander";
import { OptionError, WgradError } from "../errors.ts";
import { fromNnunet } from "./convert/fromNnunet.ts";
import type { Placing } from "./convert/place.ts";
import { toNnunet } from "./convert/toNnunet.ts";
import { startProgress, type Progress, type ProgressMode } from "./progress.ts";

interface CommandOptions {
  to?: "nnunet";
  from?: "nnunet";
  data: string;
  dataset?: string;
  out: string;
  id?: number;
  name?: string;
  targets?: "regions" | "labels";
  links: Placing;
  split?: string;
  folds?: number;
  seed?: number;
  progress: ProgressMode;
}

const whole = (text: string): number => {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("must be a whole number.");
  return Number(text);
};

const command = new Command("convert:kits")
  .description(
    "Converts a tree of KiTS to nnU-Net's raw layout and back. Volumes keep their bytes.\n" +
      "train:kits, doctor:kits and evaluate:kits read nnU-Net's layout as it is.",
  )
  .addOption(new Option("--to <layout>", "write it").choices(["nnunet"]))
  .addOption(new Option("--from <layout>", "read it").choices(["nnunet"]))
  .requiredOption("--data <folder>", "a tree of KiTS, or with --from nnU-Net's DatasetXXX_Name folder")
  .requiredOption("--out <folder>", "nnUNet_raw, or with --from the folder of the case folders")
  .option("--dataset <name>", "kits19, kits21, kits23 or kits, where detection should not decide")
  .option("--id <n>", "number of nnU-Net's dataset; default 220", whole)
  .option("--name <name>", "its name; default the dataset's")
  .addOption(
    new Option("--targets <what>", "regions as the challenge scores them (default), or plain labels").choices([
      "regions",
      "labels",
    ]),
  )
  .addOption(
    new Option("--links <kind>", "how volumes get there").choices(["hard", "symbolic", "copy"]).default("hard"),
  )
  .option("--split <file>", "splits.json of a run: one fold of it, and its test cases as imagesTs and labelsTs")
  .option("--folds <n>", "folds of splits_final.json; default 5", whole)
  .option("--seed <n>", "seed of the folds; default 12345, with which they are nnU-Net's own", whole)
  .addOption(new Option("--progress <mode>").choices(["auto", "bar", "lines", "silent"]).default("auto"))
  .parse();

const o = command.opts<CommandOptions>();
let progress: Progress | undefined;
const onCase = (done: number, total: number, id: string) => {
  progress ??= startProgress({ label: "convert", total, unit: "cases", mode: o.progress });
  progress.update(done, { case: id });
};

async function convert(): Promise<string> {
  if ((o.to === undefined) === (o.from === undefined)) throw new OptionError("give --to nnunet or --from nnunet");
  if (o.to) {
    const { folder, training, test, folds, copied } = await toNnunet({ ...o, placing: o.links, onCase });
    return (
      `${folder}: ${training} cases for training, ${test} in imagesTs, ${copied} volumes copied\n` +
      `nnU-Net looks for splits_final.json (${folds} folds) in nnUNet_preprocessed: copy it there after planning`
    );
  }
  const only = (["id", "name", "targets", "split", "folds", "seed", "dataset"] as const).find(
    (name) => o[name] !== undefined,
  );
  if (only) throw new OptionError(`--${only} goes with --to, not with --from`);
  const { folder, cases, test, copied } = await fromNnunet({ ...o, placing: o.links, onCase });
  return `${folder}: ${cases} cases, ${test} of them from imagesTs, ${copied} volumes copied`;
}

try {
  const done = await convert();
  progress?.stop();
  console.error(done);
} catch (error) {
  progress?.stop();
  process.exitCode = 1;
  console.error(error instanceof WgradError ? `convert:kits: ${error.message}` : error);
}
