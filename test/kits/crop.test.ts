// Regions of interest: cut out of slices by the GPU, and the way back.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { close, init } from "../../src/index.ts";
import { uploadSlices } from "../../src/kits/batch.ts";
import { restoreRoi, type Size } from "../../src/kits/resample.ts";
import type { Roi } from "../../src/kits/roi.ts";
import { Rng } from "../../src/random.ts";
import { sliceValues, sourceOf, whole } from "./slices.ts";

beforeAll(() => init());
afterAll(() => close());

/** Grey levels and labels of a region of a slice [size, size], both from `source`, on [to, to]. */
async function crop(source: Uint8Array, size: number, to: number, region: Roi): Promise<[number[], number[]]> {
  const { greys, labels } = await sliceValues(sourceOf({ size, images: source, labels: source }, to, region));
  return [greys.map((v) => Math.round(v * 1e4) / 1e4), [...labels]];
}

/** A plane [h, w] of `f` at the pixel centres, in pixels. */
function plane([h, w]: Size, f: (y: number, x: number) => number): Uint8Array {
  return Uint8Array.from({ length: h * w }, (_, i) => Math.round(f(Math.floor(i / w) + 0.5, (i % w) + 0.5)));
}

/** The centroid of a plane's values as fractions of height and width. */
function centroid(values: ArrayLike<number>, [h, w]: Size): [number, number] {
  let [sum, sumY, sumX] = [0, 0, 0];
  for (let i = 0; i < h * w; i++) {
    sum += values[i];
    sumY += values[i] * (Math.floor(i / w) + 0.5);
    sumX += values[i] * ((i % w) + 0.5);
  }
  return [sumY / sum / h, sumX / sum / w];
}

