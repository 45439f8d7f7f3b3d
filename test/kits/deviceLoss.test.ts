// The GPU goes away in the middle of a training step: the run opens it again and ends with the same bytes.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gpu } from "../../src/gpu/device.ts";
import { close, init, type AdapterInfo } from "../../src/index.ts";
import { setOption, stageNames, type RunOptions } from "../../src/kits/options.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { trainKits, type RunRequest } from "../../src/kits/pipeline.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { regionRun } from "../../src/kits/regionRun.ts";
import { loadFacts } from "../../src/kits/run.ts";

let work: string;
let adapter: AdapterInfo;

beforeAll(async () => {
  adapter = await init();
  work = mkdtempSync(join(tmpdir(), "wgrad-loss-"));
  await writePhantom(join(work, "data"), { cases: 4, slices: 6, size: 48 });
});
afterAll(() => {
  close();
  rmSync(work, { recursive: true, force: true });
});

function small(): RunOptions {
  const options = presetOptions("phantom");
  for (const name of stageNames)
    for (const [setting, value] of Object.entries({
      size: 16,
      width: 4,
      depth: 2,
      epochs: 2,
      slicesPerEpoch: 16,
      batch: 4,
    }))
      setOption(options, `${name}.${setting}`, String(value));
  for (const name of ["kidney", "masses", "tumor"])
    for (const [setting, value] of Object.entries({ scales: 2, discriminatorDepth: 1, discriminatorWidth: 4 }))
      setOption(options, `${name}.${setting}`, String(value));
  return { ...options, sourceSize: 32 };
}

function request(name: string, say: (text: string) => void): RunRequest {
  return {
    folder: join(work, name),
    root: join(work, "data"),
    dataNote: "",
    preset: "phantom",
    options: small(),
    stages: stageNames,
    overwrite: false,
    resume: false,
    checkpointSeconds: 600,
    onNonfinite: "stop",
    tune: 0,
    png: false,
    adapter,
    mode: "silent",
    say,
  };
}

// A training's first state tells that its second epoch has begun: steps are under way, and their results unread.
const secondEpoch = (run: string, stage: string): string =>
  join(work, run, "checkpoints", stage, "state-0001-000000.safetensors");

/** Loses the GPU once when each of these files of a run appears, while `work` is done; epochs that were complete stay. */
async function losing<T>(run: string, files: string[], work: () => Promise<T>): Promise<T> {
  const log = () => readFileSync(join(run, "log.jsonl"), "utf8");
  const logs: string[] = [];
  const timer = setInterval(() => {
    const at = files.findIndex((file) => existsSync(file));
    if (at < 0) return;
    files.splice(at, 1);
    logs.push(log());
    gpu().device.destroy();
  }, 2);
  const result = await work().finally(() => clearInterval(timer));
  expect(files).toEqual([]);
  for (const before of logs) expect(log().startsWith(before)).toBe(true);
  return result;
}

const reopened = (said: readonly string[]): number =>
  said.filter((text) => /the GPU device was lost.*Opening it again \(1 of at most 3 times\)/.test(text)).length;

function expectSame(found: string, expected: string, paths: readonly string[]): void {
  for (const path of paths)
    expect(readFileSync(join(work, found, path)).equals(readFileSync(join(work, expected, path))), path).toBe(true);
}

test("a run outlives losses of the GPU, in two of its stages", async () => {
  await trainKits(request("whole", () => {}));
  const said: string[] = [];
  const moments = ["coarse", "masses"].map((stage) => secondEpoch("lossy", stage));
  await losing(join(work, "lossy"), moments, () => trainKits(request("lossy", (text) => said.push(text))));
  expect(reopened(said)).toBe(2);
  const files = ["best.safetensors", "last.safetensors"];
  expectSame(
    "lossy",
    "whole",
    stageNames.flatMap((stage) => files.map((file) => join("checkpoints", stage, file))),
  );
});

test("so does the region network of an ablation", async () => {
  const facts = await loadFacts(join(work, "whole"));
  const said: string[] = [];
  const region = (name: string) =>
    regionRun(
      request("whole", (text) => said.push(text)),
      facts,
      32,
      join(work, name),
    );
  const whole = await region("region-whole");
  const lossy = await losing(join(work, "region-lossy"), [secondEpoch("region-lossy", "region")], () =>
    region("region-lossy"),
  );
  expect(reopened(said)).toBe(1);
  expectSame("region-lossy", "region-whole", [
    "checkpoints/region/best.safetensors",
    "checkpoints/region/last.safetensors",
  ]);
  expect(lossy.metrics.mean).toEqual(whole.metrics.mean);
  expect(existsSync(secondEpoch("region-lossy", "region"))).toBe(false);
});
