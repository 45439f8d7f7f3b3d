// Killed at any moment and resumed, a run ends with the bytes of one that was left alone. WGRAD_KILLS=50 kills more often.
// Signals that ask it to end, and a second run in its folder.
import { spawn, type ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCheckpoint } from "../../src/kits/checkpointFile.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { Rng } from "../../src/random.ts";

const KILLS = Number(process.env.WGRAD_KILLS ?? 3);
const command = new URL("../../dist/train-kits.js", import.meta.url).pathname;
// Dropout and discriminators have random positions and an optimiser of their own; every step leaves a training state.
const SETTINGS = (
  "--preset phantom --size 32 --source-size 32 --roi-size 16 --width 4 --depth 2 --scales 2 --dropout 0.2 --epochs 2 " +
  "--slices-per-epoch 16 --batch 4 --set coarse.epochs=3 --set kidney.discriminatorDepth=1 --set masses.discriminatorDepth=1 " +
  "--set tumor.discriminatorDepth=1 --set kidney.discriminatorWidth=4 --set masses.discriminatorWidth=4 " +
  "--set tumor.discriminatorWidth=4 --checkpoint-minutes 0 --progress lines"
).split(" ");

let work: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-resume-"));
  await writePhantom(join(work, "data"), { cases: 4, slices: 6, size: 48 });
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

interface Ended {
  readonly killed: boolean;
  readonly status: number | null;
  readonly err: string;
}

interface Ending {
  /** Killed after so many milliseconds. */
  readonly ms?: number;
  /** Kills itself in the n-th change of a file whose path contains a text: "text:n", see killAt.mjs. */
  readonly killAt?: string;
  /** What is done to the process once it has written this. */
  readonly when?: RegExp;
  readonly then?: (child: ChildProcess) => void;
}

/** Runs the command to its end, by itself or by what is done to it. */
function run(out: string, args: readonly string[], { ms, killAt, when, then }: Ending = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const hook = killAt ? ["--import", new URL("killAt.mjs", import.meta.url).href] : [];
    const all = [...hook, command, ...SETTINGS, "--data", join(work, "data"), "--out", join(work, out), ...args];
    const env = { ...process.env, WGRAD_KILL_AT: killAt };
    const child = spawn(process.execPath, all, { stdio: ["ignore", "ignore", "pipe"], env });
    let err = "";
    child.stderr.on("data", (text) => {
      err += text;
      if (!when?.test(err)) return;
      when = undefined;
      then!(child);
    });
    const timer = ms === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), ms);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ killed: signal === "SIGKILL", status, err });
    });
  });
}

/** Every file of a run that must repeat; times are left out of the log. */
function made(out: string): Record<string, string> {
  const files = readdirSync(join(work, out), { recursive: true, encoding: "utf8" }).filter((path) =>
    /^(checkpoints|predictions)\/.*(best|last|epoch-\d+)?.*\.(safetensors|nii\.gz)$|^evaluation.*\.csv$|rois\.json$/.test(
      path,
    ),
  );
  const kept = files.filter((path) => !/state-/.test(path)).sort();
  const log = readFileSync(join(work, out, "log.jsonl"), "utf8").replace(/"(imagesPerSecond|seconds)":[^,}]+/g, "");
  return {
    log,
    ...Object.fromEntries(kept.map((path) => [path, readFileSync(join(work, out, path)).toString("base64")])),
  };
}

/** Where kills fall: in the n-th change of a file of some kind, n below `changes`, or after some time. */
const MOMENTS: readonly { name: string; text?: string; changes: number }[] = [
  { name: "preprocessing", text: "/cache/", changes: 14 },
  { name: "checkpoint writing", text: ".safetensors", changes: 60 },
  { name: "random time", changes: 0 },
  { name: "any file", text: "/killed/", changes: 120 },
];

/** Runs or resumes "killed", and kills it at such a moment, if it does not end before. */
async function runToKill({ name, text, changes }: (typeof MOMENTS)[number], rng: Rng): Promise<Ended> {
  if (name === "preprocessing") rmSync(join(work, "cache"), { recursive: true, force: true });
  if (!text) return run("killed", ["--resume"], { ms: rng.range(800, 9000) });
  return run("killed", ["--resume"], { killAt: `${text}:${1 + rng.integer(changes)}` });
}

const paths = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => join(folder, path))
    : [];
const isTemporary = (path: string): boolean => /\.tmp(\/|$)/.test(path);

/** Everything that has its name already is whole. */
async function expectWhole(): Promise<void> {
  for (const path of [...paths(join(work, "killed")), ...paths(join(work, "cache"))].filter((p) => !isTemporary(p))) {
    if (path.endsWith(".safetensors")) await loadCheckpoint(path);
    if (path.endsWith(".json")) JSON.parse(readFileSync(path, "utf8"));
    if (path.endsWith(".nii.gz")) gunzipSync(readFileSync(path));
    if (!path.endsWith(".u8")) continue;
    const { slices, size } = JSON.parse(readFileSync(join(dirname(path), "index.json"), "utf8"));
    expect(statSync(path).size).toBe(slices * size * size);
  }
}

