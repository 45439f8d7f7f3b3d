// Pooling against float64 loops and central differences: windows that tile, leave a rest, overlap, skip and
// hang over.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  avgPool2d,
  avgPool3d,
  backward,
  close,
  globalAvgPool,
  init,
  maxPool2d,
  maxPool3d,
  step,
  sum,
  tensor,
  zeros,
} from "../../src/index.ts";
import type { MaxPoolOptions } from "../../src/index.ts";
import { checkOp, checkThrows, exact, ulps } from "../check.ts";
import { type NdArray, array, generate, perAxis, sizeOf } from "../reference/array.ts";
import * as reference from "../reference/pool.ts";

beforeAll(() => init());
afterAll(() => close());

const CASES_2D: { shape: number[]; options: MaxPoolOptions }[] = [
  { shape: [2, 3, 8, 12], options: { kernelSize: 2 } }, // tiles
  { shape: [1, 33, 7, 5], options: { kernelSize: 2 } }, // leaves a row and a column
  { shape: [1, 1, 1, 1], options: { kernelSize: 1 } },
  { shape: [2, 2, 7, 5], options: { kernelSize: 3, stride: 2, padding: 1 } }, // overlaps
  { shape: [1, 2, 6, 9], options: { kernelSize: [2, 3], stride: [1, 2], padding: [1, 0] } },
  { shape: [1, 2, 9, 9], options: { kernelSize: 2, stride: 3 } }, // skips
  { shape: [1, 2, 7, 5], options: { kernelSize: 2, ceilMode: true } }, // hangs over
  { shape: [1, 1, 5, 5], options: { kernelSize: 3, stride: 2, padding: 1, ceilMode: true } },
];
const CASES_3D: { shape: number[]; options: MaxPoolOptions }[] = [
  { shape: [1, 2, 4, 6, 4], options: { kernelSize: 2 } },
  { shape: [2, 1, 5, 4, 7], options: { kernelSize: [1, 2, 3], stride: [1, 2, 2], padding: [0, 1, 1] } },
];

/** Max pooling with dilation in float64, which reference/pool.ts leaves out. */
function dilatedMaxPool(x: NdArray, kernel: number, dilation: number): NdArray {
  const extent = dilation * (kernel - 1) + 1;
  const space = x.shape.slice(2);
  const offsets = perAxis(0, kernel).map((_, k) => k * dilation);
  return generate([...x.shape.slice(0, 2), ...space.map((n) => n - extent + 1)], ([n, c, h, w]) => {
    const at = (dh: number, dw: number): number =>
      x.data[((n * x.shape[1] + c) * space[0] + h + dh) * space[1] + w + dw];
    return Math.max(...offsets.flatMap((dh) => offsets.map((dw) => at(dh, dw))));
  });
}

describe("maxPool", () => {
  // distinct: central differences need a maximum that stays where it is. Values are chosen, not computed, so every bit
  // is right; a gradient is a sum of at most 9 cotangents.
  const strict = { distinct: true, tol: exact, gradTol: ulps(8) };

  it("agrees with float64 loops", async () => {
    for (const { shape, options } of CASES_2D) {
      await checkOp(
        "maxPool2d",
        (x) => maxPool2d(x, options),
        (x) => reference.maxPool(x, options),
        { shapes: [shape], ...strict },
      );
    }
    for (const { shape, options } of CASES_3D) {
      await checkOp(
        "maxPool3d",
        (x) => maxPool3d(x, options),
        (x) => reference.maxPool(x, options),
        { shapes: [shape], ...strict },
      );
    }
  });

  it("takes dilated windows", async () => {
    const options = { kernelSize: 2, stride: 1, dilation: 2 };
    await checkOp(
      "maxPool2d",
      (x) => maxPool2d(x, options),
      (x) => dilatedMaxPool(x, 2, 2),
      { shapes: [[2, 2, 7, 6]], ...strict },
    );
  });

  it("gives the gradient of equal values to the first one", async () => {
    for (const options of [{ kernelSize: 2 }, { kernelSize: 2, stride: 1 }]) {
      const x = tensor(new Float32Array(16), { shape: [1, 1, 4, 4], requiresGrad: true });
      await step(() => backward(sum(maxPool2d(x, options))));
      const expected = new Float32Array(16);
      const windows = (options.stride ?? 2) === 2 ? [0, 2, 8, 10] : [0, 1, 2, 4, 5, 6, 8, 9, 10];
      for (const i of windows) expected[i] = 1;
      expect(await x.grad!.read()).toEqual(expected);
    }
  });

  it("never lets padding win, and takes values far below zero", async () => {
    const y = await step(() =>
      maxPool2d(
        tensor([
          [
            [
              [-3e38, -2e38],
              [-1e38, -3e38],
            ],
          ],
        ]),
        { kernelSize: 3, stride: 1, padding: 1 },
      ),
    );
    expect(await y.read()).toEqual(new Float32Array(4).fill(-1e38));
  });
});

