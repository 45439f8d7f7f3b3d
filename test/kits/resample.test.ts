import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../src/errors.ts";
import { argmaxPlanes, resizeBilinear, resizeNearest, restoreLabels } from "../../src/kits/resample.ts";
import type { Size } from "../../src/kits/resample.ts";
import { Rng } from "../../src/random.ts";
import { shared } from "./shared_data.ts";

/** One f32 tensor of the PyTorch goldens (safetensors: header length, JSON header, data). */
function goldenTensor(name: string): Float32Array {
  const bytes = readFileSync(golden.path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const [start, end] = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength))[name].data_offsets as [number, number];
  return new Float32Array(new Uint8Array(bytes.subarray(8 + headerLength + start, 8 + headerLength + end)).buffer);
}

describe("resizeBilinear, align_corners=false", () => {
  it("2 to 4: edges repeat, quarters between (PyTorch's documented values)", () => {
    expect([...resizeBilinear([0, 4], [1, 2], [1, 4])]).toEqual([0, 1, 3, 4]);
    expect([...resizeBilinear([1, 2, 3, 4], [2, 2], [4, 4])]).toEqual([
      1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4,
    ]);
  });
  it("4 to 2 without antialiasing: the mean of the two middle neighbours", () => {
    expect([...resizeBilinear([0, 2, 4, 10], [1, 4], [1, 2])]).toEqual([1, 7]);
  });
  it("3 to 2 and 2 to 3, uneven", () => {
    // Sources of 3 -> 2: 0.25 and 1.75. Of 2 -> 3: -1/6 (edge), 0.5, 7/6 (edge).
    expect([...resizeBilinear([0, 4, 8], [1, 3], [1, 2])]).toEqual([1, 7]);
    expect([...resizeBilinear([0, 4], [1, 2], [1, 3])]).toEqual([0, 2, 4]);
  });
  it("keeps rows, columns and planes apart", () => {
    expect([...resizeBilinear([0, 4, 10, 20], [2, 1], [4, 1])]).toEqual([0, 1, 3, 4, 10, 12.5, 17.5, 20]);
    expect([...resizeBilinear([1, 2, 3, 4, 5, 6], [2, 3], [2, 3])]).toEqual([1, 2, 3, 4, 5, 6]);
  });
  it("one pixel becomes a constant plane", () =>
    expect([...resizeBilinear([7], [1, 1], [2, 2])]).toEqual([7, 7, 7, 7]));
});

const golden = shared("golden", "golden.safetensors");
describe("resizeBilinear against PyTorch", () => {
  const shapes: [name: string, from: Size, to: Size][] = [
    ["2x3x4x5to8x10", [4, 5], [8, 10]],
    ["1x2x5x7to9x4", [5, 7], [9, 4]],
    ["1x1x3x3to7x7", [3, 3], [7, 7]],
    ["1x2x6x6to3x3", [6, 6], [3, 3]],
    ["1x1x1x4to3x8", [1, 4], [3, 8]],
  ];
  it.for(shapes)("%s", ([name, from, to], { skip }) => {
    if (golden.missing) skip(golden.missing);
    const x = goldenTensor(`interpolate_bilinear.${name}_nac/x`);
    const expected = goldenTensor(`interpolate_bilinear.${name}_nac/y0`);
    const y = resizeBilinear(x, from, to);
    expect(y.length).toBe(expected.length);
    // 4e-7: values below 2 and PyTorch blends in f32: a few roundings of 2^-24 each, times 2.
    y.forEach((v, i) => expect(Math.abs(v - expected[i])).toBeLessThan(4e-7));
  });
});

describe("resizeNearest", () => {
  it("uses pixel centres", () => {
    expect([...resizeNearest([1, 2], [1, 2], [1, 4])]).toEqual([1, 1, 2, 2]);
    expect([...resizeNearest([1, 2, 3], [1, 3], [1, 2])]).toEqual([1, 3]); // plain "nearest" would give 1, 2
    expect([...resizeNearest([1, 2, 3, 4], [2, 2], [1, 1])]).toEqual([4]); // centre 1.0: the pixel that starts there
  });
  it("never makes a new label", () => {
    const rng = new Rng(1, "nearest");
    const plane = Uint8Array.from({ length: 35 }, () => 3 * rng.integer(2));
    expect(new Set(resizeNearest(plane, [5, 7], [13, 4]))).toEqual(new Set([0, 3]));
  });
});

describe("argmaxPlanes", () => {
  it("takes the largest, the lower class on ties", () => {
    expect([...argmaxPlanes([0.2, 0.4, 0.3, 0.5, 0.4, 0.3, 0.3, 0.2, 0.4], 3)]).toEqual([1, 0, 2]);
  });
  it("refuses broken planes", () => {
    expect(() => argmaxPlanes([1, 2, 3], 2)).toThrow(ShapeError);
    expect(() => argmaxPlanes([1, 2, 3], 2)).toThrow("planes must hold 2 whole planes (1 to 256), found 3 values");
  });
});

describe("restoreLabels", () => {
  it("interpolates before it decides", () => {
    // Class 1 minus class 0 runs -0.6, -0.35, 0.15, 0.4 over four pixels: the border lies between the second and third.
    expect([...restoreLabels([0.8, 0.3, 0.2, 0.7], { from: [1, 2], to: [1, 4] })]).toEqual([0, 0, 1, 1]);
  });
  it.each([
    [
      [8, 8],
      [12, 10],
    ],
    [
      [8, 6],
      [5, 6],
    ],
    [
      [5, 7],
      [5, 7],
    ],
    [
      [4, 4],
      [17, 3],
    ],
  ] as [Size, Size][])("equals resize, then argmax: %j to %j", (from, to) => {
    const rng = new Rng(3, "restore");
    const planes = Float32Array.from({ length: 3 * from[0] * from[1] }, () => rng.uniform());
    expect(restoreLabels(planes, { from, to })).toEqual(argmaxPlanes(resizeBilinear(planes, from, to), 3));
  });
  it("gives ties to the lower class", () => {
    expect([...restoreLabels([0.2, 0.4, 0.4], { from: [1, 1], to: [1, 1] })]).toEqual([1]);
  });
  it("fills a volume slice by slice", () => {
    const out = new Uint8Array(6);
    restoreLabels([0, 1], { from: [1, 1], to: [1, 2], out, offset: 2 });
    expect([...out]).toEqual([0, 0, 1, 1, 0, 0]);
  });
  it("refuses what does not fit", () => {
    const out = new Uint8Array(3);
    expect(() => restoreLabels([0, 1], { from: [1, 1], to: [2, 2], out })).toThrow(
      "restoreLabels: out must hold [2,2] labels from 0, found 3 elements",
    );
    expect(() => restoreLabels([0, 1, 2], { from: [1, 2], to: [2, 2] })).toThrow(
      "restoreLabels: data must hold whole planes of [1,2], found 3 values",
    );
    expect(() => resizeBilinear([0], [1, 1], [0, 2])).toThrow(OptionError);
    expect(() => resizeBilinear([0], [1, 1], [0, 2])).toThrow(
      "sizes must be positive whole numbers, found from [1,1] to [0,2]",
    );
  });
});
