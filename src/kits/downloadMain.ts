#!/usr/bin/env node
// npm run download:kits: a KiTS tree from where it is published, checked, and gone on with where it was interrupted.

import { Command, InvalidArgumentError, Option } from "commander";
import { WgradError } from "../errors.ts";
import { download, formatBytes, type DownloadOptions } from "./download/download.ts";
import { sources } from "./download/sources.ts";
import { INTERRUPTED, InterruptedError } from "./interrupt.ts";

const whole = (text: string): number => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError("must be a whole number above 0.");
  return Number(text);
};

const cases = sources.map(({ title, cases, unlabelled }) => {
  const images = unlabelled ? `, and ${unlabelled} without labels` : "";
  return `  ${title}: ${cases}${images}`;
});

const command = new Command("download:kits")
  .description(
    "Downloads images and labels of a KiTS dataset and checks that each file is whole.\n" +
      "The same command again fetches only what is missing, and goes on in the middle of a file.\n" +
      "The data are published under CC BY-NC-SA 4.0.",
  )
  .requiredOption("--out <folder>", "folder of the case folders, or a clone of the challenge's repository")
  .addOption(new Option("--dataset <name>", "which").choices(sources.map(({ name }) => name)).default("kits23"))
  .option("--cases <list>", "numbers such as 0-9,20; default all that have labels")
  .addOption(new Option("--only <part>", "fetch no others").choices(["images", "labels"]))
  .option("--jobs <n>", "files at a time", whole, 4)
  .option(
    "--base-url <url>",
    "where the images are: a folder, or a pattern with {case} (case_00000) or {number} (00000)",
  )
  .option("--labels-url <url>", "folder of the case folders with labels")
  .option("--checksums <file>", "SHA-256 checksums that the files must have, as sha256sum writes them")
  .option("--verify", "also read the files that are here already, and fetch those again that are damaged")
  .option("--stall-seconds <n>", "without a byte for so long, a request is made again", whole, 60)
  .option("--tries <n>", "requests in a row that bring nothing new, before a file is given up", whole, 5)
  .addOption(new Option("--progress <mode>").choices(["auto", "bar", "lines", "silent"]).default("auto"))
  .addHelpText("after", `\nCases:\n${cases.join("\n")}`)
  .parse();

try {
  const options = command.opts<DownloadOptions>();
  const { folder, present, fetched, bytes, failures } = await download(options);
  if (options.progress === "silent") for (const failure of failures) console.error(failure); // else said already
  const failed = failures.length > 0 ? `, ${failures.length} failed: run the same command again` : "";
  console.error(`${folder}: ${fetched} files fetched (${formatBytes(bytes)}), ${present} were here${failed}`);
  if (failures.length > 0) process.exitCode = 1;
} catch (error) {
  process.exitCode = error instanceof InterruptedError ? INTERRUPTED : 1;
  console.error(error instanceof WgradError ? `download:kits: ${error.message}` : error);
}
