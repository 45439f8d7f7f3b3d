import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { coverage, makeFilter, sliceResizer, triangleWeight } from "../../src/kits/downsample.ts";
import type { FilterSpan, Weight } from "../../src/kits/downsample.ts";

/** The weights of every target pixel as a dense row over the source. */
function dense(span: FilterSpan, weight: Weight): number[][] {
  const { first, count, weights, width } = makeFilter(span, weight);
  return Array.from(first, (start, t) => {
    const row = new Array<number>(span.from).fill(0);
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

describe("makeFilter on a part of the axis", () => {
  it("a whole-pixel start at scale 1 is a shift, and what lies outside has no pixels", () => {
    const span = { from: 4, to: 4, start: -1, scale: 1, outside: "zero" } as const;
    const shifted = [
      [0, 0, 0, 0],
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
    ];
    expect(dense(span, triangleWeight)).toEqual(shifted);
    expect(dense(span, coverage)).toEqual(shifted);
    expect([...makeFilter(span, coverage).outside]).toEqual([1, 0, 0, 0]);
  });
  it("a start between pixels mixes neighbours; outside takes its share", () => {
    const span = { from: 3, to: 3, start: 0.25, scale: 1, outside: "zero" } as const;
    const mixed = [
      [0.75, 0.25, 0],
      [0, 0.75, 0.25],
      [0, 0, 0.75],
    ];
    expect(dense(span, triangleWeight)).toEqual(mixed);
    expect(dense(span, coverage)).toEqual(mixed);
    expect([...makeFilter(span, triangleWeight).outside]).toEqual([0, 0, 0.25]);
  });
  it("a scale of 1 goes by covered area at every pixel, however start + t is rounded", () => {
    dense({ from: 64, to: 60, start: 0.3, scale: 1, outside: "zero" }, coverage).forEach((row, t) => {
      expect(row[t]).toBeCloseTo(0.7, 12);
      expect(row[t + 1]).toBeCloseTo(0.3, 12);
    });
  });
  it("shrinking widens the triangle", () => {
    // Half-width 2 about 1: 1/4, 3/4, 3/4, 1/4 over pixels -1 to 2, in all 2.
    const row = dense({ from: 4, to: 1, start: 0, scale: 2, outside: "zero" }, triangleWeight)[0];
    expect(row).toEqual([0.375, 0.375, 0.125, 0]);
  });
  it("repeating instead divides by what is inside", () => {
    const row = dense({ from: 4, to: 1, start: 0, scale: 2 }, triangleWeight)[0];
    row.forEach((v, i) => expect(v).toBeCloseTo([3 / 7, 3 / 7, 1 / 7, 0][i], 15));
  });
});

it("refuses empty sizes", () => {
  expect(() => sliceResizer([0, 4], [2, 2], [0, 1])).toThrow(ShapeError);
  expect(() => sliceResizer([0, 4], [2, 2], [0, 1])).toThrow(
    "sliceResizer: sizes must be positive whole numbers, found [0,4] to [2,2]",
  );
});