describe("avgPool", () => {
  it("agrees with float64 loops", async () => {
    for (const countIncludePad of [true, false]) {
      for (const { shape, options } of CASES_2D) {
        const o = { ...options, countIncludePad };
        await checkOp(
          "avgPool2d",
          (x) => avgPool2d(x, o),
          (x) => reference.avgPool(x, o),
          { shapes: [shape] },
        );
      }
      for (const { shape, options } of CASES_3D) {
        const o = { ...options, countIncludePad };
        await checkOp(
          "avgPool3d",
          (x) => avgPool3d(x, o),
          (x) => reference.avgPool(x, o),
          { shapes: [shape] },
        );
      }
    }
  });
});

describe("globalAvgPool and adaptiveAvgPool", () => {
  const mean = (x: NdArray): NdArray => {
    const size = sizeOf(x.shape.slice(2));
    const sums = array([...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)]);
    x.data.forEach((v, i) => (sums.data[Math.floor(i / size)] += v / size));
    return sums;
  };

  it("agree with float64 loops", async () => {
    // A mean of up to 32,000 values of both signs is far smaller than its terms: the tolerance follows the terms, at
    // most 2.
    const shapes = [
      [2, 3, 7, 5],
      [1, 33, 1, 1],
      [3, 1, 4, 6],
      [2, 2, 3, 4, 5],
      [1, 2, 9],
      [1, 1, 160, 200],
    ];
    await checkOp("globalAvgPool", globalAvgPool, mean, { shapes, tol: () => 2 ** -21 });
    await checkOp("adaptiveAvgPool2d", (x) => adaptiveAvgPool2d(x, 1), mean, {
      shapes: [[2, 3, 7, 5]],
      tol: () => 2 ** -21,
    });
    await checkOp(
      "adaptiveAvgPool2d",
      (x) => adaptiveAvgPool2d(x, [2, 3]),
      (x) => reference.avgPool(x, { kernelSize: [3, 2] }),
      { shapes: [[2, 3, 6, 6]] },
    );
    await checkOp(
      "adaptiveAvgPool3d",
      (x) => adaptiveAvgPool3d(x, 2),
      (x) => reference.avgPool(x, { kernelSize: [2, 3, 1] }),
      { shapes: [[1, 2, 4, 6, 2]] },
    );
  });
});

describe("errors", () => {
  it("say what does not fit", () => {
    const x = zeros([1, 2, 4, 6]);
    checkThrows(
      () => maxPool2d(zeros([2, 4, 6]), { kernelSize: 2 }),
      "maxPool2d: x must have 4 dimensions [N, C, H, W], got [2, 4, 6]",
    );
    checkThrows(
      () => avgPool3d(x, { kernelSize: 2 }),
      "avgPool3d: x must have 5 dimensions [N, C, D, H, W], got [1, 2, 4, 6]",
    );
    checkThrows(
      () => maxPool2d(zeros([1, 2, 4, 6], { dtype: "i32" }), { kernelSize: 2 }),
      "maxPool2d: x must be f32 or f16, got i32 [1, 2, 4, 6]; cast it first",
    );
    checkThrows(
      () => maxPool2d(x, { kernelSize: 0 }),
      "maxPool2d: kernelSize must be one whole number of at least 1, or 2 of them, got 0",
    );
    checkThrows(
      () => maxPool2d(x, { kernelSize: [2, 2, 2] }),
      "maxPool2d: kernelSize must be one whole number of at least 1, or 2 of them, got [2, 2, 2]",
    );
    checkThrows(
      () => maxPool2d(x, { kernelSize: 2, padding: 2 }),
      "maxPool2d: padding must be at most half the kernel, got padding [2, 2] and kernelSize [2, 2]",
    );
    checkThrows(
      () => avgPool2d(x, { kernelSize: 5 }),
      "avgPool2d: the window [5, 5] is larger than x [1, 2, 4, 6] with padding [0, 0]",
    );
    checkThrows(
      () => globalAvgPool(zeros([2, 3])),
      "globalAvgPool: x must have at least 3 dimensions [N, C, ...], got [2, 3]",
    );
    checkThrows(
      () => adaptiveAvgPool2d(x, 3),
      "adaptiveAvgPool2d: every size of x must be a multiple of outputSize, " +
        "got x [1, 2, 4, 6] and outputSize [3, 3]; use interpolate or avgPool",
    );
  });
});
