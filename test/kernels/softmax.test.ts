// Softmax along any dimension, one thread, four lines or a workgroup per line, against float64.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { absolute, checkOp, checkThrows, either, ulps } from "../check.ts";
import * as reference from "../reference/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const cases: [number[], number][] = [
  [[1], 0],
  [[7], 0],
  [[257], 0], // a workgroup for one line
  [[2, 3, 5], 1],
  [[2, 3, 5], -1],
  [[2, 4, 6, 6], 1], // classes of voxels, four at a time
  [[2, 4, 5, 5], 1], // one at a time
  [[5, 40], 1], // a workgroup per line
  [[70, 33], 1], // a thread per line on software adapters
  [[3, 300, 4], 1],
];

// exp of differences up to 8: 3 + 2 * 8 units, and as many for the sum
const tol = ulps(40);

describe.each(cases)("%j along %d", (shape, dim) => {
  const options = {
    shapes: [shape],
    range: [-4, 4] as const,
    probes: 20,
    tol,
    gradTol: either(ulps(60), absolute(2e-7)),
  };
  test("softmax", () => checkOp("softmax", (x) => w.softmax(x, dim), (x) => reference.softmax(x, dim), options));
  test("logSoftmax", () =>
    checkOp(
      "logSoftmax",
      (x) => w.logSoftmax(x, dim),
      (x) => reference.logSoftmax(x, dim),
      options,
    ));
});

test("numbers far from zero do not overflow", async () => {
  const x = w.tensor([[1e30, 0, -1e30], [-3e38, -3e38, -3e38], [500, 499, -500]]);
  const y = [...(await w.softmax(x, 1).read())];
  expect(y.slice(0, 3)).toEqual([1, 0, 0]);
  y.slice(3, 6).forEach((v) => expect(v).toBeCloseTo(1 / 3, 6));
  expect(y[6]).toBeCloseTo(1 / (1 + Math.exp(-1)), 5);
  expect([...(await w.logSoftmax(w.tensor([1000, 0]), 0).read())]).toEqual([0, -1000]);
});

test("errors", () => {
  checkThrows(() => w.softmax(w.zeros([2, 3]), 2), "softmax: dim 2 is outside a tensor of 2 dimensions");
  checkThrows(
    () => w.logSoftmax(w.tensor([1], { dtype: "i32" }), 0),
    "logSoftmax: x must be f32 or f16, got i32 [1]; cast it first",
  );
});
