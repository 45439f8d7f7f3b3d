import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../src/errors.ts";
import { readLabels } from "../../src/kits/nifti.ts";
import {
  averageSurfaceDistance,
  robustHausdorff,
  surfaceDice,
  surfaceDistances,
  surfelAreas,
} from "../../src/kits/surface.ts";
import type { SurfaceDistances } from "../../src/kits/surface.ts";
import { Rng } from "../../src/random.ts";
import { shared } from "./shared_data.ts";

const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
const unit = [1, 1, 1];
// 1e-12: sums of a few numbers near 1 in float64.
const near = (found: number, expected: number, tolerance = 1e-12) =>
  expect(Math.abs(found - expected), `found ${found}, expected ${expected}`).toBeLessThanOrEqual(tolerance);

/** Voxels of a grid for which `inside` holds, as 0 and 1. */
function mask(shape: number[], inside: (z: number, y: number, x: number) => boolean): Uint8Array {
  const [d, h, w] = shape;
  return Uint8Array.from({ length: d * h * w }, (_, i) =>
    inside(Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w) ? 1 : 0,
  );
}

const between = (reference: Uint8Array, prediction: Uint8Array, shape: number[], spacing = unit) =>
  surfaceDistances(reference, prediction, { labels: [1], shape, spacing });

describe("surfelAreas", () => {
  const code = (...corners: number[][]): number =>
    corners.reduce((bits, [a, b, c]) => bits | (1 << (4 * a + 2 * b + c)), 0);
  const o = [0, 0, 0];
  const [x, y, z] = [[0, 0, 1], [0, 1, 0], [1, 0, 0]];
  const [xy, xz, yz, far] = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1]];

  // Areas of the published table at unit spacing, rounded to four decimals there: 5e-5.
  it.each([
    ["nothing", code(), 0],
    ["one corner", code(o), 0.2165],
    ["an edge", code(o, x), 0.7071],
    ["a face diagonal", code(o, xy), 0.433],
    ["a space diagonal", code(o, far), 0.433],
    ["an L", code(o, x, y), 1.1495],
    ["an edge and a far corner", code(o, x, far), 0.9236],
    ["three single corners", code(x, y, z), 0.6495],
    ["a face", code(o, x, y, xy), 1],
    ["a corner and its neighbours", code(o, x, y, z), 1.299],
    ["an S", code(x, o, y, yz), 1.5731],
    ["its mirror image", code(y, o, x, xz), 1.5731],
    ["an L and a far corner", code(o, x, y, far), 1.3660],
    ["two edges across", code(o, x, yz, far), 1.4142],
    ["four single corners", code(o, xy, xz, yz), 0.866],
    ["everything", 255, 0],
  ])("%s", (_, bits, area) => near(surfelAreas(unit)[bits], area, 5e-5));

  it("is the same for all 48 symmetries of the cube and for the complement, at any spacing", () => {
    const spacing = [5, 0.7, 1.3];
    const areas = surfelAreas(spacing);
    const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (const order of orders) {
      const turned = surfelAreas(order.map((axis) => spacing[axis]));
      for (let flip = 0; flip < 8; flip++) {
        for (let bits = 0; bits < 256; bits++) {
          let image = 0;
          for (let corner = 0; corner < 8; corner++) {
            const at = order.map((axis) => ((corner >> (2 - axis)) & 1) ^ ((flip >> axis) & 1));
            if ((bits >> corner) & 1) image |= code(at);
          }
          near(turned[image], areas[bits]);
          near(areas[255 - bits], areas[bits]);
        }
      }
    }
  });

  it("scales flat polygons with the spacing", () => {
    const areas = surfelAreas([5, 0.5, 2]);
    near(areas[code(o, x, y, xy)], 0.5 * 2); // the plane between two slices
    near(areas[code(o, x, z, xz)], 5 * 2);
    near(areas[code(o, x)], 2 * Math.hypot(2.5, 0.25)); // along x, from the middle of a z edge to that of a y edge
    near(areas[code(o)], Math.hypot(2.5 * 0.25, 0.25 * 1, 2.5 * 1) / 2);
  });

  it("refuses spacings that are not positive", () => {
    expect(() => surfelAreas([1, 1])).toThrow(OptionError);
    expect(() => surfelAreas([1, NaN, 1])).toThrow("surfelAreas: spacing must be three positive lengths in mm, found");
  });
});