describe("a region of a batch", () => {
  it("the whole slice at its own size is exact, and back", async () => {
    const rng = new Rng(1, "crop");
    const source = Uint8Array.from({ length: 35 * 35 }, () => rng.integer(256));
    expect(await crop(source, 35, 35, whole)).toEqual([[...source], [...source]]);
    const back = restoreRoi(Float32Array.from(source), whole, { to: [35, 35], out: new Float32Array(35 * 35) });
    expect([...back]).toEqual([...source]);
  });

  it("cuts whole pixels exactly, with 0 beyond the slice on every side", async () => {
    const source = plane([8, 8], (y, x) => 10 * Math.ceil(y) + Math.ceil(x));
    const at = (roi: Roi) => crop(source, 8, 4, roi);
    const inside = [43, 44, 45, 46, 53, 54, 55, 56, 63, 64, 65, 66, 73, 74, 75, 76];
    expect(await at({ y: 3 / 8, x: 2 / 8, side: 0.5 })).toEqual([inside, inside]);
    const corner = [0, 0, 0, 0, 0, 11, 12, 13, 0, 21, 22, 23, 0, 31, 32, 33];
    expect(await at({ y: -1 / 8, x: -1 / 8, side: 0.5 })).toEqual([corner, corner]);
    const end = [77, 78, 0, 0, 87, 88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expect(await at({ y: 6 / 8, x: 6 / 8, side: 0.5 })).toEqual([end, end]);
    expect(await at({ y: 2, x: -3, side: 0.5 })).toEqual([new Array(16).fill(0), new Array(16).fill(0)]);
  });

  it("mixes with the 0 outside: half a pixel beyond the slice halves the image, and ties go to the label", async () => {
    const source = new Uint8Array(4).fill(200);
    // columns -0.5 to 0.5 and 0.5 to 1.5
    expect(await crop(source, 2, 2, { y: 0, x: -0.25, side: 1 })).toEqual([
      [100, 200, 100, 200],
      [200, 200, 200, 200],
    ]);
    // 0.6 of the first column is outside
    expect((await crop(source, 2, 2, { y: 0, x: -0.3, side: 1 }))[1]).toEqual([0, 200, 0, 200]);
  });

  it("images: antialiased when shrinking", async () => {
    // Stripes two pixels wide to a third of the size; the triangle is three pixels wide to each side: weights 1 2 3 2 1
    // of 9 on the five pixels about the middle of three.
    const source = plane([12, 12], (_, x) => (Math.ceil(x / 2) % 2 === 1 ? 0 : 180));
    const [greys] = await crop(source, 12, 4, whole);
    const pixel = (x: number) => (x < 0 || x > 11 ? 0 : source[x]);
    const middle = (X: number) => [1, 2, 3, 2, 1].reduce((n, w, k) => n + (w / 9) * pixel(3 * X - 1 + k), 0);
    const rows = [8 / 9, 1, 1, 8 / 9]; // the first and last row reach one pixel beyond the slice, where it is 0
    const expected = rows.flatMap((share) => [0, 1, 2, 3].map((X) => share * middle(X)));
    greys.forEach((v, i) => expect(v).toBeCloseTo(expected[i], 3));
  });

  it("labels: majority when shrinking", async () => {
    const source = plane([4, 4], (y, x) => (x < 2 ? 1 : y < 2 ? 2 : 3));
    // Columns 1.2 to 3.2 of rows 1 to 3: label 1 covers 0.8 x 2, labels 2 and 3 cover 1.2 x 1 each.
    expect((await crop(source, 4, 1, { y: 0.25, x: 0.3, side: 0.5 }))[1]).toEqual([1]);
    // Columns 1.5 to 3.5: 0.5 x 2 against 1.5 x 1 each, a tie that the higher label wins.
    expect((await crop(source, 4, 1, { y: 0.25, x: 0.375, side: 0.5 }))[1]).toEqual([3]);
  });

  it("labels: nearest when enlarging, so that no new label appears", async () => {
    const rng = new Rng(2, "crop");
    const source = Uint8Array.from({ length: 64 }, () => 3 * rng.integer(2));
    const roi = { y: 0.13, x: -0.2, side: 0.7 };
    const at = (start: number, i: number) => Math.floor((start + ((i + 0.5) * roi.side) / 20) * 8);
    const expected = Array.from({ length: 400 }, (_, i) => {
      const x = at(roi.x, i % 20);
      return x < 0 ? 0 : source[at(roi.y, Math.floor(i / 20)) * 8 + x];
    });
    expect((await crop(source, 8, 20, roi))[1]).toEqual(expected);
  });

  it.each([
    [64, 2],
    [32, 3],
  ])("crop to %i and back returns a smooth image inside the region", async (R, tolerance) => {
    // Waves of amplitude 50 and 48 pixels: second derivatives up to 0.86. Linear interpolation errs by at most
    // step^2 / 8 of that per axis and pass (steps 1, then 0.75 or 1.5), the widened triangle of R = 32 by 0.2 per axis,
    // rounding by 0.5 in the source: below 1.4 and 1.9. Half a pixel of shift on one axis alone would be 3.3.
    const size = 96;
    const wave = (y: number, x: number) =>
      128 + 50 * Math.sin((2 * Math.PI * y) / 48) + 50 * Math.cos((2 * Math.PI * x) / 48);
    const source = plane([size, size], wave);
    const roi = { y: 0.21, x: 0.27, side: 0.5 };
    const [cut] = await crop(source, size, R, roi);
    const back = restoreRoi(cut, roi, { to: [size, size], out: new Float32Array(size * size).fill(7) });
    let checked = 0;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const fy = (y + 0.5) / size - roi.y;
        const fx = (x + 0.5) / size - roi.x;
        const i = y * size + x;
        const edge = 1.5 / R / 2; // the last half pixel of the region repeats its edge
        if (Math.min(fy, fx) < 0 || Math.max(fy, fx) >= 0.5) expect(back[i]).toBe(0);
        else if (Math.min(fy, fx) > edge && Math.max(fy, fx) < 0.5 - edge) {
          expect(Math.abs(back[i] - source[i])).toBeLessThan(tolerance);
          checked++;
        }
      }
    }
    expect(checked).toBeGreaterThanOrEqual(44 * 44);
  });

  it.each([
    [120, 48, { y: 0.31, x: 0.18, side: 0.43 }],
    [120, 128, { y: 0.33, x: 0.13, side: 0.52 }],
    [90, 64, { y: 0.21, x: 0.11, side: 0.71 }],
  ] as [number, number, Roi][])("image and label stay aligned, there and back: %i to %i", async (size, R, roi) => {
    const disc = plane([size, size], (y, x) =>
      Math.hypot((y / size - 0.53) / 0.14, (x / size - 0.37) / 0.14) < 1 ? 1 : 0,
    );
    const truth = centroid(disc, [size, size]);
    const [image, label] = await crop(disc, size, R, roi);
    const mask = restoreRoi(label, roi, { to: [size, size], out: new Uint8Array(size * size), write: "mask" });
    const inSlice = ([y, x]: [number, number]) => [roi.y + y * roi.side, roi.x + x * roi.side];
    // In slice pixels: 0.02 for the image, which is rounded to 1e-4 here; 0.15 for labels, whose borders jump.
    // A shift by half a pixel of the finest grid here would be 0.24.
    const near = (found: number[], limit: number) =>
      found.forEach((v, axis) => expect(Math.abs(v - truth[axis]) * size).toBeLessThan(limit));
    near(inSlice(centroid(image, [R, R])), 0.02);
    near(inSlice(centroid(label, [R, R])), 0.15);
    near(centroid(mask, [size, size]), 0.15);
    const overlap = disc.reduce((sum, v, i) => sum + v * mask[i], 0);
    const total = disc.reduce((sum, v, i) => sum + v + mask[i], 0);
    expect((2 * overlap) / total).toBeGreaterThan(0.97);
  });

  it("refuses a region without area", async () => {
    const at = async (roi: Roi) =>
      (
        await uploadSlices(sourceOf({ size: 2, images: new Uint8Array(4), labels: new Uint8Array(4) }, 2, roi), [0])
      ).batch([0]);
    await expect(at({ y: 0, x: 0, side: 0 })).rejects.toThrow(
      "batch: roi must have a corner and a positive side in fractions of the slice, found y 0, x 0, side 0",
    );
    await expect(at({ y: NaN, x: 0, side: 1 })).rejects.toThrow(OptionError);
  });
});

