// The golden values: what PyTorch computes in float64 for small cases of every operation, made by fixtures/golden.py.
import { readFileSync } from "node:fs";
import type { Tensor } from "../src/index.ts";
import { type Input, type Tolerance, absolute, expectClose, runOnGpu } from "./check.ts";
import { readSafetensors } from "./safetensors.ts";

interface Manifest {
  torch: string;
  cases: ManifestCase[];
  lr_schedules: Record<string, number[]>;
}

interface ManifestCase {
  name: string;
  op: string;
  attrs: Record<string, unknown>;
  inputs: Record<string, string>;
  consts: Record<string, string>;
  outputs: string[];
  cots: string[];
  grads: Record<string, string>;
  /** Largest difference of PyTorch's own float32 run, and largest |value|, by tensor key. */
  stats: Record<string, { f32err: number; absmax: number }>;
}

/** An expected array and how far a float32 result may lie from it. */
export interface Expected extends Input {
  readonly tol: Tolerance;
}

/** One golden case: inputs (those with an expected gradient are differentiated), outputs, cotangents and gradients. */
export interface GoldenCase {
  readonly name: string;
  readonly op: string;
  readonly attrs: Record<string, unknown>;
  readonly inputs: Record<string, Input>;
  readonly outputs: readonly Expected[];
  readonly cots: readonly Input[];
  readonly grads: Record<string, Expected>;
}

const folder = new URL("./fixtures/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("golden.json", folder), "utf8")) as Manifest;
const tensors = readSafetensors(new URL("golden.safetensors", folder));

/**
 * Four times the error of PyTorch's own float32 run, because another order of summation may be that much worse by luck,
 * and at least 2e-6 of the largest |value| (17 units in the last place), because that error is 0 for many small cases
 * and because WGSL allows exp, log, division and sqrt 2 to 5 units where the C library has half a unit.
 */
function tolerance(found: Input, stat?: { f32err: number; absmax: number }): Tolerance {
  const absmax = stat?.absmax ?? found.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  return absolute(Math.max(4 * (stat?.f32err ?? 0), 2e-6 * absmax));
}

function tensorOf(key: string): Input {
  const found = tensors.get(key);
  if (!found) throw new Error(`golden.safetensors has no tensor ${key}`);
  return found;
}

function readCase(c: ManifestCase): GoldenCase {
  const expected = (key: string): Expected => ({ ...tensorOf(key), tol: tolerance(tensorOf(key), c.stats[key]) });
  const named = <T>(keys: Record<string, string>, f: (key: string, name: string) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, f(key, name)]));
  const input = (key: string, name: string): Input => ({ ...tensorOf(key), grad: name in c.grads });
  return {
    name: c.name,
    op: c.op,
    attrs: c.attrs,
    inputs: { ...named(c.inputs, input), ...named(c.consts, input) },
    outputs: c.outputs.map(expected),
    cots: c.cots.map(tensorOf),
    grads: named(c.grads, expected),
  };
}

/** Every golden case. */
export const goldenCases: readonly GoldenCase[] = manifest.cases.map(readCase);

/** Learning rates of the first 12 steps from 0.1, by schedule; the settings stand in fixtures/golden.py. */
export const goldenSchedules: Readonly<Record<string, readonly number[]>> = manifest.lr_schedules;

/**
 * Throws at the first output, or gradient, of `op` that lies outside the case's tolerance. `op` takes inputs by name.
 */
export async function checkGolden(
  c: GoldenCase,
  op: (inputs: Record<string, Tensor>) => Tensor | readonly Tensor[],
): Promise<void> {
  const names = Object.keys(c.inputs);
  const run = (...list: Tensor[]) => op(Object.fromEntries(names.map((name, i) => [name, list[i]])));
  const { outputs, grads } = await runOnGpu(run, Object.values(c.inputs), cotangentsOf(c), c.name);
  c.outputs.forEach((y, k) => expectClose(`${c.name}: y${k}`, outputs[k], y, y.tol));
  for (const [name, expected] of Object.entries(c.grads)) {
    const found = grads[names.indexOf(name)];
    if (!found) throw new Error(`${c.name}: backward left no gradient for ${name}`);
    expectClose(`${c.name}: d_${name}`, found, expected, expected.tol);
  }
}

/** The case of ties keeps no output: its gradient is that of the plain sum of the 2 x 2 maxima. */
function cotangentsOf(c: GoldenCase): readonly Input[] {
  return c.op === "max_pool2d_ties" ? [{ shape: [1, 1, 2, 2], data: Float64Array.of(1, 1, 1, 1) }] : c.cots;
}