describe("surface of known bodies", () => {
  const areaOf = (body: Uint8Array, shape: number[], spacing = unit) =>
    sum(between(body, body, shape, spacing).referenceAreas);

  it("a single voxel is an octahedron, also in the corner of the volume", () => {
    for (const at of [0, 13, 26]) {
      const one = new Uint8Array(27);
      one[at] = 1;
      near(areaOf(one, [3, 3, 3]), Math.sqrt(3));
      near(areaOf(one, [3, 3, 3], [4, 2, 1]), 4 * Math.hypot(2 * 1, 1 * 0.5, 2 * 0.5));
    }
  });

  it("a cube has flat faces, bevelled edges and cut corners", () => {
    const n = 7;
    const cube = mask([9, 10, 11], (z, y, x) => [z, y, x].every((v) => v >= 1 && v <= n));
    const area = 6 * (n - 1) ** 2 + 12 * (n - 1) * Math.SQRT1_2 + Math.sqrt(3);
    near(areaOf(cube, [9, 10, 11]), area, 1e-10);
  });

  it("a full volume has a surface at its edge", () => {
    near(areaOf(new Uint8Array(8).fill(1), [2, 2, 2]), 6 + 12 * Math.SQRT1_2 + Math.sqrt(3));
  });

  /** A ball of radius `r` mm in the middle of a grid that holds one of radius `largest`. */
  function ball(r: number, largest: number, spacing: number[]): { body: Uint8Array; shape: number[] } {
    const shape = spacing.map((mm) => Math.ceil((2 * largest) / mm) + 3);
    const middle = shape.map((length) => (length - 1) / 2);
    const radius = (at: number[]) => Math.hypot(...at.map((v, axis) => (v - middle[axis]) * spacing[axis]));
    return { body: mask(shape, (...at) => radius(at) <= r), shape };
  }

  it("a sphere of voxels: the area converges to 1.09 times that of the ideal sphere", () => {
    const ratios = [4, 8, 16, 32].map((r) => {
      const { body, shape } = ball(r, r, unit);
      return areaOf(body, shape) / (4 * Math.PI * r * r);
    });
    const steps = ratios.slice(1).map((ratio, i) => ratio - ratios[i]);
    // Binary voxels give surfels few directions, which adds a share of the area that finer voxels do not remove (8.8 %
    // in the literature: Lindblad 2005). The rest shrinks with the voxels.
    expect(steps[0]).toBeGreaterThan(steps[1]);
    expect(steps[1]).toBeGreaterThan(steps[2]);
    expect(steps[2]).toBeGreaterThan(0);
    near(ratios[3], 1.088, 0.005);
  });

  it("spheres one inside the other: distances converge to the difference of the radii", () => {
    const error = (scale: number, spacing: number[]) => {
      const [inner, outer] = [3, 5].map((r) => ball(scale * r, scale * 5, spacing));
      const distances = between(inner.body, outer.body, inner.shape, spacing);
      const apart = 2 * scale;
      // Each surface of voxels strays by less than one voxel from its sphere, mostly by half of it.
      const voxel = Math.max(...spacing);
      expect(surfaceDice(distances, apart - 2 * voxel)).toBe(0);
      expect(surfaceDice(distances, apart + 2 * voxel)).toBe(1);
      near(robustHausdorff(distances)!, apart, voxel);
      return Math.abs(averageSurfaceDistance(distances)! / apart - 1);
    };
    // The average strays by less than a voxel, so its share shrinks with the distance: 4, 12 and 20 mm.
    const errors = [2, 6, 10].map((scale) => error(scale, unit));
    errors.forEach((value, i) => expect(value).toBeLessThan(1 / [4, 12, 20][i]));
    expect(errors[2]).toBeLessThan(errors[0] / 4);
    expect(error(6, [1.5, 1, 1])).toBeLessThan(1.5 / 12);
  });
});

