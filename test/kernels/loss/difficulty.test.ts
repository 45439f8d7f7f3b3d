import { afterAll, beforeAll, expect, test } from "vitest";
import {
  backward,
  close,
  crossEntropy,
  difficultyWeight,
  difficultyWeightedCrossEntropy,
  init,
  step,
  tensor,
} from "../../../src/index.ts";
import { Rng } from "../../../src/random.ts";
import { checkOp, checkThrows, classTargets, fixed, randomInputs, ulps, type Input } from "../../check.ts";
import { array, scalar, type NdArray } from "../../reference/array.ts";
import * as reference from "../../reference/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(13, "difficulty tests");
const tol = ulps(24); // WGSL's exp, log and pow have a few units of error each

/** Logits, labels and a confidence map inside (0, 1). */
function inputs(shape: readonly number[]): Input[] {
  const pixels = [shape[0], ...shape.slice(2)];
  const [x] = randomInputs([shape], rng, { range: [-4, 4] });
  const [confidence] = randomInputs([[shape[0], 1, ...shape.slice(2)]], rng, { range: [0.02, 0.98] });
  return [x, classTargets(pixels, shape[1], rng), confidence];
}

const list = [[1, 2, 1], [2, 2, 5, 7], [3, 4, 20, 19]].map(inputs);

/** The same loss in float64; pixels with the label `ignore` are left out, and the mean is over the others. */
function weighted(
  x: NdArray,
  labels: NdArray,
  confidence: NdArray,
  power: number,
  kind: "mean" | "sum" | "none" | "legacy",
  ignore = -100,
): NdArray {
  const ce = reference.crossEntropy(x, labels, { reduction: "none", ignoreIndex: ignore });
  const lambda = reference.difficultyWeight(confidence, { power });
  const counted = labels.data.filter((t) => t !== ignore).length;
  const sum = (f: (i: number) => number) => ce.data.reduce((s, _, i) => s + (labels.data[i] === ignore ? 0 : f(i)), 0);
  if (kind === "none")
    return array(
      ce.shape,
      ce.data.map((v, i) => v * lambda.data[i]),
    );
  if (kind === "legacy") return scalar((sum((i) => lambda.data[i]) / counted) * (sum((i) => ce.data[i]) / counted));
  return scalar(sum((i) => lambda.data[i] * ce.data[i]) / (kind === "mean" ? counted : 1));
}

test.each([1, 2, 4, 2.5])("difficultyWeight, power %d", async (power) => {
  const shapes = [[1], [2, 1, 5, 7], [257]];
  await checkOp(
    "difficultyWeight",
    (m) => difficultyWeight(m, { power }),
    (m) => reference.difficultyWeight(m, { power }),
    { shapes, range: [0.02, 0.98], tol },
  );
});

test.each(["mean", "sum", "none"] as const)("detached: no gradient to the confidence, %s", async (reduction) => {
  const detached = list.map(([x, t, m]) => [x, t, fixed(m)]);
  const run = (power: number, ignoreIndex: number, inputs: Input[][]) =>
    checkOp(
      "difficultyWeightedCrossEntropy",
      (x, t, m) => difficultyWeightedCrossEntropy(x, t, m, { power, reduction, ignoreIndex }),
      (x, t, m) => weighted(x, t, m, power, reduction, ignoreIndex),
      { inputs, tol, probes: 40 },
    );
  await run(2, -100, detached);
  await run(4, 1, detached.slice(1));
});

test.each(["mean", "sum", "none", "legacy"] as const)("not detached: the gradient of both, %s", async (kind) => {
  const options = kind === "legacy" ? { legacyScalarCE: true } : { reduction: kind };
  await checkOp(
    "difficultyWeightedCrossEntropy",
    (x, t, m) => difficultyWeightedCrossEntropy(x, t, m, { ...options, ignoreIndex: 1, detachDifficulty: false }),
    (x, t, m) => weighted(x, t, m, 2, kind, 1),
    { inputs: list.slice(1), tol, probes: 40 },
  );
});

test("equation 1 as the test reference has it", async () => {
  const [x, t, m] = list[1];
  const run = (a: NdArray, b: NdArray) => reference.difficultyWeightedCrossEntropy(a, b, m);
  const confidence = tensor(Float32Array.from(m.data), { shape: m.shape });
  await checkOp("difficultyWeightedCrossEntropy", (a, b) => difficultyWeightedCrossEntropy(a, b, confidence), run, {
    inputs: [[x, t]],
    tol,
  });
});

test("a discriminator at 0.5 weighs every pixel 0.75, a convinced one 0, a beaten one 2", async () => {
  const lambda = await difficultyWeight(tensor([0.5, 1, 0])).read();
  expect([...lambda]).toEqual([0.75, 0, 2]);
  const x = tensor([[1, 2], [0, 3]]);
  const labels = tensor([0, 1], { dtype: "i32" });
  const half = await difficultyWeightedCrossEntropy(x, labels, tensor([[0.5], [0.5]])).item();
  expect(Math.abs(half / (0.75 * (await crossEntropy(x, labels).item())) - 1)).toBeLessThan(1e-6);
});

test("by default the confidence gets no gradient although it asks for one", async () => {
  const x = tensor([[1, 2]], { requiresGrad: true });
  const m = tensor([[0.3]], { requiresGrad: true });
  const labels = tensor([0], { dtype: "i32" });
  await step(() => backward(difficultyWeightedCrossEntropy(x, labels, m)));
  expect(m.grad).toBeNull();
  expect(x.grad).not.toBeNull();
});

test("refusals name the argument and both shapes", () => {
  const x = tensor(new Float32Array(24), { shape: [2, 3, 4] });
  const labels = tensor(new Int32Array(8), { shape: [2, 4] });
  const m = tensor(new Float32Array(8), { shape: [2, 1, 4] });
  checkThrows(
    () => difficultyWeightedCrossEntropy(x, labels, tensor(new Float32Array(8), { shape: [2, 4] })),
    "difficultyWeightedCrossEntropy: the confidence must be [2, 1, 4] for a prediction [2, 3, 4], got [2, 4]",
  );
  checkThrows(
    () => difficultyWeightedCrossEntropy(x, labels, m, { power: 0 }),
    "difficultyWeightedCrossEntropy: power must be at least 1, got 0",
  );
  checkThrows(
    () => difficultyWeightedCrossEntropy(x, labels, m, { legacyScalarCE: true, reduction: "sum" }),
    'difficultyWeightedCrossEntropy: legacyScalarCE needs reduction "mean", got "sum"',
  );
  checkThrows(
    () => difficultyWeight(labels),
    "difficultyWeight: the confidence must be f32 or f16, got i32 [2, 4]; cast it first",
  );
});
