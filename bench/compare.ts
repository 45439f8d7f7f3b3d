// npm run bench -- --peers tfjs,jax,pytorch: wgrad beside other libraries on the same adapter and shapes. Every program is
// asked for each case in turn, several rounds, so that drifts of the machine hit all alike; what counts are ratios.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { OptionError } from "../src/errors.ts";
import { close, init } from "../src/index.ts";
import { endPeersOnExit, missingPeers, parsePeers, Peer, PEERS, type PeerName, type PeerRequest } from "./peer.ts";
import { CASES, TRAINING, type PeerCase } from "./peers/cases.ts";
import type { CaseAnswer, TrainAnswer } from "./peers/shared.mjs";
import { medianTime, ratioOf, reachOf, relativeDifference, TRAINING_STEP, type Ratio, type Times } from "./reach.ts";

export interface CompareOptions {
  /** Comma-separated names. */
  readonly peers: string;
  readonly rounds: number;
  /** Of training, in each round. */
  readonly steps: number;
  /** Each training with an empty cache of the driver's compiled shaders. */
  readonly cold?: boolean;
  readonly filter?: string;
  readonly adapter?: string;
  readonly json?: string;
}

type Name = PeerName | "wgrad";

/** Of each program, the answers of all rounds. */
type Answers<T> = Record<Name, (T | { readonly error: string })[]>;

/** Sums of up to 3e5 products in f32, in another order. */
const NORM_TOLERANCE = 1e-4;

/** Of losses: a few steps of Adam enlarge differences of rounding. */
const LOSS_TOLERANCE = 1e-4;

/** Runs the comparison and prints it. Throws when a peer is missing, or when results differ. */
export async function compare(options: CompareOptions): Promise<void> {
  const peers = parsePeers(options.peers);
  checkCount("--rounds", options.rounds);
  checkCount("--steps", options.steps);
  const missing = missingPeers(peers);
  if (missing) throw new Error(missing);
  const cases = CASES.filter((c) => c.name.includes(options.filter ?? ""));
  const trains = TRAINING_STEP.includes(options.filter ?? "");
  if (cases.length === 0 && !trains) throw new Error(`no case contains "${options.filter}"`);
  endPeersOnExit();

  const info = await init(options.adapter ? { adapter: options.adapter } : {}); // finds SwiftShader for the peers, too
  close();
  console.log(
    `${info.name} (${info.driver})${info.software ? ": a software adapter; the peers wait as wgrad does" : ""}`,
  );
  const env = options.adapter ? { WGRAD_ADAPTER: options.adapter } : {};
  const names: Name[] = ["wgrad", ...peers];
  const versions: Record<string, string> = {};
  const caseRows = cases.length > 0 ? await runCases(names, cases, options.rounds, env, versions) : [];
  const training = trains ? await runTraining(names, options, env, versions) : null;

  const rows = [...caseRows, ...(training ? [training.row] : [])];
  const reach = reachOf(Object.fromEntries(rows.map((r) => [r.name, r.ratios])));
  printTables(names, caseRows, training, options);
  if (reach.length > 0) console.log(`\nto be reached, by the lowest median ratio of the cases compared:`);
  for (const r of reach) console.log(reachLine(r));
  if (options.json) {
    const { rounds, steps, cold = false } = options;
    const date = new Date().toISOString().slice(0, 10);
    save(options.json, { date, adapter: info, versions, rounds, steps, cold, cases: caseRows, training, reach });
  }
  if (rows.some((r) => r.wrong.length > 0)) throw new Error("some results differ; see WRONG above");
}

function checkCount(option: string, n: number): void {
  if (!Number.isInteger(n) || n < 1) throw new OptionError(`${option}: must be a whole number above 0, got ${n}`);
}

/** A line of the tables. */
interface Row {
  readonly name: string;
  readonly shape: string;
  /** Median ms of each round; null where it failed or is wrong. */
  readonly times: Record<Name, Times>;
  /** Peer / wgrad. */
  readonly ratios: Partial<Record<PeerName, Ratio | null>>;
  /** Programs whose results differ from wgrad's. */
  readonly wrong: readonly Name[];
  readonly errors: Partial<Record<Name, string>>;
}

async function start(name: Name, env: NodeJS.ProcessEnv, versions: Record<string, string>): Promise<Peer> {
  const peer = await Peer.start(name, env);
  const { version, adapter } = peer.greeting;
  if (!(name in versions)) console.log(`${name.padEnd(10)} ${version} on ${adapter}`);
  versions[name] = `${version} on ${adapter}`;
  return peer;
}

