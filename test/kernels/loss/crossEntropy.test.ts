import { afterAll, beforeAll, expect, test } from "vitest";
import { backward, close, crossEntropy, init, step, tensor } from "../../../src/index.ts";
import { Rng } from "../../../src/random.ts";
import { checkOp, checkThrows, classTargets, fixed, randomInputs, ulps, type Input } from "../../check.ts";
import * as reference from "../../reference/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(11, "cross entropy tests");
// WGSL's exp and log have 3 units of error, and every class adds one.
const tol = ulps(24);

/** Logits [N, C, ...] from -5.2 to 6, labels, and a weight for each class. */
function inputs(shape: readonly number[]): Input[] {
  const [x, weight] = randomInputs([shape, [shape[1]]], rng, { range: [0.2, 3] });
  const labels = classTargets([shape[0], ...shape.slice(2)], shape[1], rng);
  return [{ ...x, data: x.data.map((v) => 4 * v - 6) }, labels, fixed(weight)];
}

// One class, no pixels per plane, 3-D, many classes, and 4,920 pixels, more than a workgroup's share.
const plainShapes = [[1, 1], [2, 2, 7], [1, 4, 2, 3, 5], [2, 17, 9, 8], [3, 2, 40, 41]];
const shapes = [[3, 5], [2, 3, 21, 7]];

test.each(["mean", "sum", "none"] as const)(
  "crossEntropy, %s: plain, weighted, ignoring a class, smoothed, all at once",
  async (reduction) => {
    const run = (options: object, list: Input[][]) =>
      checkOp(
        "crossEntropy",
        (x, t, weight) => crossEntropy(x, t, { ...options, weight, reduction }),
        (x, t, weight) => reference.crossEntropy(x, t, { ...options, weight, reduction }),
        { inputs: list, tol, probes: 30 },
      );
    await run(
      {},
      plainShapes.map((shape) => inputs(shape).slice(0, 2)),
    );
    await run(
      { ignoreIndex: 1 },
      shapes.map((shape) => inputs(shape).slice(0, 2)),
    );
    await run({}, shapes.map(inputs));
    await run(
      { labelSmoothing: 0.3 },
      shapes.map((shape) => inputs(shape).slice(0, 2)),
    );
    await run({ ignoreIndex: 0, labelSmoothing: 0.1 }, shapes.map(inputs));
  },
);

test("labels may be u32, and those that are no class are left out", async () => {
  const x = tensor([[1, 2, 3], [3, 1, 2], [0, 0, 5]], { requiresGrad: true });
  const y = (labels: number[], dtype: "i32" | "u32") => crossEntropy(x, tensor(labels, { dtype })).item();
  const expected = await y([2, 0, 1], "i32");
  expect(await y([2, 0, 1], "u32")).toBe(expected);
  expect(await y([2, 0, 255], "u32")).toBe(await y([2, 0, -1], "i32"));
  expect(await y([2, 0, -1], "i32")).not.toBe(expected);
});

test("no pixel at all: the loss and the gradient are 0", async () => {
  const x = tensor([[1, 2, 3]], { requiresGrad: true });
  const labels = tensor([-100], { dtype: "i32" });
  const y = await step(() => {
    const loss = crossEntropy(x, labels);
    backward(loss);
    return loss;
  });
  expect(await y.item()).toBe(0);
  expect([...(await x.grad!.read())]).toEqual([0, 0, 0]);
});

test("logits of any size give finite losses and slopes", async () => {
  const x = tensor([[1e30, -1e30], [-3e38, 3e38], [1e4, 1e4 - 1]], { requiresGrad: true });
  const labels = tensor([0, 1, 1], { dtype: "i32" });
  const dy = tensor([1, 1, 1]);
  const y = await step(() => {
    const loss = crossEntropy(x, labels, { reduction: "none" });
    backward(loss, dy);
    return loss;
  });
  const [a, b, c] = await y.read();
  expect([a, b]).toEqual([0, 0]);
  expect(Math.abs(c - (1 + Math.log1p(Math.exp(-1))))).toBeLessThan(1e-6);
  const slopes = await x.grad!.read();
  expect([...slopes.slice(0, 4)]).toEqual([0, 0, 0, 0]);
  expect(Math.abs(slopes[4] - 1 / (1 + Math.exp(-1)))).toBeLessThan(1e-6);
});

test("refusals name the argument and both shapes", () => {
  const x = tensor(new Float32Array(24), { shape: [2, 3, 4] });
  const labels = tensor(new Int32Array(8), { shape: [2, 4] });
  checkThrows(() => crossEntropy(tensor([1, 2]), labels), "crossEntropy: the prediction must be [N, C, ...], got [2]");
  checkThrows(
    () => crossEntropy(x, tensor(new Float32Array(8), { shape: [2, 4] })),
    'crossEntropy: labels must be i32 or u32 class numbers, got f32 [2, 4]; ' +
      'make them with tensor(data, { dtype: "i32" })',
  );
  checkThrows(
    () => crossEntropy(x, tensor(new Int32Array(6), { shape: [2, 3] })),
    "crossEntropy: labels must be [2, 4] for a prediction [2, 3, 4], got [2, 3]",
  );
  checkThrows(
    () => crossEntropy(x, labels, { weight: tensor([1, 2]) }),
    "crossEntropy: weight must be [3], one per class, got [2]",
  );
  checkThrows(
    () => crossEntropy(x, labels, { labelSmoothing: 1.5 }),
    "crossEntropy: labelSmoothing must lie in [0, 1], got 1.5",
  );
});
