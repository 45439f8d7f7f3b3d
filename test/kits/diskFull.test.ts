// The disk fills while slices, checkpoints or the log are written: one clear error, everything before is intact, and with
// room again --resume ends with the bytes of a run that was left alone. A small tmpfs is really filled; where none may be
// mounted, the limit of file sizes, which is tested in any case, is what remains.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataError } from "../../src/errors.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { logLine, trimLog } from "../../src/kits/run.ts";
import type { EpochLog } from "../../src/kits/train.ts";
import { expectSame, expectWhole, made, paths, runTiny, temporaries, type Ending } from "./tinyRun.ts";

const work = mkdtempSync(join(tmpdir(), "wgrad-full-"));
const disk = join(work, "disk");
mkdirSync(disk);
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "none", disk]).status === 0;
if (!mounted) console.warn("diskFull: no tmpfs may be mounted here (root can); only the limit of file sizes is tested");

beforeAll(async () => {
  await writePhantom(join(work, "data"), { cases: 4, slices: 6, size: 48 });
  expect((await run(join(work, "whole/run"), FIRST)).status).toBe(0);
});
afterAll(() => {
  if (mounted) spawnSync("umount", [disk]);
  rmSync(work, { recursive: true, force: true });
});

const FIRST = ["--stages", "coarse"];
const run = (out: string, args: readonly string[], ending: Ending = {}) =>
  runTiny(join(work, "data"), out, args, ending);

/** Saves a state that is small enough and one that is not; prints the error, and the epoch of the one that is loaded. */
const STATES = `
import { loadTrainingState, saveTrainingState } from "./trainingState.ts";
process.on("SIGXFSZ", () => {}); // without a listener it ends the process
const folder = process.argv[2];
const position = { step: 0, best: null, names: [], sums: [], skipped: [], notTaken: 0, seconds: 0, epochSeconds: 0 };
const save = (epoch, count) => {
  const tensors = { w: { shape: [count], dtype: "f32", data: new Float32Array(count).fill(epoch) } };
  return saveTrainingState(folder, { network: { tensors, numbers: {} }, position: { epoch, ...position }, job: "" });
};
await save(1, 1000);
await save(2, 100_000).catch((error) => console.log(error.message));
console.log((await loadTrainingState(folder, "", console.log)).position.epoch);
`;

const filler = join(disk, "filler");
/** Fills the disk until `left` bytes are free. */
function fill(left = 0): void {
  const file = openSync(filler, "a");
  try {
    for (;;) writeSync(file, Buffer.alloc(4096));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
  } finally {
    closeSync(file);
  }
  if (left > 0) spawnSync("truncate", ["-s", `-${left}`, filler]);
}

/** A run that failed with one message like this and exit code 1, and left nothing half-written. */
async function expectFailed(
  ended: { status: number | null; err: string },
  message: RegExp,
  folder: string,
): Promise<void> {
  expect(ended.err).toMatch(message);
  expect(ended.err).not.toContain("unexpected error");
  expect(ended.err.match(/^train:kits:/gm)).toHaveLength(1);
  expect(ended.status).toBe(1);
  expect(temporaries(folder)).toEqual([]);
  await expectWhole(folder);
}

async function expectResumed(out: string): Promise<void> {
  expect((await run(out, ["--resume"])).status).toBe(0);
  expectSame(made(out), made(join(work, "whole/run")));
}

const states = (out: string): string[] =>
  readdirSync(join(out, "checkpoints/coarse"))
    .filter((name) => name.startsWith("state-"))
    .sort();

