import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { Rng, close, init, tensor, zeros } from "../../src/index.ts";
import { checkOp, checkThrows, exact } from "../check.ts";
import * as reference from "../reference/index.ts";
import type { NdArray } from "../reference/array.ts";

beforeAll(() => init());
afterAll(() => close());

// Everything here moves values unchanged: outputs are exact. Gradients that add several cotangents keep the default
// tolerance.
const move = { tol: exact };

test("reshape, flatten, squeeze and unsqueeze are views", async () => {
  await checkOp(
    "reshape",
    (x) => w.reshape(x, [-1, 5]),
    (x) => reference.reshape(x, [6, 5]),
    { shapes: [[2, 3, 5]], ...move },
  );
  const x = zeros([2, 1, 3, 1]);
  expect(w.view(x, [6]).storage).toBe(x.storage);
  expect(w.flatten(x).shape).toEqual([6]);
  expect(w.flatten(x, 1, -2).shape).toEqual([2, 3, 1]);
  expect(w.squeeze(x).shape).toEqual([2, 3]);
  expect(w.squeeze(x, -1).shape).toEqual([2, 1, 3]);
  expect(w.unsqueeze(x, 0).shape).toEqual([1, 2, 1, 3, 1]);
  expect(w.unsqueeze(x, -1).shape).toEqual([2, 1, 3, 1, 1]);
  expect(w.reshape(w.reshape(zeros([1]), []), [1, 1]).shape).toEqual([1, 1]);
  checkThrows(() => w.reshape(x, [4, -1]), "reshape: [2, 1, 3, 1] has 6 elements, which do not fit [4, -1]");
  checkThrows(() => w.reshape(x, [-1, -1]), "reshape: [2, 1, 3, 1] has 6 elements, which do not fit [-1, -1]");
  checkThrows(() => w.squeeze(x, 0), "squeeze: dim 0 of [2, 1, 3, 1] must have size 1, got 2");
  checkThrows(() => w.flatten(x, 2, 1), "flatten: start 2 lies after end 1 in [2, 1, 3, 1]");
});

test("permute and transpose", async () => {
  const orders: [number[], number[]][] = [
    [
      [3, 5],
      [1, 0],
    ],
    [
      [2, 3, 5, 7],
      [0, 2, 3, 1],
    ],
    [
      [2, 3, 4, 8],
      [2, 0, 1, 3],
    ], // last dimension stays: vectors of four
    [
      [2, 3, 2, 3, 2, 3],
      [5, 3, 1, 4, 2, 0],
    ],
    [
      [4, 1, 6],
      [1, 0, 2],
    ], // moves nothing
  ];
  for (const [shape, order] of orders) {
    await checkOp(
      "permute",
      (x) => w.permute(x, order),
      (x) => reference.permute(x, order),
      { shapes: [shape], ...move },
    );
  }
  await checkOp(
    "transpose",
    (x) => w.transpose(x),
    (x) => reference.permute(x, [0, 2, 1]),
    { shapes: [[2, 3, 5]], ...move },
  );
  const x = zeros([4, 1, 6]);
  expect(w.permute(x, [1, 0, 2]).storage).toBe(x.storage);
  checkThrows(
    () => w.permute(x, [0, 0, 2]),
    "permute: the order must name each dimension of [4, 1, 6] once, got [0, 0, 2]",
  );
});