describe("distances between surfaces", () => {
  const slab = (shift: number) => mask([12, 64, 64], (z) => z >= 2 + shift && z < 6 + shift);

  it("slabs one slice apart, at their spacing: the tolerance counts when it is met exactly", () => {
    const distances = between(slab(0), slab(1), [12, 64, 64], [2.5, 0.8, 0.8]);
    expect(Math.max(...distances.referenceDistances)).toBe(2.5);
    expect(robustHausdorff(distances)).toBe(2.5);
    expect(surfaceDice(distances, 2.5)).toBe(1);
    // One slice apart is all of the lower face with its bevelled edges and cut corners, and the upper face but for the
    // four voxels at its sides, which are nearer to the side of the other slab (0.8 mm each).
    const edge = 0.8 * Math.hypot(1.25, 0.4);
    const corner = Math.hypot(0.5, 0.16, 0.5) / 2;
    const apart = (63 ** 2 + 57 ** 2) * 0.64 + 4 * 63 * edge + 4 * corner;
    near(surfaceDice(distances, 2.499), 1 - apart / sum(distances.referenceAreas));
  });

  it("takes the spacing of the axis in which the bodies are apart", () => {
    const places = ["1,1,1", "4,1,1", "1,4,1", "1,1,4"];
    const points = (i: number) => mask([6, 6, 6], (...at) => at.join() === places[i]);
    const spacing = [5, 0.7, 1.5];
    for (const axis of [0, 1, 2]) {
      const distances = between(points(0), points(axis + 1), [6, 6, 6], spacing);
      // Voxels three apart: the faces that look at each other are two apart, those that look away are three.
      near(Math.min(...distances.referenceDistances), 2 * spacing[axis]);
      near(robustHausdorff(distances)!, 3 * spacing[axis]);
      near(averageSurfaceDistance(distances)!, 2.5 * spacing[axis]);
    }
  });

  it("agrees with every surfel against every surfel on random masks, wherever they lie in the volume", () => {
    const rng = new Rng(11);
    const shape = [7, 8, 9];
    const spacing = [3, 0.8, 1.1];
    const areas = surfelAreas(spacing);
    for (let trial = 0; trial < 20; trial++) {
      const random = (low: number, high: number) =>
        mask(shape, (z, y, x) => Math.min(z, y, x) >= low && Math.max(z, y, x) < high && rng.uniform() < 0.4);
      const [reference, prediction] = [random(trial % 3, 7), random(0, 5 + (trial % 5))];
      const found = between(reference, prediction, shape, spacing);
      const [r, p] = [slowSurfels(reference, shape), slowSurfels(prediction, shape)];
      const nearest = (from: number[][], to: number[][]) =>
        from.map(([, ...a]) =>
          Math.min(...to.map(([, ...b]) => Math.hypot(...a.map((v, axis) => (v - b[axis]) * spacing[axis])))),
        );
      compare(found.referenceAreas, r.map(([bits]) => areas[bits]));
      compare(found.predictionAreas, p.map(([bits]) => areas[bits]));
      compare(found.referenceDistances, nearest(r, p));
      compare(found.predictionDistances, nearest(p, r));
    }
  });

  function compare(found: Float64Array, expected: number[]): void {
    expect(found).toHaveLength(expected.length);
    expected.forEach((value, i) => near(found[i], value));
  }

  /** [code, z, y, x] of every border point, by reading eight voxels per point. */
  function slowSurfels(data: Uint8Array, [d, h, w]: number[]): number[][] {
    const inside = (z: number, y: number, x: number) =>
      z >= 0 && z < d && y >= 0 && y < h && x >= 0 && x < w ? data[(z * h + y) * w + x] : 0;
    const surfels: number[][] = [];
    for (let z = 0; z <= d; z++)
      for (let y = 0; y <= h; y++)
        for (let x = 0; x <= w; x++) {
          let bits = 0;
          for (let k = 0; k < 8; k++) bits |= inside(z - 1 + (k >> 2), y - 1 + ((k >> 1) & 1), x - 1 + (k & 1)) << k;
          if (bits !== 0 && bits !== 255) surfels.push([bits, z, y, x]);
        }
    return surfels;
  }

  it("makes the mask of several labels", () => {
    const reference = Uint8Array.from([0, 1, 2, 3, 0, 0]);
    const prediction = Uint8Array.from([0, 0, 2, 2, 0, 0]);
    const options = { shape: [1, 1, 6], spacing: unit };
    const masses = surfaceDistances(reference, prediction, { ...options, labels: [2, 3] });
    expect(surfaceDice(masses, 0)).toBe(1);
    const kidney = surfaceDistances(reference, prediction, { ...options, labels: [1, 2, 3] });
    expect(robustHausdorff(kidney)).toBe(1);
    expect(surfaceDice(kidney, 0)).toBeLessThan(1);
  });
});

