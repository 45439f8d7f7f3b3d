import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../src/errors.ts";
import { squaredDistances } from "../../src/kits/distance.ts";
import { Rng } from "../../src/random.ts";

/** Every grid point against every point. */
function bruteForce(points: readonly number[], [d, h, w]: number[], spacing: number[]): Float64Array {
  const at = (i: number) => [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
  return Float64Array.from({ length: d * h * w }, (_, i) => {
    let nearest = Infinity;
    for (const point of points) {
      const squares = at(i).map((v, axis) => ((v - at(point)[axis]) * spacing[axis]) ** 2);
      nearest = Math.min(nearest, squares[0] + squares[1] + squares[2]);
    }
    return nearest;
  });
}

describe("squaredDistances", () => {
  // Lines of one, a few, and around sixteen and thirty-two columns: the transform works on sixteen columns at a time.
  const shapes = [
    [1, 1, 1],
    [1, 1, 40],
    [23, 1, 1],
    [1, 19, 2],
    [5, 7, 3],
    [6, 5, 15],
    [4, 9, 16],
    [7, 4, 17],
    [3, 5, 33],
    [12, 13, 11],
  ];
  const spacings = [
    [1, 1, 1],
    [5, 0.822265625, 0.822265625],
    [0.5, 0.92, 0.3],
    [0.1, 3, 7],
  ];
  for (const spacing of spacings) {
    it(`agrees with brute force on random points, spacing ${spacing.join(" x ")} mm`, () => {
      const rng = new Rng(7, spacing.join());
      for (const shape of shapes) {
        const voxels = shape[0] * shape[1] * shape[2];
        for (const density of [0, 1 / voxels, 0.02, 0.5]) {
          const points = Array.from({ length: voxels }, (_, i) => i).filter(() => rng.uniform() < density);
          if (density > 0 && points.length === 0) points.push(rng.integer(voxels));
          const found = squaredDistances(points, shape, spacing);
          const expected = bruteForce(points, shape, spacing);
          for (let i = 0; i < voxels; i++) {
            if (expected[i] === found[i]) continue; // also Infinity, when there are no points
            // The same three squares, added in another order: a few ULP of float64.
            if (!(Math.abs(found[i] - expected[i]) <= 4 * Number.EPSILON * expected[i])) {
              expect.fail(`[${shape}], density ${density}, point ${i}: found ${found[i]}, expected ${expected[i]}`);
            }
          }
        }
      }
    });
  }

  it("gives the same values where only some are wanted", () => {
    const rng = new Rng(3);
    const shape = [6, 7, 40];
    const points = Array.from({ length: 30 }, () => rng.integer(6 * 7 * 40));
    const all = squaredDistances(points, shape, [3, 1, 0.5]);
    for (const wanted of [[0], [1679], [15, 16, 900, 1100], points]) {
      const some = squaredDistances(points, shape, [3, 1, 0.5], wanted);
      expect(wanted.map((i) => some[i])).toEqual(wanted.map((i) => all[i]));
    }
  });

  it("is Infinity everywhere without points, and 0 on points", () => {
    expect([...squaredDistances([], [1, 2, 2], [1, 1, 1])]).toEqual([Infinity, Infinity, Infinity, Infinity]);
    expect([...squaredDistances([3], [1, 2, 2], [9, 2, 1])]).toEqual([5, 4, 1, 0]);
  });

  it("refuses points outside, shapes and spacings that cannot be", () => {
    expect(() => squaredDistances([4], [1, 2, 2], [1, 1, 1])).toThrow(ShapeError);
    expect(() => squaredDistances([4], [1, 2, 2], [1, 1, 1])).toThrow(
      "squaredDistances: points must lie in shape [1,2,2], found index 4",
    );
    expect(() => squaredDistances([], [2, 2], [1, 1, 1])).toThrow("shape must be [D, H, W] with whole numbers");
    expect(() => squaredDistances([], [1, 2, 2], [1, 0, 1])).toThrow(OptionError);
    expect(() => squaredDistances([], [1, 2, 2], [1, 0, 1])).toThrow("three positive lengths in mm, found [1,0,1]");
  });
});
