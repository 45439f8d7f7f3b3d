// npm run fuzz: damaged files of every format the library reads.
//
//   npm run fuzz -- [--seed N] [--format NAME] [--first N] [--inputs N]

import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formats } from "./formats.ts";
import { run, type Job } from "./run.ts";
import { work, type Tally } from "./work.ts";

interface WorkOrder extends Job {
  readonly folder: string;
  /** The number of the input that is being read. */
  readonly progress: string;
}

async function workAsChild({ format: name, folder, progress, ...range }: WorkOrder): Promise<void> {
  const format = formats.find((one) => one.name === name)!;
  const at = join(folder, "work");
  mkdirSync(at);
  const file = openSync(progress, "w");
  const tally = await work(format, at, range, (input) => writeSync(file, String(input).padStart(9), 0));
  closeSync(file);
  process.send!(tally);
  process.disconnect();
}

const SHOWN = 8;

const columns = ["format", "inputs", "accepted", "refused", "faults", "seconds"];
const row = (cells: readonly unknown[]): string =>
  cells.map((cell, i) => (i === 0 ? String(cell).padEnd(16) : String(cell).padStart(9))).join("");

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      format: { type: "string" },
      first: { type: "string", default: "0" },
      inputs: { type: "string" },
    },
  });
  const chosen = formats.filter(({ name }) => !values.format || name === values.format);
  if (chosen.length === 0) throw new Error(`--format must be one of ${formats.map(({ name }) => name).join(", ")}`);
  const [seed, first] = [Number(values.seed), Number(values.first)];
  const tallies: (Tally & { count: number })[] = [];
  console.log(row(columns));
  for (const { name, inputs } of chosen) {
    const count = Number(values.inputs ?? inputs);
    const tally = await run(fileURLToPath(import.meta.url), { format: name, seed, first, count });
    tallies.push({ ...tally, count });
    const { accepted, refused, faults, seconds } = tally;
    console.log(row([name, count, accepted, refused, faults.length, seconds.toFixed(1)]));
    for (const { input, what } of faults.slice(0, SHOWN))
      console.log(
        `  input ${input}: ${what}\n  again: npm run fuzz -- --format "${name}" --seed ${seed} --first ${input} --inputs 1`,
      );
  }
  const sum = (of: (tally: Tally & { count: number }) => number) => tallies.reduce((total, one) => total + of(one), 0);
  const faults = sum((one) => one.faults.length);
  const counts = [sum((one) => one.count), sum((one) => one.accepted), sum((one) => one.refused), faults];
  console.log(row(["all", ...counts, sum((one) => one.seconds).toFixed(1)]));
  if (faults > 0) process.exitCode = 1;
}

const order = process.argv.indexOf("--work");
if (order > 0) await workAsChild(JSON.parse(process.argv[order + 1]) as WorkOrder);
else await main();
