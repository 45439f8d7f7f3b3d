// Runs of the command that take seconds, and what is done to them; what they made, and whether it is whole.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect } from "vitest";
import { loadCheckpoint } from "../../src/kits/checkpointFile.ts";

const command = new URL("../../dist/train-kits.js", import.meta.url).pathname;
// Dropout and discriminators have random positions and an optimiser of their own; every step leaves a training state.
const SETTINGS = (
  "--preset phantom --size 32 --source-size 32 --roi-size 16 --width 4 --depth 2 --scales 2 --dropout 0.2 --epochs 2 " +
  "--slices-per-epoch 16 --batch 4 --set coarse.epochs=3 --set kidney.discriminatorDepth=1 --set masses.discriminatorDepth=1 " +
  "--set tumor.discriminatorDepth=1 --set kidney.discriminatorWidth=4 --set masses.discriminatorWidth=4 " +
  "--set tumor.discriminatorWidth=4 --checkpoint-minutes 0 --progress lines"
).split(" ");

export interface Ended {
  readonly killed: boolean;
  readonly status: number | null;
  readonly err: string;
}

export interface Ending {
  /** Killed after so many milliseconds. */
  readonly ms?: number;
  /** Kills itself in the n-th change of a file that fits a pattern: "pattern:n", see killAt.mjs. */
  readonly killAt?: string;
  /** No file may be larger: KiB, as ulimit -f counts. */
  readonly fileLimit?: number;
  /** What is done to the process once it has written this. */
  readonly when?: RegExp;
  readonly then?: (child: ChildProcess, err: string) => void;
}

/** Runs the command on the data folder `data` to its end, by itself or by what is done to it. */
export function runTiny(data: string, out: string, args: readonly string[], ending: Ending = {}): Promise<Ended> {
  const { ms, killAt, fileLimit, then } = ending;
  let { when } = ending;
  const hooks = killAt ? ["--import", new URL("killAt.mjs", import.meta.url).href] : [];
  // Without a listener the signal of that limit ends the process.
  if (fileLimit) hooks.push("--import", 'data:text/javascript,process.on("SIGXFSZ",()=>{})');
  const all = [process.execPath, ...hooks, command, ...SETTINGS, "--data", data, "--out", out, ...args];
  if (fileLimit) all.unshift("bash", "-c", 'ulimit -f "$0" && exec "$@"', String(fileLimit));
  const env = { ...process.env, WGRAD_KILL_AT: killAt };
  return new Promise((resolve) => {
    const child = spawn(all[0], all.slice(1), { stdio: ["ignore", "ignore", "pipe"], env });
    let err = "";
    child.stderr.on("data", (text) => {
      err += text;
      if (!when?.test(err)) return;
      when = undefined;
      then!(child, err);
    });
    const timer = ms === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), ms);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ killed: signal === "SIGKILL", status, err });
    });
  });
}

/** Every file of a run that must repeat; times are left out of the log. */
export function made(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    /^(checkpoints|predictions)\/.*\.(safetensors|nii\.gz)$|^evaluation.*\.csv$|rois\.json$/.test(path),
  );
  const kept = files.filter((path) => !/state-/.test(path)).sort();
  const log = readFileSync(join(folder, "log.jsonl"), "utf8").replace(/"(imagesPerSecond|seconds)":[^,}]+/g, "");
  return {
    log,
    ...Object.fromEntries(kept.map((path) => [path, readFileSync(join(folder, path)).toString("base64")])),
  };
}

/** The same files with the same bytes. */
export function expectSame(found: Record<string, string>, expected: Record<string, string>): void {
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  for (const [name, bytes] of Object.entries(found)) expect(bytes === expected[name], name).toBe(true);
}

/** All files and folders below a folder. */
export function paths(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => join(folder, path));
}

/** What is being written, or was when its process died. */
export const temporaries = (folder: string): string[] => paths(folder).filter((path) => /\.tmp(\/|$)/.test(path));

/** Everything below a folder that has its name already is whole. */
export async function expectWhole(folder: string): Promise<void> {
  const unfinished = temporaries(folder);
  for (const path of paths(folder).filter((one) => !unfinished.includes(one))) {
    if (path.endsWith(".safetensors")) await loadCheckpoint(path);
    if (path.endsWith(".json")) JSON.parse(readFileSync(path, "utf8"));
    if (path.endsWith(".nii.gz")) gunzipSync(readFileSync(path));
    if (!path.endsWith(".u8")) continue;
    const { slices, size } = JSON.parse(readFileSync(join(dirname(path), "index.json"), "utf8"));
    expect(statSync(path).size).toBe(slices * size * size);
  }
}