test("concat of two, of many, on every dimension, in scalars and in vectors of four", async () => {
  const lists: [number[][], number][] = [
    [
      [
        [2, 3, 4, 4],
        [2, 5, 4, 4],
      ],
      1,
    ],
    [
      [
        [2, 3, 5],
        [2, 4, 5],
      ],
      1,
    ],
    [
      [
        [1, 5],
        [2, 5],
      ],
      0,
    ],
    [
      [
        [3, 2],
        [3, 7],
      ],
      -1,
    ],
    [
      [
        [2, 1, 4],
        [2, 2, 4],
        [2, 3, 4],
      ],
      1,
    ],
    [
      [
        [2, 1, 3],
        [2, 2, 3],
        [2, 3, 3],
        [2, 1, 3],
      ],
      1,
    ],
  ];
  for (const [shapes, dim] of lists) {
    await checkOp(
      "concat",
      (...list) => w.concat(list, dim),
      (...list) => reference.concat(list, dim),
      { shapes: [shapes], ...move },
    );
  }
  const ints = w.concat([tensor(new Int32Array([1, -2])), tensor(new Int32Array([7]))], 0);
  expect([ints.dtype, ...(await ints.read())]).toEqual(["i32", 1, -2, 7]);
  checkThrows(
    () => w.concat([zeros([2, 3]), zeros([3, 3])], 1),
    "concat: f32 [3, 3] and f32 [2, 3] must agree in all but dim 1",
  );
  checkThrows(() => w.concat([], 1), "concat: the list must hold at least one tensor");
});

test("stack", async () => {
  const expected = (a: NdArray, b: NdArray) =>
    reference.reshape(
      reference.concat(
        [a, b].map((x) => reference.reshape(x, [2, 3, 1])),
        2,
      ),
      [2, 3, 2],
    );
  await checkOp("stack", (a, b) => w.stack([a, b], -1), expected, {
    shapes: [
      [
        [2, 3],
        [2, 3],
      ],
    ],
    ...move,
  });
});

test("slice", async () => {
  const x = { shapes: [[4, 6, 5]], ...move };
  await checkOp(
    "slice",
    (t) => w.slice(t, { dim: 1, start: 2, end: 4 }),
    (t) => reference.slice(t, [0, 2, 0], [4, 4, 5]),
    x,
  );
  await checkOp(
    "slice",
    (t) => w.slice(t, { dim: 1, start: -2 }),
    (t) => reference.slice(t, [0, 4, 0], [4, 6, 5]),
    x,
  );
  await checkOp(
    "slice",
    (t) => w.slice(t, { ranges: [[1, 3], null, [0, 99]] }),
    (t) => reference.slice(t, [1, 0, 0], [3, 6, 5]),
    x,
  );
  await checkOp(
    "slice",
    (t) =>
      w.slice(t, {
        ranges: [
          [1, 3],
          [2, 5],
          [1, 4],
        ],
      }),
    (t) => reference.slice(t, [1, 2, 1], [3, 5, 4]),
    x,
  );
  await checkOp(
    "slice",
    (t) => w.slice(t, { dim: 1, start: 4, end: 8 }),
    (t) => reference.slice(t, [0, 4, 0], [2, 8, 4]),
    { shapes: [[2, 12, 4]], ...move },
  );
  const every = (t: NdArray) => reference.generate([4, 2, 3], ([i, j, k]) => reference.at(t, [i, 1 + 3 * j, 2 * k]));
  await checkOp("slice with steps", (t) => w.slice(t, { ranges: [null, [1, 6, 3], [0, 5, 2]] }), every, x);
  const t = zeros([2, 3]);
  expect(w.slice(t, { dim: 1 })).toBe(t);
  checkThrows(() => w.slice(t, { dim: 1, start: 2, end: 1 }), "slice: [2, 1) leaves nothing of dim 1 of [2, 3]");
  checkThrows(() => w.slice(t, { dim: 1, step: 0 }), "slice: the step must be a whole number above 0, got 0");
  checkThrows(() => w.slice(t, { dim: 2 }), "slice: dim 2 is outside a tensor of 2 dimensions");
});

test("split and chunk", async () => {
  const parts = (x: NdArray) => [
    reference.slice(x, [0, 0], [2, 3]),
    reference.slice(x, [0, 3], [2, 6]),
    reference.slice(x, [0, 6], [2, 7]),
  ];
  await checkOp("split", (x) => w.split(x, 3, 1), parts, { shapes: [[2, 7]], ...move });
  await checkOp("chunk", (x) => w.chunk(x, 3, 1), parts, { shapes: [[2, 7]], ...move });
  expect(w.split(zeros([5, 2]), [1, 4]).map((t) => t.shape)).toEqual([
    [1, 2],
    [4, 2],
  ]);
  checkThrows(() => w.split(zeros([5, 2]), [1, 3]), "split: sizes [1, 3] add up to 4 but dim 0 of [5, 2] has 5");
});

