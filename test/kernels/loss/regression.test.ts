import { afterAll, beforeAll, expect, test } from "vitest";
import { close, full, init, l1, mse, smoothL1, step, tensor, type Tensor } from "../../../src/index.ts";
import { Rng } from "../../../src/random.ts";
import { checkOp, checkThrows, randomInputs, type Input } from "../../check.ts";
import * as reference from "../../reference/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const shapes = [
  [[1], [1]],
  [[7], [7]],
  [
    [2, 3, 5],
    [2, 3, 5],
  ],
  [[1025], [1025]],
]; // 1,025: two workgroups
const rng = new Rng(3, "regression tests");

/** A prediction and a target whose differences avoid some values. */
function awayFrom(shape: number[], avoid: number[]): Input[] {
  const [difference, target] = [...randomInputs([shape], rng, { avoid }), ...randomInputs([shape], rng)];
  return [{ ...target, data: target.data.map((t, i) => t + difference.data[i]) }, target];
}

const reductions = ["mean", "sum", "none"] as const;

test.each(reductions)("mse, l1 and smoothL1, %s, with gradients to both sides", async (reduction) => {
  const kinks = { shapes, probes: 20 };
  await checkOp(
    "mse",
    (x, t) => mse(x, t, { reduction }),
    (x, t) => reference.mse(x, t, { reduction }),
    kinks,
  );
  // Where the difference is 0 (l1) or beta (smoothL1) a central difference sees both sides: the targets keep 0.01 away.
  const apart = (beta: number) => ({
    ...kinks,
    shapes: [],
    inputs: shapes.map(([shape]) => awayFrom(shape, [-beta, 0, beta])),
  });
  await checkOp(
    "l1",
    (x, t) => l1(x, t, { reduction }),
    (x, t) => reference.l1(x, t, { reduction }),
    apart(0),
  );
  for (const beta of [0.3, 1]) {
    await checkOp(
      "smoothL1",
      (x, t) => smoothL1(x, t, { beta, reduction }),
      (x, t) => reference.smoothL1(x, t, { beta, reduction }),
      apart(beta),
    );
  }
});

test("more elements than the threads of all workgroups take at once", async () => {
  const n = 1024 * 1024 + 5; // 1,024 workgroups of 256 threads with four elements each
  const y = await step(() => mse(full([n], 2), full([n], 0), { reduction: "sum" }));
  expect(await y.item()).toBe(4 * n); // exact: every partial sum is a whole number below 2^24
});

test("equal values: loss and slope are 0, also for beta 0", async () => {
  const x = () => tensor([1, -2, 0]);
  for (const loss of [mse, l1, (a: Tensor, b: Tensor) => smoothL1(a, b, { beta: 0 })])
    expect(await loss(x(), x()).item()).toBe(0);
});

test("refusals name the loss and both shapes", () => {
  const a = tensor([1, 2]);
  const b = tensor([1, 2, 3]);
  checkThrows(() => mse(a, b), "mse: the target must have the shape of the prediction [2], got [3]");
  checkThrows(
    () => l1(a, tensor([1, 2], { dtype: "i32" })),
    "l1: the target must be f32 or f16, got i32 [2]; cast it first",
  );
  checkThrows(
    () => mse(a, a, { reduction: "average" as "mean" }),
    'mse: reduction must be "mean", "sum" or "none", got "average"',
  );
  checkThrows(() => smoothL1(a, a, { beta: -1 }), "smoothL1: beta must be at least 0, got -1");
});