/** GPU programs on different adapters cannot be compared. */
function checkAdapters(programs: readonly Peer[]): void {
  const [own, ...others] = programs;
  for (const { name, greeting } of others)
    if (PEERS[name as PeerName].onAdapter && greeting.adapter !== own.greeting.adapter)
      throw new Error(
        `${name} found the adapter ${greeting.adapter}, wgrad ${own.greeting.adapter}; choose with --adapter`,
      );
}

/** An answer, or why there is none: the others go on without a program that has ended. */
async function ask<T>(peer: Peer, request: PeerRequest): Promise<T | { readonly error: string }> {
  try {
    return await peer.ask<T>(request);
  } catch (error) {
    return { error: (error as Error).message };
  }
}

const emptyAnswers = <T>(names: readonly Name[]): Answers<T> =>
  Object.fromEntries(names.map((name) => [name, []])) as unknown as Answers<T>;

/** Another one first in each round. */
const rotated = <T>(list: readonly T[], by: number): T[] => list.map((_, i) => list[(i + by) % list.length]);

async function runCases(
  names: readonly Name[],
  cases: readonly PeerCase[],
  rounds: number,
  env: NodeJS.ProcessEnv,
  versions: Record<string, string>,
): Promise<Row[]> {
  const programs: Peer[] = [];
  for (const name of names) programs.push(await start(name, env, versions));
  checkAdapters(programs);
  const answers = cases.map(() => emptyAnswers<CaseAnswer>(names));
  for (let round = 0; round < rounds; round++) {
    console.log(`\nround ${round + 1} of ${rounds}, ms:`);
    for (const [i, c] of cases.entries()) {
      for (const program of rotated(programs, round))
        answers[i][program.name].push(await ask<CaseAnswer>(program, { do: "case", case: c }));
      const said = names.map((name) => `${name} ${msOf(answers[i][name][round])}`);
      console.log(`  ${c.name.padEnd(28)} ${said.join("   ")}`);
    }
  }
  await Promise.all(programs.map((p) => p.stop()));
  return cases.map((c, i) =>
    rowOf(c.name, `[${c.x.join(",")}]->${c.cout}`, answers[i], (a) => [a.norm], NORM_TOLERANCE),
  );
}

function msOf(answer: CaseAnswer | TrainAnswer | { readonly error: string }): string {
  return "error" in answer ? "-" : answer.ms === null ? "-" : answer.ms.toFixed(2);
}

/** `values`: what must agree with wgrad's. */
function rowOf<T extends { readonly ms: number | null }>(
  name: string,
  shape: string,
  answers: Answers<T>,
  values: (answer: T) => readonly number[],
  tolerance: number,
): Row {
  const names = Object.keys(answers) as Name[];
  const good = (n: Name): T[] => answers[n].filter((a): a is T => !("error" in a));
  const own = good("wgrad")[0];
  const wrong = names.filter((n) =>
    good(n).some((a) => own && !(relativeDifference(values(a), values(own)) <= tolerance)),
  );
  const errors = names.flatMap((n) => {
    const failed = answers[n].find((a): a is { readonly error: string } => "error" in a);
    return failed ? [[n, failed.error]] : [];
  });
  const times = Object.fromEntries(
    names.map((n) => [n, answers[n].map((a) => ("error" in a || wrong.includes(n) ? null : a.ms))]),
  ) as unknown as Record<Name, Times>;
  const peers = names.filter((n) => n !== "wgrad");
  const ratios = Object.fromEntries(peers.map((n) => [n, ratioOf(times[n], times.wgrad)]));
  return { name, shape, times, ratios, wrong, errors: Object.fromEntries(errors) };
}

interface Training {
  readonly row: Row;
  /** Median ms of the first step in a fresh process, and MiB at most. */
  readonly first: Partial<Record<Name, number>>;
  readonly rss: Partial<Record<Name, number>>;
  readonly losses: Partial<Record<Name, readonly number[]>>;
}

/** Each program trains in a process of its own, one at a time, so that first steps and memory are of training alone. */
async function runTraining(
  names: readonly Name[],
  { rounds, steps, cold }: CompareOptions,
  env: NodeJS.ProcessEnv,
  versions: Record<string, string>,
): Promise<Training> {
  const answers = emptyAnswers<TrainAnswer>(names);
  for (let round = 0; round < rounds; round++) {
    console.log(`\ntraining, round ${round + 1} of ${rounds}, ms a step:`);
    for (const name of rotated(names, round)) {
      const cache = cold ? mkdtempSync(join(tmpdir(), "wgrad-shaders-")) : null;
      const program = await start(name, { ...env, ...(cache && { MESA_SHADER_CACHE_DIR: cache }) }, versions);
      const answer = await ask<TrainAnswer>(program, { do: "train", steps, model: TRAINING });
      answers[name].push(answer);
      await program.stop();
      if (cache) rmSync(cache, { recursive: true });
      console.log(`  ${name.padEnd(10)} ${msOf(answer)}`);
    }
  }
  const { batch, size } = TRAINING;
  const row = rowOf(TRAINING_STEP, `[${batch},1,${size},${size}]`, answers, (a) => a.losses, LOSS_TOLERANCE);
  const each = <T>(f: (good: TrainAnswer[]) => T) =>
    Object.fromEntries(
      names.flatMap((n) => {
        const good = answers[n].filter((a): a is TrainAnswer => !("error" in a));
        return good.length > 0 ? [[n, f(good)]] : [];
      }),
    );
  return {
    row,
    first: each((good) => medianTime(good.map((a) => a.first))!),
    rss: each((good) => Math.max(...good.map((a) => a.rss))),
    losses: each((good) => good[0].losses),
  };
}