describe("restoreRoi", () => {
  const half: Roi = { y: 0, x: 0.5, side: 0.5 };
  it("samples at pixel centres, repeats the edge inside and leaves 0 outside", () => {
    // The region is columns 2 and 3 of 4: ROI columns 0 and 1 exactly; rows 0 and 1 of 4 likewise.
    const out = restoreRoi([0.1, 0.2, 0.3, 0.4], half, { to: [4, 4], out: new Float32Array(16) });
    const f = Math.fround;
    expect([...out]).toEqual([0, 0, f(0.1), f(0.2), 0, 0, f(0.3), f(0.4), 0, 0, 0, 0, 0, 0, 0, 0]);
    // 8 columns: the region is columns 4 to 7, at ROI positions -0.25 (edge), 0.25, 0.75, 1.25 (edge).
    const wide = restoreRoi([0, 1, 0, 1], half, { to: [2, 8], out: new Float32Array(16) });
    expect([...wide]).toEqual([0, 0, 0, 0, 0, 0.25, 0.75, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
  it("masks at 0.5 and bytes of at least 1, at an offset, over whatever was there", () => {
    const probability = Float32Array.from([0, 0.5, 0.499, 1]);
    const mask = new Uint8Array(20).fill(9);
    expect(restoreRoi(probability, half, { to: [4, 4], out: mask, offset: 2, write: "mask" })).toBe(mask);
    expect([...mask]).toEqual([9, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9]);
    const bytes = restoreRoi(probability, half, { to: [4, 4], out: new Uint8Array(16), write: "byte" });
    expect([...bytes.subarray(0, 8)]).toEqual([0, 0, 1, 128, 0, 0, 127, 255]);
  });
  it("a region beyond the slice gives the part inside", () => {
    const out = new Float32Array(9);
    restoreRoi([1, 2, 3, 4], { y: -1 / 3, x: 2 / 3, side: 2 / 3 }, { to: [3, 3], out });
    expect([...out]).toEqual([0, 0, 3, 0, 0, 0, 0, 0, 0]);
    restoreRoi([1, 2, 3, 4], { y: 2, x: 0, side: 0.5 }, { to: [3, 3], out });
    expect([...out]).toEqual(new Array(9).fill(0));
  });
  it("every slice pixel belongs to one of two adjoining regions", () => {
    for (const [W, cut] of [
      [96, 0.43],
      [33, 0.5],
      [512, 0.1],
    ]) {
      const ones = new Float32Array(16).fill(1);
      const left = restoreRoi(ones, { y: 0, x: cut - 1, side: 1 }, { to: [1, W], out: new Float32Array(W) });
      const right = restoreRoi(ones, { y: 0, x: cut, side: 1 }, { to: [1, W], out: new Float32Array(W) });
      expect([...left.map((v, i) => v + right[i])]).toEqual(new Array(W).fill(1));
    }
  });
  it("refuses what does not fit", () => {
    const out = new Float32Array(16);
    expect(() => restoreRoi([1, 2, 3], whole, { to: [4, 4], out })).toThrow(
      "restoreRoi: probability must be a square plane [R, R], found 3 values",
    );
    expect(() => restoreRoi([1], whole, { to: [4, 4], out, offset: 1 })).toThrow(
      "restoreRoi: out must hold [4,4] values from 1, found 16 elements",
    );
    expect(() => restoreRoi([1], whole, { to: [4, 0], out })).toThrow("sizes must be positive whole numbers");
    expect(() => restoreRoi([1], { y: 0, x: 0, side: -1 }, { to: [4, 4], out })).toThrow("restoreRoi: roi must have");
    expect(() => restoreRoi([1], whole, { to: [4, 4], out, write: "mask" })).toThrow(
      'restoreRoi: out must be a Uint8Array for write "mask", found a Float32Array',
    );
    expect(() => restoreRoi([1], whole, { to: [4, 4], out: new Uint8Array(16) })).toThrow(
      'restoreRoi: out must be a Float32Array for write "value", found a Uint8Array',
    );
  });
});