describe.runIf(mounted)("a disk that is full", () => {
  test("while slices are written", async () => {
    const out = join(disk, "first/run");
    fill(32_768); // the images of 25 slices fit, their labels do not
    const message =
      /cache\/[0-9a-f]+-32: the slices must be writable, found no space left on the disk \(ENOSPC\), 0\.0\d MiB free; make room in \/.*\/cache and run again/;
    await expectFailed(await run(out, FIRST), message, disk);
    expect(readdirSync(join(disk, "first/cache"))).toEqual([]);
    expect(readdirSync(out).filter((name) => name !== "checkpoints")).toEqual([]);
    rmSync(filler);
    expect((await run(out, FIRST)).status).toBe(0);
    expectSame(made(out), made(join(work, "whole/run")));
    rmSync(join(disk, "first"), { recursive: true });
  });

  test("while checkpoints are written", async () => {
    const out = join(disk, "second/run");
    let filling: NodeJS.Timeout | undefined;
    const ended = await run(out, FIRST, {
      when: /coarse epoch 1/,
      then: () => (filling = setInterval(fill, 5)), // again and again: a state that is forgotten makes room
    });
    clearInterval(filling);
    const message =
      /second\/run\/\S+: the (training state|weights|log) must be writable, found no space left on the disk \(ENOSPC\), \d\.\d\d MiB free; make room in \/.* and run again, a run that has begun with --resume/;
    await expectFailed(ended, message, disk);
    expect(states(out).length).toBeGreaterThan(1);
    const before = Object.fromEntries(
      paths(join(out, "checkpoints"))
        .filter((path) => statSync(path).isFile())
        .map((path) => [path, readFileSync(path, "base64")]),
    );
    fill();
    await expectFailed(
      await run(out, ["--resume"]),
      /must be writable, found no space left on the disk \(ENOSPC\)/,
      disk,
    );
    for (const [path, bytes] of Object.entries(before)) expect(readFileSync(path, "base64") === bytes, path).toBe(true);
    rmSync(filler);
    await expectResumed(out);
    rmSync(join(disk, "second"), { recursive: true });
  });

  test("while the log grows: what was torn is cut", async () => {
    const folder = join(disk, "log");
    mkdirSync(folder);
    const line = (epoch: number): EpochLog => ({
      ...{ stage: "coarse", epoch, epochs: 9, lr: 1e-3, trainLoss: 1, validationLoss: 1, validationDice: {} },
      ...{ imagesPerSecond: 1, seconds: 1, warnings: ["x".repeat(400)] },
    });
    for (let epoch = 1; epoch <= 7; epoch++) await logLine(folder, line(epoch));
    const path = join(folder, "log.jsonl");
    const whole = readFileSync(path, "utf8");
    fill(); // half a line fits into the last block
    await expect(logLine(folder, line(8))).rejects.toThrow(DataError);
    const torn = readFileSync(path, "utf8");
    expect(torn.length).toBeGreaterThan(whole.length);
    expect(torn.endsWith("\n")).toBe(false);
    rmSync(filler);
    await trimLog(folder, "coarse", 7);
    expect(readFileSync(path, "utf8")).toBe(whole);
  });
});

describe.runIf(process.platform !== "win32")("a limit of file sizes", () => {
  test("that the slices pass", async () => {
    const out = join(work, "third/run");
    const message =
      /third\/cache\/[0-9a-f]+-32: the slices must be writable, found more than the largest size of a file here \(EFBIG\)/;
    await expectFailed(await run(out, FIRST, { fileLimit: 16 }), message, join(work, "third"));
    expect(readdirSync(join(work, "third/cache"))).toEqual([]);
    await run(out, FIRST, { when: /data: /, then: (child) => child.kill("SIGKILL") });
    const bytes = (folder: string) => {
      const files = paths(join(work, folder, "cache")).filter((path) => path.endsWith(".u8"));
      return files.map((path) => readFileSync(path, "base64"));
    };
    expect(bytes("third")).toEqual(bytes("whole"));
    expect(bytes("third")).toHaveLength(2);
  });

  // No whole run: software adapters keep their memory in files, which the limit forbids too.
  test("that a training state passes", async () => {
    const folder = join(work, "fourth");
    mkdirSync(folder);
    const script = join(work, "states.mjs");
    const stdin = { contents: STATES, resolveDir: new URL("../../src/kits", import.meta.url).pathname };
    await build({ stdin, outfile: script, bundle: true, format: "esm", platform: "node", packages: "external" });
    const limited = 'ulimit -f 64 && exec "$0" "$@"';
    const { stdout, stderr } = spawnSync("bash", ["-c", limited, process.execPath, script, folder], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout).toMatch(
      /fourth\/state-0002-000000.safetensors: the training state must be writable, found more than .* \(EFBIG\).*\n1\n/,
    );
    expect(readdirSync(folder)).toEqual(["state-0001-000000.safetensors"]);
  });
});
