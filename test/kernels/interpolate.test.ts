// Resizing against float64 loops and central differences: up, down, to one pixel and from one pixel.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, interpolate, step, tensor, zeros } from "../../src/index.ts";
import type { InterpolateOptions } from "../../src/index.ts";
import { checkOp, checkThrows, ulps } from "../check.ts";
import * as reference from "../reference/interpolate.ts";

beforeAll(() => init());
afterAll(() => close());

const SIZES: { shape: number[]; size: number[] }[] = [
  { shape: [2, 3, 4, 5], size: [8, 10] },
  { shape: [1, 5, 7, 5], size: [3, 8] },
  { shape: [1, 2, 1, 1], size: [3, 4] },
  { shape: [2, 1, 6, 8], size: [1, 1] },
  { shape: [1, 1, 5, 5], size: [5, 5] },
  { shape: [1, 2, 9, 10], size: [4, 20] },
  { shape: [1, 2, 3, 4, 5], size: [6, 3, 8] },
  { shape: [2, 1, 1, 3, 4], size: [4, 3, 2] },
  { shape: [1, 1, 4, 3, 3], size: [1, 7, 7] },
];
const SCALES: { shape: number[]; scale: number | number[] }[] = [
  { shape: [1, 2, 5, 4], scale: 2 },
  { shape: [1, 2, 5, 5], scale: 1.5 },
  { shape: [1, 1, 7, 9], scale: [0.5, 1.3] },
  { shape: [1, 1, 6, 6], scale: Math.SQRT2 },
  { shape: [1, 2, 3, 4, 2], scale: [2, 1, 2.5] },
];

async function check(shape: number[], options: InterpolateOptions): Promise<void> {
  // A gradient gathers up to a whole plane of small weights.
  await checkOp(
    `interpolate ${JSON.stringify(options)}`,
    (x) => interpolate(x, options),
    (x) => reference.interpolate(x, options),
    {
      shapes: [shape],
      // Math.SQRT2 is taken as a fraction with a denominator up to 4096, off by at most 2^-24.
      tol: ulps(16),
      gradTol: ulps(32),
    },
  );
}

describe("interpolate", () => {
  it("agrees with float64 loops for a given size", async () => {
    for (const { shape, size } of SIZES) {
      await check(shape, { size, mode: "nearest" });
      await check(shape, { size, mode: "linear" });
      await check(shape, { size, mode: "linear", alignCorners: true });
    }
  });

  it("agrees with float64 loops for a given scale", async () => {
    for (const { shape, scale } of SCALES) {
      await check(shape, { scale, mode: "nearest" });
      await check(shape, { scale, mode: "linear" });
    }
  });

  it("takes the nearest pixel without rounding errors at any size", async () => {
    // In float32, 41 * (3 / 123) falls just below 1 and would pick pixel 0.
    for (const [n, out] of [
      [3, 123],
      [7, 707],
      [49, 1000],
    ]) {
      const y = await step(() =>
        interpolate(
          tensor(
            Float32Array.from({ length: n }, (_, i) => i),
            { shape: [1, 1, 1, n] },
          ),
          { size: [1, out], mode: "nearest" },
        ),
      );
      expect(await y.read()).toEqual(
        Float32Array.from({ length: out }, (_, o) => Number((BigInt(o) * BigInt(n)) / BigInt(out))),
      );
    }
  });

  it("says what does not fit", () => {
    const x = zeros([1, 2, 4, 6]);
    checkThrows(
      () => interpolate(zeros([2, 4, 6]), { scale: 2, mode: "linear" }),
      "interpolate: x must have 4 or 5 dimensions [N, C, (D,) H, W], got [2, 4, 6]",
    );
    checkThrows(() => interpolate(x, { mode: "linear" }), "interpolate: exactly one of size and scale must be given");
    checkThrows(
      () => interpolate(x, { scale: 2, size: [2, 2], mode: "linear" }),
      "interpolate: exactly one of size and scale must be given",
    );
    checkThrows(
      () => interpolate(x, { scale: -1, mode: "linear" }),
      "interpolate: scale must be one number above 0, or 2 of them, got [-1, -1]",
    );
    checkThrows(
      () => interpolate(x, { scale: 0.1, mode: "linear" }),
      "interpolate: the output size must be 2 whole numbers above 0, got [0, 0] for x [1, 2, 4, 6]",
    );
    checkThrows(
      () => interpolate(x, { size: [2], mode: "linear" }),
      "interpolate: the output size must be 2 whole numbers above 0, got [2] for x [1, 2, 4, 6]",
    );
    checkThrows(
      () => interpolate(x, { scale: 2, mode: "nearest", alignCorners: true }),
      'interpolate: alignCorners needs mode "linear"',
    );
    checkThrows(
      () => interpolate(x, { scale: 2, mode: "cubic" as "linear" }),
      'interpolate: mode must be "nearest" or "linear", got "cubic"',
    );
  });
});
