// Runs inputs in a process of their own: where it crashes or hangs, that is a finding with its number, and another process
// goes on after it.

import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding, Tally } from "./work.ts";

/** Inputs `first` to `first + count` of a format. */
export interface Job {
  readonly format: string;
  readonly seed: number;
  readonly first: number;
  readonly count: number;
}

/** What the process that reads is told. It sends a tally after each job. */
export interface Order {
  readonly jobs: readonly Job[];
  readonly folder: string;
  /** A file that always holds which job it is at and which input it reads. */
  readonly progress: string;
}

/** Seconds without a next input after which a process counts as hanging. They are counted while this process runs. */
const HANG_SECONDS = 60;
const HEAP_MIB = 512;
const MOST_DEATHS = 20;

/** All inputs of all jobs, one tally for each; `program` is the bundled main.ts. `onDone` hears of each that is through. */
export async function run(
  program: string,
  jobs: readonly Job[],
  onDone: (job: Job, tally: Tally) => void = () => {},
  hangSeconds = HANG_SECONDS,
): Promise<Tally[]> {
  const done: Tally[] = [];
  let deaths: Finding[] = [];
  let left = [...jobs];
  while (left.length > 0) {
    const { tallies, died } = await runUntilDeath(program, left, hangSeconds);
    for (const tally of tallies) {
      const whole = { ...tally, faults: [...deaths, ...tally.faults] };
      onDone(jobs[done.length], whole);
      done.push(whole);
      deaths = [];
    }
    left = left.slice(tallies.length);
    if (!died || left.length === 0) continue;
    // What the process had counted of this job is lost; the fault is not.
    deaths.push(died);
    const [{ first, count, ...job }, ...rest] = left;
    const next = deaths.length < MOST_DEATHS ? died.input + 1 : first + count;
    left = [{ ...job, first: next, count: first + count - next }, ...rest];
  }
  return done;
}

interface Ended {
  readonly tallies: readonly Tally[];
  readonly died?: Finding;
}

function runUntilDeath(program: string, jobs: readonly Job[], hangSeconds: number): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-fuzz-"));
  const progress = join(folder, "progress");
  writeFileSync(progress, "");
  const order: Order = { jobs, folder, progress };
  const child = fork(program, ["--work", JSON.stringify(order)], {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    env: { ...process.env, XDG_CACHE_HOME: join(folder, "cache"), WGRAD_TUNE: "1" },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return new Promise((resolve) => {
    const tallies: Tally[] = [];
    let hangs = false;
    let [last, still] = ["", 0];
    let complaint = "";
    child.stderr!.on("data", (text: Buffer) => (complaint = (complaint + text.toString()).slice(0, 2000)));
    child.on("message", (message) => tallies.push(message as Tally));
    const watchdog = setInterval(() => {
      const now = readFileSync(progress, "utf8");
      still = now === last ? still + 1 : 0;
      last = now;
      if (still < hangSeconds) return;
      hangs = true;
      child.kill("SIGKILL");
    }, 1000);
    child.on("close", (code, signal) => {
      clearInterval(watchdog);
      const input = Number(readFileSync(progress, "utf8"));
      rmSync(folder, { recursive: true, force: true });
      if (tallies.length === jobs.length) return resolve({ tallies });
      const what = hangs ? "hangs" : `the process ended with ${signal ?? code}: ${complaint}`;
      resolve({ tallies, died: { input, what } });
    });
  });
}