describe("scores of given surfels", () => {
  const given: SurfaceDistances = {
    referenceAreas: Float64Array.from([1, 2, 1]),
    referenceDistances: Float64Array.from([3, 1, 0]),
    predictionAreas: Float64Array.from([4, 4]),
    predictionDistances: Float64Array.from([2, 0.5]),
  };
  it("weights by area", () => {
    near(surfaceDice(given, 1), (2 + 1 + 4) / 12);
    near(surfaceDice(given, 0.999), (1 + 4) / 12);
    near(averageSurfaceDistance(given)!, (3 + 2 + 0 + 8 + 2) / 12);
  });
  it("takes the percentile of the area in each direction, then the larger", () => {
    // Reference by distance: 0 up to 25 % of the area, 1 up to 75 %, then 3. Prediction: 0.5 up to 50 %, then 2.
    expect(robustHausdorff(given)).toBe(3);
    expect(robustHausdorff(given, 75)).toBe(2);
    expect(robustHausdorff(given, 50)).toBe(1);
    expect(robustHausdorff(given, 25)).toBe(0.5);
  });
  it("refuses tolerances and percentiles that cannot be", () => {
    expect(() => surfaceDice(given, -1)).toThrow("surfaceDice: tolerance must be a length in mm from 0, found -1");
    expect(() => robustHausdorff(given, 101)).toThrow("robustHausdorff: percent must be from 0 to 100, found 101");
  });
});

describe("empty masks", () => {
  const none = new Uint8Array(27);
  const one = mask([3, 3, 3], (z, y, x) => z === 1 && y === 1 && x === 1);
  it("have no distances", () => {
    for (const distances of [between(one, none, [3, 3, 3]), between(none, one, [3, 3, 3])]) {
      expect(surfaceDice(distances, 1e9)).toBe(0);
      expect(robustHausdorff(distances)).toBeNull();
      expect(averageSurfaceDistance(distances)).toBeNull();
    }
    expect(surfaceDice(between(none, none, [3, 3, 3]), 1)).toBeNaN();
    expect(robustHausdorff(between(none, none, [3, 3, 3]))).toBeNull();
  });
  it("need volumes that fill the shape", () => {
    expect(() => between(one, none, [3, 3, 4])).toThrow(ShapeError);
    expect(() => between(one, none, [3, 3, 4])).toThrow(
      "surfaceDistances: reference and prediction must fill shape [D, H, W], found 27 and 27 voxels for [3,3,4]",
    );
  });
});

describe("real label volumes", () => {
  const masks = shared("real-ct", "masks", "example_seg.nii.gz");
  it("whole-body masks of one CT by two models", async ({ skip }) => {
    if (masks.missing) skip(masks.missing);
    const g = await readLabels(masks.path);
    const p = await readLabels(shared("real-ct", "masks", "example_seg_fast.nii.gz").path);
    const { shape, spacing } = g.header;
    const of = (...labels: number[]) => surfaceDistances(g.data, p.data, { labels, shape, spacing });
    // Computed with the surface-distance package; 1e-12: printed with twelve decimals.
    const right = of(2);
    near(surfaceDice(right, 1.0330772532390826), 0.922123846345);
    near(surfaceDice(right, 3), 0.9929431006420);
    expect(robustHausdorff(right)).toBe(3);
    near(surfaceDice(of(2, 3), 1.0330772532390826), 0.942968038366);
    near(surfaceDice(of(5), 3), 0.99819311046);
    expect(robustHausdorff(of(13))).toBeNull(); // one voxel in the reference, none in the prediction
  });
});
