import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { coverage, makeFilter, sliceResizer, triangleWeight, type Weight } from "../../src/kits/downsample.ts";

/** The weights of every target pixel as a dense row over the source. */
function dense(from: number, to: number, weight: Weight): number[][] {
  const { first, count, weights, width } = makeFilter(from, to, weight);
  return Array.from(first, (start, t) => {
    const row = new Array<number>(from).fill(0);
    for (let k = 0; k < count[t]; k++) row[start + k] = weights[t * width + k];
    return row;
  });
}

it("whole slices give the same bytes as when the cache's VERSION was set", () => {
  const hash = createHash("sha256");
  for (const [from, to] of [
    [
      [97, 64],
      [32, 48],
    ],
    [
      [20, 31],
      [64, 17],
    ],
  ] as const) {
    const n = from[0] * from[1];
    const resizer = sliceResizer(from, to, [-130, 410]);
    const out = new Uint8Array(to[0] * to[1]);
    const hu = Int16Array.from({ length: n }, (_, i) => (Math.imul(i, 7919) % 1500) - 500);
    resizer.image(hu, out);
    hash.update(out);
    const labels = Uint8Array.from({ length: n }, (_, i) => Math.floor(i / 5) % 4);
    resizer.label(labels, out);
    hash.update(out);
  }
  // If this fails on purpose, raise VERSION in preprocess.ts: old caches no longer hold what their options say.
  expect(hash.digest("hex")).toBe("9f1e8a78e1e32299c58dd8ffa8ba639b22d1ae05ce6b4d6dcd66d1585ac5a86b");
});

describe("makeFilter", () => {
  it("keeps every pixel at the same size", () => {
    const same = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    expect(dense(3, 3, triangleWeight)).toEqual(same);
    expect(dense(3, 3, coverage)).toEqual(same);
  });
  it("shrinking widens the triangle, and the border divides by what is inside", () => {
    // Half-width 2 about 1: 1/4, 3/4, 3/4, 1/4 over pixels -1 to 2.
    const [row] = dense(4, 2, triangleWeight);
    row.forEach((v, i) => expect(v).toBeCloseTo([3 / 7, 3 / 7, 1 / 7, 0][i], 15));
  });
  it("shrinking shares pixels by the area covered", () => {
    expect(dense(3, 2, coverage)).toEqual([
      [2 / 3, 1 / 3, 0],
      [0, 1 / 3, 2 / 3],
    ]);
  });
});

it("refuses empty sizes", () => {
  expect(() => sliceResizer([0, 4], [2, 2], [0, 1])).toThrow(ShapeError);
  expect(() => sliceResizer([0, 4], [2, 2], [0, 1])).toThrow(
    "sliceResizer: sizes must be positive whole numbers, found [0,4] to [2,2]",
  );
});
