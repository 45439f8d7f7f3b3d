// Reductions: any set of dimensions, rows and columns, short and long, one pass and several, against float64.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { absolute, checkOp, checkThrows, either, exact, ulps } from "../check.ts";
import * as reference from "../reference/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

interface Case {
  shape: number[];
  dims?: number | number[];
}

const small: Case[] = [
  { shape: [1] },
  { shape: [7] },
  { shape: [257] },
  { shape: [2, 3, 5] },
  { shape: [2, 3, 5], dims: 1 },
  { shape: [2, 3, 8], dims: [1] }, // columns, vec4
  { shape: [2, 3, 5], dims: -1 },
  { shape: [2, 3, 5], dims: [0, 2] }, // two groups
  { shape: [2, 3, 4, 5], dims: [0, 2, 3] }, // the gradient of a bias
  { shape: [2, 1, 3, 1], dims: [1, 3] }, // nothing to add
  { shape: [2, 3, 2, 3, 2], dims: [0, 2, 4] },
];
// Past the sizes where another kernel, or another pass, is chosen.
const large: Case[] = [
  { shape: [3, 4099], dims: 1 }, // rows of several chunks, not aligned
  { shape: [3, 4100], dims: 1 }, // aligned
  { shape: [4099] },
  { shape: [5000, 20], dims: 1 }, // a thread per short row
  { shape: [300, 5], dims: 0 }, // columns in two passes
  { shape: [5000, 8], dims: 0 }, // columns in three passes, vec4
  { shape: [2, 3, 33, 35], dims: [0, 2, 3] },
];

// Sums of n terms of size 1: each partial sum is rounded once, in a tree, so a few units of the sum of |terms|.
const sumTol = either(ulps(16), absolute(1e-4));

const dimsOf = ({ dims }: Case) => ({ dims: dims === undefined ? undefined : [dims].flat() });

async function check(
  name: "sum" | "mean" | "max" | "min" | "logSumExp" | "norm",
  c: Case,
  options: Parameters<typeof checkOp>[3],
): Promise<void> {
  for (const keepDim of large.includes(c) ? [false] : [false, true]) {
    await checkOp(
      `${name} ${c.dims}`,
      (x) => w[name](x, { dims: c.dims, keepDim }),
      (x) => reference[name](x, { ...dimsOf(c), keepDim }),
      {
        shapes: [c.shape],
        probes: 8,
        ...options,
      },
    );
  }
}

describe.each([...small, ...large])("$shape over $dims", (c) => {
  test("sum", () => check("sum", c, { tol: sumTol }));
  test("mean", () => check("mean", c, { tol: either(ulps(16), absolute(1e-6)), gradTol: ulps(4) }));
  test("max", () => check("max", c, { distinct: true, tol: exact }));
  test("min", () => check("min", c, { distinct: true, tol: exact }));
  test("variance", async () => {
    const n = c.shape.length === 1 && c.shape[0] === 1;
    for (const correction of n || c.shape.length === 4 ? [0] : [0, 1]) {
      const f = (x: reference.NdArray) => reference.variance(x, { ...dimsOf(c), correction });
      await checkOp("variance", (x) => w.variance(x, { dims: c.dims, correction }), f, {
        shapes: [c.shape],
        probes: 8,
        tol: ulps(32),
        gradTol: ulps(64),
      });
    }
  });
  // log and exp: several units each
  test("logSumExp", () => check("logSumExp", c, { tol: ulps(16), gradTol: ulps(64) }));
  test("norm", () => check("norm", c, { tol: ulps(16), gradTol: ulps(32) }));
});

test("logSumExp of numbers far from zero", async () => {
  const x = w.tensor([1000, 1001, -1000], { requiresGrad: true });
  const y = w.logSumExp(x);
  w.backward(y);
  expect(await y.item()).toBeCloseTo(1001 + Math.log(1 + Math.exp(-1)), 3);
  expect([...(await x.grad!.read())].map((v) => v.toFixed(4))).toEqual(["0.2689", "0.7311", "0.0000"]);
});

