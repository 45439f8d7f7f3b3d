// A stage for which the GPU's memory is too small: what it is told, and that nothing before it is lost.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, init, OutOfMemoryError } from "../../src/index.ts";
import { uploadSlices } from "../../src/kits/batch.ts";
import { advisingOnMemory } from "../../src/kits/memoryAdvice.ts";
import { coarseNetwork } from "../../src/kits/network.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { randomSlices, sourceOf } from "./slices.ts";

const command = new URL("../../dist/train-kits.js", import.meta.url).pathname;
const SETTINGS = (
  "--preset phantom --size 32 --source-size 32 --roi-size 16 --width 4 --depth 2 --scales 2 --epochs 1 " +
  "--slices-per-epoch 8 --batch 4 --set kidney.discriminatorDepth=1 --set kidney.discriminatorWidth=4 " +
  "--set masses.discriminatorDepth=1 --set tumor.discriminatorDepth=1 --progress lines"
).split(" ");

let work: string;

beforeAll(async () => {
  await init();
  work = mkdtempSync(join(tmpdir(), "wgrad-memory-"));
});
afterAll(() => {
  close();
  rmSync(work, { recursive: true, force: true });
});

/** Runs the command with at most so many KiB of addresses: SwiftShader's memory is its process's. */
function run(args: readonly string[], limit = "unlimited"): { status: number | null; err: string } {
  const all = [command, ...SETTINGS, "--data", join(work, "data"), "--out", join(work, "run"), ...args];
  const { status, stderr } = spawnSync("bash", ["-c", `ulimit -v ${limit}; exec "$0" "$@"`, process.execPath, ...all], {
    encoding: "utf8",
  });
  return { status, err: stderr };
}

describe.runIf(process.platform === "linux" && process.arch === "x64")("when the GPU's memory ends", () => {
  test("the stage is named with what saves memory, and what was trained before it is there to go on with", async () => {
    await writePhantom(join(work, "data"), { cases: 4, slices: 6, size: 48 });
    expect(run(["--stages", "coarse"]).status).toBe(0);
    const folder = join(work, "run/checkpoints/coarse");
    const files = () =>
      Object.fromEntries(readdirSync(folder).map((f) => [f, readFileSync(join(folder, f), "base64")]));
    const before = files();
    const large = "--set kidney.batch=96 --set kidney.size=256 --set kidney.slicesPerEpoch=96".split(" ");
    const { status, err } = run(["--stages", "kidney", ...large, "--adapter", "swiftshader"], String(6 * 2 ** 20));
    expect(err).toMatch(
      /train:kits: kidney: out of GPU memory: [\d.]+ MiB were asked for, beside [\d.]+ MiB that are held, for a step that takes [\d.]+ MiB and [\d.]+ MiB of weights and state; what was saved is kept; less memory is taken with --batch below 96, --recompute, .*--roi-size below 256, --width below 4/,
    );
    expect(err).not.toContain("Opening it again");
    expect(status).toBe(1);
    expect(JSON.parse(readFileSync(join(work, "run/run.json"), "utf8"))).toMatchObject({ status: "failed" });
    expect(files()).toEqual(before);
    const small = "--set kidney.batch=4 --set kidney.size=16 --set kidney.slicesPerEpoch=8".split(" ");
    expect(run(["--stages", "kidney", ...small]).status).toBe(0);
  });
});

test("a step beyond the adapter's limits is refused when it is planned, with the settings that it has left", async () => {
  const options = { ...presetOptions("demo").coarse, size: 256, width: 32, batch: 512, recompute: true };
  const slices = await uploadSlices(sourceOf(randomSlices(16, 1), 256), [0], { resident: false });
  const network = coarseNetwork(options, 0, [9, 1, 1]);
  const work = () => advisingOnMemory("coarse", options, () => network.prepare(512, slices));
  await expect(work()).rejects.toThrow(OutOfMemoryError);
  await expect(work()).rejects.toThrow(
    /^coarse: conv_\w+: \w+ needs [\d.]+ MiB but this adapter binds at most [\d.]+ MiB; what was saved is kept; less memory is taken with --batch below 512, (--precision f16, )?--size below 256, --width below 32$/,
  );
});
