import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { close, init, matmul, zeros } from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { checkOp, checkThrows, ulps } from "../check.ts";
import * as reference from "../reference/index.ts";
import type { NdArray } from "../reference/array.ts";

beforeAll(() => init());
afterAll(() => close());

// Sums of up to 100 products of values in [-2, 2]: errors of a random walk, below 32 units of the largest result.
const tol = { tol: ulps(32), gradTol: ulps(32) };

const swapped = (x: NdArray) => {
  const order = x.shape.map((_, d) => d);
  return reference.permute(x, [...order.slice(0, -2), order.length - 1, order.length - 2]);
};

/** Runs `check` with the kernels of this adapter, then with the portable ones. */
function onBothFamilies(name: string, check: () => Promise<void>): void {
  test(name, check);
  test(`${name}, portable kernels`, async () => {
    const info = gpu().info as { subgroupSize: number };
    const size = info.subgroupSize;
    info.subgroupSize = 0;
    try {
      await check();
    } finally {
      info.subgroupSize = size;
    }
  });
}

describe("matmul", () => {
  onBothFamilies("odd shapes and both sides of each tile", async () => {
    const shapes = [
      [1, 1, 1],
      [3, 5, 7],
      [16, 16, 16],
      [17, 9, 33],
      [33, 8, 65],
      [65, 100, 70],
      [2, 64, 130],
    ];
    await checkOp("matmul", (a, b) => matmul(a, b), reference.matmul, {
      shapes: shapes.map(([m, k, n]) => [
        [m, k],
        [k, n],
      ]),
      probes: 8,
      ...tol,
    });
  });

  onBothFamilies("transposed operands", async () => {
    await checkOp(
      "aT b",
      (a, b) => matmul(a, b, { transposeA: true }),
      (a, b) => reference.matmul(swapped(a), b),
      {
        shapes: [
          [
            [5, 19],
            [5, 11],
          ],
          [
            [2, 5, 19],
            [5, 11],
          ],
        ],
        ...tol,
      },
    );
    await checkOp(
      "a bT",
      (a, b) => matmul(a, b, { transposeB: true }),
      (a, b) => reference.matmul(a, swapped(b)),
      {
        shapes: [
          [
            [19, 5],
            [11, 5],
          ],
          [
            [2, 19, 5],
            [2, 11, 5],
          ],
        ],
        ...tol,
      },
    );
    await checkOp(
      "aT bT",
      (a, b) => matmul(a, b, { transposeA: true, transposeB: true }),
      (a, b) => reference.matmul(swapped(a), swapped(b)),
      {
        shapes: [
          [
            [5, 19],
            [11, 5],
          ],
        ],
        ...tol,
      },
    );
  });

  onBothFamilies("batches that broadcast", async () => {
    const shapes = [
      [
        [3, 4, 5],
        [3, 5, 6],
      ],
      [
        [2, 3, 4, 5],
        [5, 6],
      ],
      [
        [4, 5],
        [3, 5, 6],
      ],
      [
        [2, 1, 4, 5],
        [3, 5, 6],
      ],
      [
        [2, 1, 3, 1, 4, 5],
        [1, 2, 1, 2, 5, 2],
      ],
    ];
    await checkOp("matmul", (a, b) => matmul(a, b), reference.matmul, { shapes, probes: 20, ...tol });
  });

  test("vectors", async () => {
    const dot = (a: NdArray, b: NdArray) =>
      reference.reshape(reference.matmul(reference.reshape(a, [1, 5]), reference.reshape(b, [5, 1])), []);
    await checkOp("dot", (a, b) => matmul(a, b), dot, { shapes: [[[5], [5]]], ...tol });
    expect(matmul(zeros([2, 3, 5]), zeros([5])).shape).toEqual([2, 3]);
    expect(matmul(zeros([5]), zeros([2, 5, 4])).shape).toEqual([2, 4]);
  });

  test("messages", () => {
    checkThrows(
      () => matmul(zeros([2, 3]), zeros([2, 3])),
      "matmul: the inner dimensions must agree, got a [2, 3] and b [2, 3]",
    );
    checkThrows(
      () => matmul(zeros([2, 3]), zeros([2, 4]), { transposeA: true, transposeB: true }),
      "matmul: the inner dimensions must agree, got a [2, 3] and b [2, 4], a transposed, b transposed",
    );
    checkThrows(() => matmul(zeros([2, 2, 3]), zeros([3, 3, 2])), "matmul: shapes [2] and [3] do not broadcast");
    checkThrows(
      () => matmul(zeros([2, 3], { dtype: "i32" }), zeros([3, 2])),
      "matmul: a must be f32 or f16, got i32 [2, 3]; cast it first",
    );
  });
});

describe("linear", () => {
  onBothFamilies("few rows, many rows, leading dimensions, no bias", async () => {
    const shapes = [
      [[4, 64], [3, 64], [3]],
      [[9, 40], [70, 40], [70]],
      [[2, 3, 5], [4, 5], [4]],
      [[40, 12], [6, 12], [6]],
    ];
    await checkOp("linear", (x, m, b) => w.linear(x, m, b), reference.linear, { shapes, probes: 20, ...tol });
    await checkOp(
      "linear without bias",
      (x, m) => w.linear(x, m),
      (x, m) => reference.linear(x, m),
      {
        shapes: [
          [
            [7, 33],
            [2, 33],
          ],
        ],
        ...tol,
      },
    );
  });

  test("messages", () => {
    checkThrows(
      () => w.linear(zeros([2, 4]), zeros([3, 5])),
      "linear: x must end in the 5 inputs of w, got x [2, 4] and w [3, 5]",
    );
    checkThrows(
      () => w.linear(zeros([2, 5]), zeros([3, 5]), zeros([2])),
      "linear: b must have shape [3] for w [3, 5], got [2]",
    );
  });
});
