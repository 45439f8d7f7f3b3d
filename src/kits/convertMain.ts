#!/usr/bin/env node
// npm run convert:kits: data in KiTS layout for nnU-Net, and nnU-Net's for KiTS.

import { Option } from "commander";
import { OptionError } from "../errors.ts";
import { datasetOption, kitsCommand, progressOption, runCommand, say, wholeNumber } from "./commandLine.ts";
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

const command = kitsCommand(
  "convert:kits",
  "Converts a tree of KiTS to nnU-Net's raw layout and back. Volumes keep their bytes.\n" +
    "train:kits, doctor:kits and evaluate:kits read nnU-Net's layout as it is.",
  "data.md",
)
  .addOption(new Option("--to <layout>", "write it").choices(["nnunet"]))
  .addOption(new Option("--from <layout>", "read it").choices(["nnunet"]))
  .requiredOption("--data <folder>", "a tree of KiTS, or with --from nnU-Net's DatasetXXX_Name folder")
  .requiredOption("--out <folder>", "nnUNet_raw, or with --from the folder of the case folders")
  .addOption(datasetOption())
  .option("--id <n>", "number of nnU-Net's dataset; default 220", wholeNumber(1, 999))
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
  .option("--folds <n>", "folds of splits_final.json; default 5", wholeNumber(2, 1000))
  .option(
    "--seed <n>",
    "seed of the folds; default 12345, with which they are nnU-Net's own",
    wholeNumber(0, 2 ** 32 - 1),
  )
  .addOption(progressOption())
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

await runCommand("convert:kits", async () => {
  const done = await convert().finally(() => progress?.stop());
  say(done);
});
