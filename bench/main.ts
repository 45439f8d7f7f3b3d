// npm run bench: every kernel family on the shapes of a Res-UNet, checked, then timed, as a fraction of this device's ceiling.
// With --peers: wgrad beside other libraries (bench/compare.ts).

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command, Option } from "commander";
import { close, init, setMatmulPrecision, step, tune, type MatmulPrecision } from "../src/index.ts";
import type { Case, Work } from "./case.ts";
import { bandwidthFor, measureCeiling, type Ceiling } from "./ceiling.ts";
import { convCases } from "./convolution.ts";
import { time, type Timing } from "./measure.ts";
import { optimiserCases } from "./optimiser.ts";
import { otherCases } from "./others.ts";
import { lastRecorded, slowerThan } from "./regression.ts";

interface Row extends Timing {
  readonly name: string;
  readonly shape: string;
  readonly gflops: number;
  readonly gbps: number;
  /** Of the ceiling that binds: arithmetic or memory, whichever is nearer. */
  readonly ofCeiling: number;
  readonly error: number;
  readonly correct: boolean;
}

const command = new Command("bench")
  .description("Times the kernels on this machine's adapter, after checking each against the host.")
  .option("--filter <text>", "only cases whose name contains this")
  .option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name")
  .option("--samples <n>", "timed samples per case", "7")
  .option("--json <file>", "write the results as JSON")
  .option("--check", "name the cases that are slower than in the last run recorded for this adapter")
  .option("--tune [seconds]", "first measure which kernels are fastest, for about that long per case (30)")
  .addOption(
    new Option("--precision <name>", "how exactly convolutions and matrix products multiply").choices([
      "highest",
      "high",
    ]),
  )
  .option("--peers <names>", "compare with these instead: tfjs, tfjs-wasm, jax, pytorch, comma-separated")
  .option("--rounds <n>", "with --peers: how often each case is asked for", "3")
  .option("--steps <n>", "with --peers: training steps in a round", "6")
  .option("--cold", "with --peers: each training with an empty cache of compiled shaders, for honest first steps")
  .addOption(new Option("--serve", "answer requests on stdin, as a peer").hideHelp())
  .parse();

interface Options {
  filter?: string;
  adapter?: string;
  samples: string;
  json?: string;
  check?: true;
  tune?: string | true;
  precision?: MatmulPrecision;
  peers?: string;
  rounds: string;
  steps: string;
  cold?: boolean;
  serve?: boolean;
}
const options = command.opts<Options>();

try {
  if (options.serve) await (await import("./peers/wgrad.ts")).serveWgrad();
  else if (options.peers !== undefined) await comparison(options, options.peers);
  else await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  if (!options.serve) close(); // a peer answers until its stdin ends
}

async function comparison(options: Options, peers: string): Promise<void> {
  const { compare } = await import("./compare.ts");
  await compare({ ...options, peers, rounds: Number(options.rounds), steps: Number(options.steps) });
}

async function main(): Promise<void> {
  const info = await init(options.adapter ? { adapter: options.adapter } : {});
  if (options.precision) setMatmulPrecision(options.precision);
  console.log(`${info.name} (${info.driver})${info.software ? ": a software adapter, slow" : ""}`);
  const ceiling = await measureCeiling();
  console.log(
    `ceiling measured now: ${ceiling.gflops.toFixed(0)} GFLOP/s (multiply-add), ${ceiling.gbps.toFixed(1)} GB/s (copy of 64 MiB), ${ceiling.gbpsSmall.toFixed(1)} GB/s (copy of 4 MiB)\n`,
  );
  console.log(header());
  const cases = [...convCases(), ...otherCases(), ...optimiserCases()].filter((c) =>
    c.name.includes(options.filter ?? ""),
  );
  if (cases.length === 0) throw new Error(`no case contains "${options.filter}"`);
  const rows: Row[] = [];
  for (const c of cases) rows.push(await runCase(c, ceiling));
  if (options.json) save(options.json, { adapter: info, date: new Date().toISOString().slice(0, 10), ceiling, rows });
  if (options.check) check(info.name, rows);
  if (rows.some((r) => !r.correct)) throw new Error("some results are wrong; see WRONG above");
}

async function runCase(c: Case, ceiling: Ceiling): Promise<Row> {
  const work = c.setup();
  if (options.tune) await tuned(work, options.tune === true ? 30 : Number(options.tune));
  const error = await work.check();
  const correct = error <= work.tolerance * (options.precision === "high" ? HALF_PRECISION : 1);
  const timing = !correct
    ? { medianMs: NaN, minMs: NaN, maxMs: NaN, samples: 0 }
    : await time(work.run, { samples: Number(options.samples) });
  const row = { name: c.name, shape: c.shape, error, correct, ...timing, ...rates(work, timing, ceiling) };
  console.log(!correct ? `${c.name.padEnd(34)} WRONG: relative error ${error.toExponential(1)}` : line(row, work));
  return row;
}

/** Factors of 11 bits instead of 24 are allowed this much more error. */
const HALF_PRECISION = 100;

/** Measures the kernels that `work` could run. */
async function tuned(work: Work, seconds: number): Promise<void> {
  await step(work.run);
  await tune({ seconds, log: (line) => console.log(`  ${line}`) });
}

const RESULTS = join(import.meta.dirname, "..", "bench", "results");

/** Throws when a case has become slower. */
function check(adapter: string, rows: readonly Row[]): void {
  const recorded = lastRecorded(RESULTS, adapter);
  if (!recorded) throw new Error(`--check: bench/results holds no run for ${adapter}; record one with --json`);
  const slower = slowerThan(
    recorded,
    rows.filter((r) => r.correct),
  );
  const list = slower.map(({ name, factor }) => `${name} ${factor.toFixed(2)} times`).join(", ");
  if (slower.length > 0) throw new Error(`slower than on ${recorded.date}, beside the ceiling: ${list}`);
  console.log(`\nno case is slower than on ${recorded.date}`);
}

function rates(work: Work, { medianMs }: Timing, ceiling: Ceiling): Pick<Row, "gflops" | "gbps" | "ofCeiling"> {
  const gflops = work.flops / medianMs / 1e6;
  const gbps = work.bytes / medianMs / 1e6;
  return { gflops, gbps, ofCeiling: Math.max(gflops / ceiling.gflops, gbps / bandwidthFor(work.bytes, ceiling)) };
}

function header(): string {
  return `${"case".padEnd(34)} ${"shape".padEnd(30)} ${"median ms".padStart(10)} ${"[min .. max]".padStart(18)} ${"rate".padStart(16)}  of ceiling`;
}

function line(row: Row, work: Work): string {
  const rate = work.flops > 0 ? `${row.gflops.toFixed(1)} GFLOP/s` : `${row.gbps.toFixed(2)} GB/s`;
  const spread = `[${row.minMs.toFixed(2)} .. ${row.maxMs.toFixed(2)}]`;
  const percent = `${(100 * row.ofCeiling).toFixed(1)} %`;
  return `${row.name.padEnd(34)} ${row.shape.padEnd(30)} ${row.medianMs.toFixed(3).padStart(10)} ${spread.padStart(18)} ${rate.padStart(16)} ${percent.padStart(11)}`;
}

function save(file: string, result: object): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
}