const titleOf = (name: Name): string => (name === "wgrad" ? "wgrad" : PEERS[name].title);

function showRatio(ratio: Ratio | null | undefined): string {
  return ratio ? `${ratio.median.toFixed(2)}x [${ratio.min.toFixed(2)}..${ratio.max.toFixed(2)}]` : "";
}

function showTime(row: Row, name: Name): string {
  if (row.wrong.includes(name)) return "WRONG";
  return medianTime(row.times[name])?.toFixed(2) ?? "-";
}

function printTables(
  names: readonly Name[],
  rows: readonly Row[],
  training: Training | null,
  { cold = false }: CompareOptions,
): void {
  if (rows.length > 0) {
    console.log(`\nmedian ms, and how many times wgrad's time that is (median of the rounds, [min..max])`);
    const columns = names.map((n) => titleOf(n).padStart(n === "wgrad" ? 10 : 32));
    console.log(`${"case".padEnd(28)} ${"shape".padEnd(22)}${columns.join("")}`);
    for (const row of rows) console.log(caseLine(row, names));
  }
  if (training) printTraining(names, training, cold);
  const failures = [...rows, ...(training ? [training.row] : [])].flatMap((row) =>
    Object.entries(row.errors).map(([name, error]) => `${row.name}: ${name}: ${error}`),
  );
  if (failures.length > 0) console.log(`\nnot compared:\n  ${failures.join("\n  ")}`);
}

function caseLine(row: Row, names: readonly Name[]): string {
  const cells = names.map((n) => {
    const time = showTime(row, n).padStart(10);
    return n === "wgrad" ? time : time + showRatio(row.ratios[n]).padStart(22);
  });
  return `${row.name.padEnd(28)} ${row.shape.padEnd(22)}${cells.join("")}`;
}

function printTraining(names: readonly Name[], { row, first, rss, losses }: Training, cold: boolean): void {
  console.log(`\n${TRAINING_STEP}: Res-UNet of 2.03 M parameters, ${row.shape}, BCE + Dice, Adam`);
  const heads = ["ms/step", "steps/s", "ratio", "peak MiB", "losses"].map((h, i) => h.padStart([10, 9, 22, 10, 10][i]));
  console.log(`${"".padEnd(14)}${heads.join("")}`);
  for (const name of names) {
    const ms = medianTime(row.times[name]);
    const agrees = name in losses ? (row.wrong.includes(name) ? "WRONG" : "agree") : "-";
    const cells = [
      showTime(row, name).padStart(10),
      (ms === null ? "-" : (1e3 / ms).toFixed(2)).padStart(9),
      (name === "wgrad" ? "" : showRatio(row.ratios[name])).padStart(22),
      String(rss[name] ?? "-").padStart(10),
      agrees.padStart(10),
    ];
    console.log(`${titleOf(name).padEnd(14)}${cells.join("")}`);
  }
  console.log(
    `\nfirst step in a new process, s${cold ? ", the driver's shader cache empty" : " (shaders may be cached on disk; --cold measures without)"}`,
  );
  for (const name of names)
    if (first[name] !== undefined)
      console.log(`${titleOf(name).padEnd(14)}${(first[name] / 1e3).toFixed(2).padStart(10)}`);
  for (const name of row.wrong)
    console.log(`WRONG: losses of ${name} ${losses[name]?.join(" ")}, of wgrad ${losses.wgrad?.join(" ")}`);
}

function reachLine({
  what,
  peer,
  factor,
  lowest,
  at,
  geometricMean,
  cases,
  met,
}: ReturnType<typeof reachOf>[number]): string {
  const mean = cases > 1 ? ` (${at}), geometric mean of ${cases} ${geometricMean.toFixed(2)}x` : "";
  const head = `${what.padEnd(30)} >= ${String(factor).padStart(3)}x ${titleOf(peer).padEnd(13)}`;
  return `${head} ${met ? "met    " : "NOT met"}  ${lowest.toFixed(2)}x${mean}`;
}

function save(file: string, result: object): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
}
