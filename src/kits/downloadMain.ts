#!/usr/bin/env node
// npm run download:kits: a KiTS tree from where it is published, checked, and gone on with where it was interrupted.

import { Option } from "commander";
import { kitsCommand, progressOption, runCommand, say, wholeNumber } from "./commandLine.ts";
import { download, formatBytes, type DownloadOptions } from "./download/download.ts";
import { sources } from "./download/sources.ts";

const cases = sources.map(({ title, cases, unlabelled }) => {
  const images = unlabelled ? `, and ${unlabelled} without labels` : "";
  return `  ${title}: ${cases}${images}`;
});

const command = kitsCommand(
  "download:kits",
  "Downloads images and labels of a KiTS dataset and checks that each file is whole.\n" +
    "The same command again fetches only what is missing, and goes on in the middle of a file.\n" +
    "The data are published under CC BY-NC-SA 4.0.",
  "data.md",
)
  .requiredOption("--out <folder>", "folder of the case folders, or a clone of the challenge's repository")
  .addOption(new Option("--dataset <name>", "which").choices(sources.map(({ name }) => name)).default("kits23"))
  .option("--cases <list>", "numbers such as 0-9,20; default all that have labels")
  .addOption(new Option("--only <part>", "fetch no others").choices(["images", "labels"]))
  .option("--jobs <n>", "files at a time", wholeNumber(1, 64), 4)
  .option(
    "--base-url <url>",
    "where the images are: a folder, or a pattern with {case} (case_00000) or {number} (00000)",
  )
  .option("--labels-url <url>", "folder of the case folders with labels")
  .option("--checksums <file>", "SHA-256 checksums that the files must have, as sha256sum writes them")
  .option("--verify", "also read the files that are here already, and fetch those again that are damaged")
  .option("--stall-seconds <n>", "without a byte for so long, a request is made again", wholeNumber(1, 86_400), 60)
  .option(
    "--tries <n>",
    "requests in a row that bring nothing new, before a file is given up",
    wholeNumber(1, 10_000),
    5,
  )
  .addOption(progressOption())
  .addHelpText("after", `\nCases:\n${cases.join("\n")}`)
  .parse();

await runCommand("download:kits", async () => {
  const options = command.opts<DownloadOptions>();
  const { folder, present, fetched, bytes, failures } = await download(options);
  if (options.progress === "silent") for (const failure of failures) say(failure); // else said already
  const failed = failures.length > 0 ? `, ${failures.length} failed: run the same command again` : "";
  say(`${folder}: ${fetched} files fetched (${formatBytes(bytes)}), ${present} were here${failed}`);
  if (failures.length > 0) process.exitCode = 1;
});
