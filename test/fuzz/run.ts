// Runs a format's inputs in processes of their own: one that crashes or hangs is a finding with its number, and the rest
// goes on after it.

import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tally } from "./work.ts";

export interface Job {
  readonly format: string;
  readonly seed: number;
  readonly first: number;
  readonly count: number;
}

/** Seconds without a next input after which a process counts as hanging. They are counted while this process runs. */
const HANG_SECONDS = 60;
const HEAP_MIB = 512;

/** All inputs of a job; `program` is the bundled main.ts. */
export async function run(program: string, job: Job): Promise<Tally> {
  const total: Tally = { accepted: 0, refused: 0, faults: [], seconds: 0, largest: 0 };
  const end = job.first + job.count;
  for (let first = job.first; first < end;) {
    const { tally, died } = await runUntilDeath(program, { ...job, first, count: end - first });
    if (tally) {
      total.accepted += tally.accepted;
      total.refused += tally.refused;
      total.faults.push(...tally.faults);
      total.seconds += tally.seconds;
      total.largest = Math.max(total.largest, tally.largest);
    }
    if (!died) break;
    total.faults.push(died);
    if (total.faults.length > 20) break;
    first = died.input + 1;
  }
  return total;
}

interface Ended {
  readonly tally?: Tally;
  readonly died?: Tally["faults"][number];
}

/** What one process got through. What it had counted before it died is lost; the fault is not. */
function runUntilDeath(program: string, job: Job): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-fuzz-"));
  const progress = join(folder, "progress");
  writeFileSync(progress, String(job.first));
  const child = fork(program, ["--work", JSON.stringify({ ...job, folder, progress })], {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    env: { ...process.env, XDG_CACHE_HOME: join(folder, "cache"), WGRAD_TUNE: "1" },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return new Promise((resolve) => {
    let tally: Tally | undefined;
    let hangs = false;
    let [last, still] = ["", 0];
    let complaint = "";
    child.stderr!.on("data", (text: Buffer) => (complaint = (complaint + text.toString()).slice(0, 2000)));
    child.on("message", (message) => (tally = message as Tally));
    const watchdog = setInterval(() => {
      const now = readFileSync(progress, "utf8");
      still = now === last ? still + 1 : 0;
      last = now;
      if (still < HANG_SECONDS) return;
      hangs = true;
      child.kill("SIGKILL");
    }, 1000);
    child.on("close", (code, signal) => {
      clearInterval(watchdog);
      const input = Number(readFileSync(progress, "utf8"));
      rmSync(folder, { recursive: true, force: true });
      if (tally) return resolve({ tally });
      const what = hangs ? "hangs" : `the process ended with ${signal ?? code}: ${complaint}`;
      resolve({ died: { input, what } });
    });
  });
}