describe("a run that is killed", () => {
  test("and resumed, again and again, ends with the bytes of one that was not", async () => {
    const whole = await run("whole", []);
    expect(whole.status).toBe(0);
    const expected = made("whole");
    const rng = new Rng(20, "kills");
    const fell: Record<string, number> = {};
    let [kills, halfWritten, runs] = [0, 0, 0];
    do {
      rmSync(join(work, "killed"), { recursive: true, force: true });
      runs++;
      let ended: Ended;
      do {
        const moment = MOMENTS[kills % MOMENTS.length];
        ended = kills < KILLS ? await runToKill(moment, rng) : await run("killed", ["--resume"]);
        if (ended.killed) {
          kills++;
          fell[moment.name] = (fell[moment.name] ?? 0) + 1;
          halfWritten += Number([...paths(join(work, "killed")), ...paths(join(work, "cache"))].some(isTemporary));
          await expectWhole();
        } else expect(ended.err).not.toContain("train:kits:");
      } while (ended.killed);
      expect(ended.status).toBe(0);
      const found = made("killed");
      expect(Object.keys(found)).toEqual(Object.keys(expected));
      for (const [name, bytes] of Object.entries(found)) expect(bytes === expected[name], name).toBe(true);
      expect(paths(work).filter(isTemporary)).toEqual([]); // in the run folder and beside it, where slices are kept
    } while (kills < KILLS);
    expect(fell.preprocessing).toBeGreaterThan(0);
    expect(halfWritten).toBeGreaterThan(0);
    console.log(
      `${kills} kills survived in ${runs} runs: ${JSON.stringify(fell)}, ${halfWritten} left something half-written`,
    );
  }, 7_200_000);

  test("a damaged training state is passed over for the one before, with a message", async () => {
    await run("damaged", [], { when: /coarse epoch 2/, then: (child) => child.kill("SIGKILL") });
    const folder = join(work, "damaged/checkpoints/coarse");
    const states = readdirSync(folder)
      .filter((name) => name.startsWith("state-"))
      .sort();
    expect(states.length).toBe(3);
    const newest = join(folder, states.at(-1)!);
    const bytes = readFileSync(newest);
    bytes[bytes.length - 9] ^= 4;
    writeFileSync(newest, bytes);
    truncateSync(join(folder, states.at(-2)!), 1000);
    const { status, err } = await run("damaged", ["--resume"]);
    expect(err).toMatch(/state-.*the checksum does not fit; the file is damaged; passed over for the one before/);
    expect(err).toMatch(/state-.*cut off; passed over for the one before/);
    expect(status).toBe(0);
    const [expected, found] = [made("whole"), made("damaged")];
    for (const [name, text] of Object.entries(found)) expect(text === expected[name], name).toBe(true);
  });

  test("Ctrl-C once ends it with a checkpoint, twice at once", async () => {
    const once = await run("stopped", [], { when: /kidney epoch 1/, then: (child) => child.kill("SIGINT") });
    expect(once.status).toBe(130);
    expect(once.err).toMatch(/train:kits: interrupted; --resume --out .*stopped goes on from here/);
    expect(JSON.parse(readFileSync(join(work, "stopped/run.json"), "utf8")).status).toBe("interrupted");
    const twice = await run("stopped", ["--resume"], {
      when: /masses epoch 1/,
      then: (child) => {
        child.kill("SIGINT");
        setTimeout(() => child.kill("SIGINT"), 1);
      },
    });
    expect(twice.status).toBe(130);
    expect((await run("stopped", ["--resume"])).status).toBe(0);
    const [expected, found] = [made("whole"), made("stopped")];
    for (const [name, text] of Object.entries(found)) expect(text === expected[name], name).toBe(true);
  });

  test("a second one is refused while the first is at work in the folder; what a killed one left is no hindrance", async () => {
    let second: Promise<Ended> | undefined;
    const first = await run("shared", [], {
      when: /coarse epoch 1/,
      then: (child) => {
        second = run("shared", ["--resume"]).finally(() => child.kill("SIGKILL"));
      },
    });
    expect(first.killed).toBe(true);
    const { status, err } = await second!;
    expect(status).toBe(1);
    expect(err).toMatch(/shared is in use by process \d+ on .* since .*; wait for it or choose another --out/);
    const third = await run("shared", ["--resume"], {
      when: /coarse: goes on after epoch/,
      then: (child) => child.kill("SIGKILL"),
    });
    expect(third.killed).toBe(true);
  });

  test("goes on with its own settings only", async () => {
    const { status, err } = await run("whole", ["--resume", "--width", "8"]);
    expect(status).toBe(1);
    expect(err).toContain("--resume goes on with the settings of the run in");
  });
});
