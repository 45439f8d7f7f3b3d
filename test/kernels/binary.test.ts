// Functions of two numbers: every way to broadcast, values and gradients, against float64.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { mergeDims } from "../../src/kernels/broadcast.ts";
import { checkOp, checkThrows, exact, ulps, ulpsEach } from "../check.ts";
import * as reference from "../reference/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const shapes = [
  [[1], [1]],
  [[7], [7]],
  [[2, 3, 5], [2, 3, 5]],
  [[257], [257]],
  [[2, 3, 5], []], // one number
  [[1, 1], [2, 3, 5]],
  [[2, 3, 4, 5], [1, 3, 1, 1]], // per channel, rows of 20: whole vec4
  [[2, 3, 5, 7], [1, 3, 1, 1]], // per channel, rows of 35
  [[2, 3, 1, 1], [2, 3, 4, 5]], // per channel and sample
  [[2, 1, 4, 5], [2, 3, 4, 5]], // one map for all channels
  [[4, 8], [8]], // per feature
  [[4, 7], [7]],
  [[4, 1], [1, 7]], // both repeat
  [[5, 1, 4], [1, 3, 1]],
  [[2, 1, 3, 1, 2, 1], [1, 3, 1, 2, 1, 3]], // six dimensions that do not merge
];

describe("arithmetic", () => {
  test.each(["add", "sub", "mul"] as const)("%s", (name) =>
    checkOp(name, w[name], reference[name], { shapes, tol: ulps(1) }),
  );
  // division: 2.5 units
  test("div", () => checkOp("div", w.div, reference.div, { shapes, range: [0.5, 3], tol: ulpsEach(4) }));
  test.each(["minimum", "maximum"] as const)("%s", (name) =>
    checkOp(name, w[name], reference[name], { shapes, distinct: true, tol: exact }),
  );
  test("pow", async () => {
    // exp2(b * log2(a)): both logarithm and product are a few units of |b log2 a| <= 3 off
    await checkOp("pow", w.pow, reference.pow, { shapes, range: [0.3, 2.5], tol: ulpsEach(24), gradTol: ulps(48) });
  });
  test("pow with whole exponents and negative numbers", async () => {
    const x = { shape: [6], data: Float64Array.of(-3, -1.5, -0.5, 0.5, 2, 0.1) };
    for (const n of [0, 1, 2, 3, 7, 20, -1, -2, -3]) {
      await checkOp(
        `pow ${n}`,
        (a) => w.pow(a, n),
        (a) => reference.map(a, (v) => v ** n),
        { inputs: [[x]], tol: ulpsEach(24), gradTol: ulpsEach(40) },
      );
    }
    expect([...(await w.pow(w.tensor([0, 0, 4, -1]), w.tensor([2.5, 0, 0.5, 129])).read())]).toEqual([0, 1, 2, -1]);
    expect(await w.pow(w.tensor([-2]), 0.5).item()).toBeNaN();
  });
  test("equal numbers share the gradient of minimum and maximum, as in PyTorch", async () => {
    for (const f of [w.minimum, w.maximum]) {
      const [a, b] = [w.tensor([1, 2], { requiresGrad: true }), w.tensor([1, 2], { requiresGrad: true })];
      w.backward(f(a, b), w.tensor([1, 4]));
      expect([...(await a.grad!.read()), ...(await b.grad!.read())]).toEqual([0.5, 2, 0.5, 2]);
    }
  });
});

test("numbers on either side, and their gradients", async () => {
  for (const name of ["add", "sub", "mul", "div", "minimum", "maximum", "pow"] as const) {
    const two = reference.scalar(2);
    const options = {
      shapes: [[1], [7], [2, 3, 5], [257]],
      range: [0.5, 3] as const,
      avoid: [2],
      tol: ulpsEach(24),
      gradTol: ulpsEach(40),
    };
    await checkOp(`${name}(x, 2)`, (x) => w[name](x, 2), (x) => reference[name](x, two), options);
    await checkOp(`${name}(2, x)`, (x) => w[name](2, x), (x) => reference[name](two, x), options);
  }
});