test("equal numbers share the gradient of max and min evenly, as PyTorch's amax", async () => {
  for (const f of [w.max, w.min]) {
    const x = w.tensor([[5, 5, 5, 5], [1, 2, 2, 1]], { requiresGrad: true });
    w.backward(f(x, { dims: 1 }), w.tensor([1, 1]));
    const second = f === w.max ? [0, 0.5, 0.5, 0] : [0.5, 0, 0, 0.5];
    expect([...(await x.grad!.read())]).toEqual([0.25, 0.25, 0.25, 0.25, ...second]);
  }
});

test("the gradient of a zero norm is zero", async () => {
  const x = w.zeros([5], { requiresGrad: true });
  w.backward(w.norm(x));
  expect([...(await x.grad!.read())]).toEqual([0, 0, 0, 0, 0]);
});

describe("argmax", () => {
  test.each([
    [[7], 0],
    [[2, 3, 5], 1],
    [[2, 3, 5], -1],
    [[4, 70], 1], // shared lines
    [[3, 100, 5], 1],
    [[2, 4, 257], 1],
  ] as [number[], number][])("%j along %d", (shape, dim) =>
    checkOp(
      "argmax",
      (x) => w.argmax(x, { dim }),
      (x) => reference.argmax(x, { dim }),
      { shapes: [shape], grad: false, tol: exact },
    ),
  );
  test("the first of equal ones, in short and in long lines, and over everything", async () => {
    const line = Array.from({ length: 200 }, (_, i) => (i === 130 || i === 70 ? 9 : -1));
    expect([...(await w.argmax(w.tensor([[1, 3, 3], [2, 2, 2]]), { dim: 1 }).read())]).toEqual([1, 0]);
    const y = w.argmax(w.tensor([line, line]), { dim: 1, keepDim: true });
    expect(y.shape).toEqual([2, 1]);
    expect(y.dtype).toBe("i32");
    expect([...(await y.read())]).toEqual([70, 70]);
    expect(await w.argmax(w.tensor([line, line])).item()).toBe(70);
  });
});

test("a long sum is exact to a few units and the same every time", async () => {
  const n = 5_000_001;
  const data = new Float32Array(n);
  const rng = new w.Rng(1);
  for (let i = 0; i < n; i++) data[i] = rng.uniform();
  const expected = data.reduce((s, v) => s + v, 0); // reduce() adds in float64
  const x = w.tensor(data);
  const a = await w.sum(x).item();
  expect(Math.abs(a - expected) / expected).toBeLessThan(4 * 2 ** -23);
  expect(await w.sum(x).item()).toBe(a);
});

test("more workgroups than one axis of the grid takes, by rows and by columns", async () => {
  const [rows, columns] = await w.step(() => [
    w.sum(w.full([66_001, 260], 0.5), { dims: 1 }), // 66 MiB; rows where a GPU has many workgroups at once
    w.sum(w.full([2, 2, 4_195_001], 0.5), { dims: 1 }), // 64 MiB; one thread per result
  ]);
  expect((await rows.read()).every((v) => v === 130)).toBe(true);
  expect((await columns.read()).every((v) => v === 1)).toBe(true);
});

test("errors", () => {
  const x = w.zeros([2, 3]);
  checkThrows(() => w.sum(x, { dims: 2 }), "sum: dim 2 is outside a tensor of 2 dimensions");
  checkThrows(() => w.mean(x, { dims: [0, -2] }), "mean: dims must name each dimension once, got [0, -2]");
  checkThrows(() => w.max(w.tensor([1], { dtype: "i32" })), "max: x must be f32 or f16, got i32 [1]; cast it first");
  checkThrows(() => w.variance(w.zeros([1])), "variance: correction must be below the 1 numbers per result, got 1");
  checkThrows(() => w.argmax(x, { dim: -3 }), "argmax: dim -3 is outside a tensor of 2 dimensions");
});
