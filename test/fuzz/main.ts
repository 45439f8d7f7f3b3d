// npm run fuzz: damaged files of every format the library reads.
//
//   npm run fuzz -- [--seed N] [--format NAME] [--first N] [--inputs N]

import { mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formats } from "./formats.ts";
import { run, type Job, type Order } from "./run.ts";
import { work, type Tally } from "./work.ts";

async function workAsChild({ jobs, folder, progress }: Order): Promise<void> {
  const file = openSync(progress, "w");
  for (const [i, { format: name, ...range }] of jobs.entries()) {
    const format = formats.find((one) => one.name === name)!;
    const at = join(folder, String(i));
    mkdirSync(at);
    process.send!(await work(format, at, range, (input) => writeSync(file, String(input).padStart(9), 0)));
  }
  process.disconnect();
}

const SHOWN = 8;

const columns = ["format", "inputs", "accepted", "refused", "faults", "seconds"];
const row = (cells: readonly unknown[]): string =>
  cells.map((cell, i) => (i === 0 ? String(cell).padEnd(16) : String(cell).padStart(9))).join("");

function report({ format, seed, count }: Job, { accepted, refused, faults, seconds }: Tally): void {
  console.log(row([format, count, accepted, refused, faults.length, seconds.toFixed(1)]));
  for (const { input, what } of faults.slice(0, SHOWN))
    console.log(
      `  input ${input}: ${what}\n` +
        `  again: npm run fuzz -- --format "${format}" --seed ${seed} --first ${input} --inputs 1`,
    );
}

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
  const jobs = chosen.map(({ name, inputs }) => ({
    ...{ format: name, seed: Number(values.seed), first: Number(values.first) },
    count: Number(values.inputs ?? inputs),
  }));
  console.log(row(columns));
  const tallies = await run(fileURLToPath(import.meta.url), jobs, report);
  const sum = (of: (tally: Tally, i: number) => number) => tallies.reduce((total, one, i) => total + of(one, i), 0);
  const faults = sum((one) => one.faults.length);
  const counts = [sum((_, i) => jobs[i].count), sum((one) => one.accepted), sum((one) => one.refused), faults];
  console.log(row(["all", ...counts, sum((one) => one.seconds).toFixed(1)]));
  if (faults > 0) process.exitCode = 1;
}

const order = process.argv.indexOf("--work");
if (order > 0) await workAsChild(JSON.parse(process.argv[order + 1]) as Order);
else await main();