test("a tensor combined with itself", async () => {
  const x = w.tensor([1, -2, 3], { requiresGrad: true });
  w.backward(w.mul(x, x), w.ones([3]));
  expect([...(await x.grad!.read())]).toEqual([2, -4, 6]);
});

test("a number that changes makes no new kernel, nor does another batch size", async () => {
  await w.flush();
  const channel = w.ones([3, 1]);
  const run = (scale: number, n: number) => w.mul(w.mul(w.ones([n, 3, 8]), scale), channel).read();
  await run(1, 2);
  const before = gpu().pipelines.compiledCount;
  expect((await run(3, 5))[0]).toBe(3);
  expect(gpu().pipelines.compiledCount).toBe(before);
});

describe("comparison and choice", () => {
  test.each([
    ["equal", [0, 0, 1, 0, 0]],
    ["notEqual", [1, 1, 0, 1, 1]],
    ["less", [1, 1, 0, 0, 0]],
    ["lessEqual", [1, 1, 1, 0, 0]],
    ["greater", [0, 0, 0, 1, 1]],
    ["greaterEqual", [0, 0, 1, 1, 1]],
  ] as const)("%s", async (name, expected) => {
    const a = w.tensor([1, 2, 3, 4, 5], { requiresGrad: true });
    const y = w[name](a, w.tensor([5, 4, 3, 2, 1]));
    expect([...(await y.read())]).toEqual(expected);
    expect([...(await w[name](a, 3).read())]).toEqual(expected);
    expect(y.requiresGrad).toBe(false);
  });
  test("where", async () => {
    const pick = (c: reference.NdArray, p: reference.NdArray, q: reference.NdArray) => {
      const shape = reference.broadcastShapes(reference.broadcastShapes(c.shape, p.shape), q.shape);
      return reference.generate(shape, (i) => reference.atBroadcast(reference.atBroadcast(c, i) > 0 ? p : q, i));
    };
    const cases = [
      [[7], [7], [7]],
      [[2, 3, 5], [2, 3, 5], []],
      [
        [2, 1, 4, 8],
        [2, 3, 4, 8],
        [3, 1, 1],
      ],
      [[3], [2, 1], [2, 3]],
    ];
    await checkOp("where", (c, p, q) => w.where(w.greater(c, 0), p, q), pick, {
      shapes: cases,
      avoid: [0],
      grad: [false, true, true],
      tol: exact,
    });
  });
});

test("neighbouring dimensions are merged where every operand allows", () => {
  expect(mergeDims([2, 3, 4, 5], [[2, 3, 4, 5], [2, 3, 4, 5]])).toEqual({ dims: [120], strides: [[1], [1]] });
  expect(
    mergeDims(
      [2, 3, 4, 5],
      [
        [2, 3, 4, 5],
        [3, 1, 1],
      ],
    ),
  ).toEqual({
    dims: [2, 3, 20],
    strides: [
      [60, 20, 1],
      [0, 1, 0],
    ],
  });
  expect(mergeDims([1, 3, 1, 4], [[4], []])).toEqual({ dims: [3, 4], strides: [[0, 1], [0, 0]] });
  expect(mergeDims([1, 1], [[1], [1, 1]])).toEqual({ dims: [1], strides: [[0], [0]] });
});


test("errors", () => {
  checkThrows(() => w.add(w.zeros([2, 3]), w.zeros([2, 4])), "add: shapes [2, 3] and [2, 4] do not broadcast");
  checkThrows(() => w.mul(w.zeros([2]), NaN), "mul: b must be finite, got NaN");
  checkThrows(() => w.sub(w.tensor([1], { dtype: "u32" }), 1), "sub: a must be f32 or f16, got u32 [1]; cast it first");
  checkThrows(
    () => w.where(w.tensor([1], { dtype: "i32" }), 1, 2),
    "where: cond must be f32 or f16, got i32 [1]; cast it first",
  );
  const [a, b] = [w.zeros([2, 1, 2, 1, 2, 1, 2]), w.zeros([1, 2, 1, 2, 1, 2, 1])];
  checkThrows(
    () => w.add(a, b),
    "add: at most 6 separate dimensions, shapes [2, 1, 2, 1, 2, 1, 2], [1, 2, 1, 2, 1, 2, 1] have 7; reshape first",
  );
});
