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

test("a run outlives losses of the GPU, in two of its stages", async () => {
  await trainKits(request("whole", () => {}));
  const said: string[] = [];
  // A stage's first state tells that its second epoch has begun: steps are under way, and their results unread.
  const targets = ["coarse", "masses"].map((stage) => join(work, "lossy/checkpoints", stage));
  const timer = setInterval(() => {
    const at = targets.findIndex((folder) => existsSync(join(folder, "state-0001-000000.safetensors")));
    if (at < 0) return;
    targets.splice(at, 1);
    gpu().device.destroy();
  }, 2);
  await trainKits(request("lossy", (text) => said.push(text))).finally(() => clearInterval(timer));
  expect(targets).toEqual([]);
  expect(
    said.filter((text) => /the GPU device was lost.*Opening it again \(1 of at most 3 times\)/.test(text)).length,
  ).toBe(2);
  for (const stage of stageNames)
    for (const file of ["best.safetensors", "last.safetensors"]) {
      const path = join("checkpoints", stage, file);
      expect(readFileSync(join(work, "lossy", path)).equals(readFileSync(join(work, "whole", path))), path).toBe(true);
    }
});
