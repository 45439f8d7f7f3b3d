import { afterAll, beforeAll, expect, test } from "vitest";
import { backward, bce, bceWithLogits, close, focal, init, step, tensor } from "../../../src/index.ts";
import { Rng } from "../../../src/random.ts";
import { binaryTargets, checkOp, checkThrows, fixed, randomInputs, ulps, type Input } from "../../check.ts";
import * as reference from "../../reference/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(7, "bce tests");
const shapes = [[1], [7], [2, 3, 5, 4], [257], [3, 2, 4, 5, 6]];
const pairs = (range: [number, number]) =>
  shapes.map((shape): Input[] => [...randomInputs([shape], rng, { range }), binaryTargets(shape, rng)]);
// WGSL's exp and log have 3 units of error at the size of their argument, and the sums add a few more.
const tol = ulps(16);

test.each(["mean", "sum", "none"] as const)("bce, bceWithLogits and focal, %s", async (reduction) => {
  await checkOp(
    "bce",
    (p, t) => bce(p, t, { reduction }),
    (p, t) => reference.bce(p, t, { reduction }),
    { inputs: pairs([0.02, 0.98]), tol },
  );
  const logits = { inputs: pairs([-6, 6]), tol };
  await checkOp(
    "bceWithLogits",
    (x, t) => bceWithLogits(x, t, { reduction }),
    (x, t) => reference.bceWithLogits(x, t, { reduction }),
    logits,
  );
  await checkOp("focal", (x, t) => focal(x, t, { reduction }), (x, t) => reference.focal(x, t, { reduction }), logits);
  const options = { gamma: 1.5, alpha: 0.7, reduction };
  await checkOp("focal", (x, t) => focal(x, t, options), (x, t) => reference.focal(x, t, options), logits);
});

test.each([[[3, 1, 1]], [[2, 1, 1, 5]], [[5]], [[2, 3, 4, 5]], [[1]], [[4, 1]], [[2, 1, 4, 1]]])(
  "a weight of shape %j broadcasts",
  async (shape) => {
    const [x, weight, posWeight] = randomInputs([[2, 3, 4, 5], shape, shape], rng, { range: [0.1, 2] });
    const inputs = [[x, binaryTargets(x.shape, rng), fixed(weight), fixed(posWeight)]];
    await checkOp(
      "bceWithLogits",
      (v, t, w, p) => bceWithLogits(v, t, { weight: w, posWeight: p }),
      (v, t, w, p) => reference.bceWithLogits(v, t, { weight: w, posWeight: p }),
      { inputs, tol },
    );
  },
);

test("certain probabilities: logarithms stop at -100, the slope at 1e12", async () => {
  const p = tensor([0, 1, 0, 1], { requiresGrad: true });
  const y = await step(() => {
    const loss = bce(p, tensor([1, 0, 0, 1]), { reduction: "none" });
    backward(loss, tensor([1, 1, 1, 1]));
    return loss;
  });
  expect([...(await y.read())].map((v) => v || 0)).toEqual([100, 100, 0, 0]); // -0 is 0
  // (p - t) / 1e-12 in float32
  expect([...(await p.grad!.read())].map((g) => Math.round(g / 1e10))).toEqual([-100, 100, 0, 0]);
});

test("a small probability keeps its digits", async () => {
  // 1 - 1e-6 is off by 3 % of 1e-6 in float32; the loss must not be.
  const y = await bce(tensor([1e-6]), tensor([0])).item();
  expect(Math.abs(y - 1e-6)).toBeLessThan(1e-12);
  // A logit of -14 means 8e-7. Its own rounding and that of exp(-14), 2 + 2 * 14 units, remain.
  const z = await bceWithLogits(tensor([-14]), tensor([0])).item();
  expect(Math.abs(z / Math.log1p(Math.exp(-14)) - 1)).toBeLessThan(1e-5);
});

test("logits of any size give finite losses and slopes", async () => {
  const x = tensor([1e4, -1e4, 1e30, -1e30], { requiresGrad: true });
  const y = await step(() => {
    const loss = bceWithLogits(x, tensor([0, 1, 1, 0]), { reduction: "none" });
    backward(loss, tensor([1, 1, 1, 1]));
    return loss;
  });
  expect([...(await y.read())]).toEqual([1e4, 1e4, 0, 0]);
  expect([...(await x.grad!.read())]).toEqual([1, -1, 0, 0]);
});

test("refusals name the loss and both shapes", () => {
  const a = tensor([1, 2], { shape: [1, 2] });
  checkThrows(() => bce(a, tensor([1, 2])), "bce: the target must have the shape of the prediction [1, 2], got [2]");
  checkThrows(
    () => bceWithLogits(a, a, { weight: tensor([1, 2, 3]) }),
    "bceWithLogits: weight [3] must broadcast to the prediction [1, 2]",
  );
  checkThrows(
    () => bceWithLogits(a, a, { posWeight: tensor([1], { dtype: "u32" }) }),
    "bceWithLogits: posWeight must be f32 or f16, got u32 [1]; cast it first",
  );
  checkThrows(() => focal(a, a, { gamma: -1 }), "focal: gamma must be at least 0, got -1");
  checkThrows(() => focal(a, a, { alpha: 2 }), "focal: alpha must lie in [0, 1], got 2");
  const x = tensor(new Float32Array(32), { shape: [2, 2, 2, 2, 2] });
  const w = tensor(new Float32Array(8), { shape: [2, 1, 2, 1, 2] });
  checkThrows(
    () => bceWithLogits(x, x, { weight: w }),
    "bceWithLogits: weight [2, 1, 2, 1, 2] broadcasts in too many places over [2, 2, 2, 2, 2]; expand it first",
  );
});