test("pad in every mode, in scalars and in vectors of four", async () => {
  for (const mode of ["constant", "reflect", "replicate", "circular"] as const) {
    const value = mode === "constant" ? -1.5 : 0;
    for (const [shape, amounts] of [
      [
        [2, 3, 5, 4],
        [1, 2, 2, 1],
      ],
      [
        [1, 2, 4, 8],
        [0, 0, 1, 2],
      ],
      [
        [2, 4, 4],
        [4, 4, 2, 0],
      ],
      [
        [3, 4],
        [1, 1, 2, 2],
      ],
    ] as const) {
      if (mode === "reflect" && amounts[0] === 4) continue; // a mirror shows one less than there is
      await checkOp(
        `pad ${mode}`,
        (x) => w.pad(x, amounts, { mode, value }),
        (x) => reference.pad(x, amounts, { mode, value }),
        { shapes: [shape], ...move },
      );
    }
  }
  await checkOp(
    "pad by negative amounts",
    (x) => w.pad(x, [-1, 2, 0, -1]),
    (x) => reference.pad(x, [-1, 2, 0, -1]),
    { shapes: [[3, 4]], ...move },
  );
  checkThrows(
    () => w.pad(zeros([2, 3]), [3, 0], { mode: "reflect" }),
    "pad: reflect cannot add [3, 0] to dim 1 of [2, 3]",
  );
  checkThrows(() => w.pad(zeros([2, 3]), [-2, -1]), "pad: constant cannot add [-2, -1] to dim 1 of [2, 3]");
  checkThrows(
    () => w.pad(zeros([2]), [1, 1, 1, 1]),
    "pad: amounts must be whole [before, after] pairs, at most one per dimension of [2], got [1, 1, 1, 1]",
  );
});

test("flip, pixelShuffle, broadcastTo", async () => {
  const flipped = (x: NdArray) => reference.generate(x.shape, ([i, j, k]) => reference.at(x, [i, 2 - j, 3 - k]));
  await checkOp("flip", (x) => w.flip(x, [1, -1]), flipped, { shapes: [[2, 3, 4]], ...move });
  await checkOp(
    "pixelShuffle",
    (x) => w.pixelShuffle(x, 2),
    (x) => reference.pixelShuffle(x, 2),
    { shapes: [[2, 8, 3, 5]], ...move },
  );
  checkThrows(
    () => w.pixelShuffle(zeros([1, 6, 2, 2]), 2),
    "pixelShuffle: x must be [N, C, H, W] with C a multiple of 2^2, got [1, 6, 2, 2]",
  );
  const repeated = (x: NdArray) => reference.generate([4, 2, 3, 5], (p) => reference.atBroadcast(x, p));
  await checkOp("broadcastTo", (x) => w.broadcastTo(x, [4, 2, 3, 5]), repeated, {
    shapes: [[2, 1, 5], [1, 3, 1], [5], [4, 1, 3, 1]],
    ...move,
  });
  expect(w.expand(zeros([2, 1]), [3, -1, 4]).shape).toEqual([3, 2, 4]);
  checkThrows(() => w.broadcastTo(zeros([2, 3]), [2, 4]), "broadcastTo: shapes [2, 3] and [2, 4] do not broadcast");
  checkThrows(() => w.broadcastTo(zeros([2, 3]), [3]), "broadcastTo: [2, 3] does not broadcast to [3]");
});

test("more elements than one axis of workgroups holds", async () => {
  const x = w.arange(65535 * 64 + 3); // scalars: one more workgroup than 65,535
  const y = await w.flip(x, 0).read();
  const rng = new Rng(1, "places");
  for (const i of [0, y.length - 1, ...Array.from({ length: 100 }, () => rng.integer(y.length))])
    expect(y[i]).toBe(y.length - 1 - i);
});
