// Weights from PyTorch and to it: by the committed file of fixtures/pytorch.py, and by PyTorch itself where it is installed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Rng, close, hostTensor, init, nn, noGrad, step, type Tensor } from "../../src/index.ts";
import { checkThrows } from "../check.ts";

beforeAll(() => init());
afterAll(() => close());

const script = new URL("../fixtures/pytorch.py", import.meta.url).pathname;
const fixture = new URL("../fixtures/pytorch.safetensors", import.meta.url).pathname;

const settings = () => ({ inChannels: 2, classes: 3, width: 2, depth: 2, rng: new Rng(3, "pytorch") });
const builds = {
  unet: () => new nn.UNet(settings()),
  resunet: () => new nn.ResUNet(settings()),
  msalds: () => new nn.MSALDSUNet(settings()),
};
type Name = keyof typeof builds;
const names = Object.keys(builds) as Name[];
const prefixes: Partial<Record<Name, string>> = { resunet: "module." };

/** The largest difference of outputs, which reach about 2; 6e-7 was found, from sums in another order. */
const TOLERANCE = 1e-4;

/** The part of a file below a folder of names. */
function below(tensors: nn.StateDict, folder: string): nn.StateDict {
  const own = Object.entries(tensors).filter(([name]) => name.startsWith(folder));
  return Object.fromEntries(own.map(([name, value]) => [name.slice(folder.length), value]));
}

/** Outputs in evaluation, y0 the first. */
async function outputsOf(model: nn.UNet | nn.ResUNet | nn.MSALDSUNet, x: nn.HostTensor): Promise<nn.StateDict> {
  nn.setTraining(model, false);
  const y: Tensor | Tensor[] = await step(() =>
    noGrad(() => model.forward(hostTensor(x.shape, x.dtype, () => x.data as Float32Array<ArrayBuffer>))),
  );
  const read = [y].flat().map(async (t, i) => [`y${i}`, { shape: t.shape, dtype: t.dtype, data: await t.read() }]);
  return Object.fromEntries(await Promise.all(read)) as nn.StateDict;
}

function largestDifference(found: nn.StateDict, expected: nn.StateDict): number {
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  return Math.max(
    ...Object.entries(expected).map(([name, { shape, data }]) => {
      expect(found[name].shape).toEqual(shape);
      return Math.max(...Array.from(data, (v, i) => Math.abs(v - found[name].data[i])));
    }),
  );
}

/** PyTorch's states load by name and give PyTorch's outputs. */
async function loadsFrom(path: string): Promise<Record<string, number>> {
  const { tensors } = await nn.loadSafetensors(path);
  const differences: Record<string, number> = {};
  for (const name of names) {
    const model = builds[name]();
    nn.loadStateDict(model, below(tensors, `${name}/state/`), { prefix: prefixes[name] });
    const { x, ...expected } = below(tensors, `${name}/`);
    const outputs = Object.entries(expected).filter(([key]) => /^y\d$/.test(key));
    differences[name] = largestDifference(await outputsOf(model, x), Object.fromEntries(outputs));
  }
  console.log(`wgrad with weights from PyTorch, largest difference: ${JSON.stringify(differences)}`);
  return differences;
}

test("states saved by PyTorch load by name, half precision and bfloat16 too, and give its outputs", async () => {
  const differences = await loadsFrom(fixture);
  for (const name of names) expect(differences[name], name).toBeLessThan(TOLERANCE);
});

test("our states have PyTorch's names and shapes, but for counters that PyTorch fills in", async () => {
  const { tensors } = await nn.loadSafetensors(fixture);
  for (const name of names) {
    const theirs = below(tensors, `${name}/state/${prefixes[name] ?? ""}`);
    const shapes = (state: nn.StateDict) =>
      Object.fromEntries(
        Object.entries(state).flatMap(([key, { shape }]) => (/num_batches_tracked$/.test(key) ? [] : [[key, shape]])),
      );
    expect(shapes(await nn.stateDict(builds[name]()))).toEqual(shapes(theirs));
  }
});

test("names and shapes that do not fit are told, with the fix", async () => {
  const { tensors } = await nn.loadSafetensors(fixture);
  const wrapped = below(tensors, "resunet/state/");
  checkThrows(
    () => nn.loadStateDict(builds.resunet(), wrapped),
    "loadStateDict: the state lacks encoder.0.conv1.weight, encoder.0.bn1.weight, encoder.0.bn1.bias, " +
      "encoder.0.bn1.running_mean, encoder.0.bn1.running_var and 76 more; the model has no " +
      "module.encoder.0.conv1.weight, module.encoder.0.bn1.weight, module.encoder.0.bn1.bias, " +
      'module.encoder.0.bn1.running_mean, module.encoder.0.bn1.running_var and 76 more; load with prefix: "module."',
  );
  const { "head.weight": head, ...rest } = below(tensors, "unet/state/");
  checkThrows(
    () => nn.loadStateDict(builds.unet(), { ...rest, "head.weights": head }),
    "loadStateDict: the state lacks head.weight; the model has no head.weights; " +
      "load with strict: false to skip names that do not fit",
  );
  const wide = { ...rest, "head.weight": { ...head, shape: [2, 3, 1, 1] } };
  checkThrows(
    () => nn.loadStateDict(builds.unet(), wide),
    "loadStateDict: head.weight must be f32 [3, 2, 1, 1], got f32 [2, 3, 1, 1]",
  );
  const before = await nn.stateDict(builds.unet());
  const partly = builds.unet();
  nn.loadStateDict(partly, { "head.weight": head, other: head }, { strict: false });
  expect(await nn.stateDict(partly)).toEqual({ ...before, "head.weight": head });
});

/** A Python that has PyTorch, or null. */
const python = ["/usr/bin/python3", "python3"].find(
  (command) => spawnSync(command, ["-c", "import torch, numpy"]).status === 0,
);

describe.skipIf(!python)("with PyTorch itself", () => {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-pytorch-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(python!, [script, ...args], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    return stdout;
  };

  test("what it saves now loads here", async () => {
    const path = join(folder, "theirs.safetensors");
    run("make", path);
    const differences = await loadsFrom(path);
    for (const name of names) expect(differences[name], name).toBeLessThan(TOLERANCE);
  });

  test("what we save loads there, strictly, and gives our outputs", async () => {
    const { tensors } = await nn.loadSafetensors(fixture);
    for (const name of names) {
      const model = builds[name]();
      nn.loadStateDict(model, below(tensors, `${name}/state/`), { prefix: prefixes[name] });
      const { x } = below(tensors, `${name}/`);
      await nn.saveSafetensors(join(folder, `${name}.safetensors`), await nn.stateDict(model), { made: "by wgrad" });
      await nn.saveSafetensors(join(folder, `${name}.io.safetensors`), { x, ...(await outputsOf(model, x)) });
    }
    const printed = run("load", folder);
    console.log(`PyTorch with weights from wgrad, largest difference: ${printed.trim()}`);
    const differences = JSON.parse(printed) as Record<string, number>;
    for (const name of names) expect(differences[name], name).toBeLessThan(TOLERANCE);
  });
});
