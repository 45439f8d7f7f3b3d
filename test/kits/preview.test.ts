// The picture of a scan: labels in their colours in the slices that have most of them, words, and odd sizes of scans.
import { describe, expect, test } from "vitest";
import { textSize, write } from "../../src/kits/lettering.ts";
import { labelColors } from "../../src/kits/overlay.ts";
import { blank, type Picture, type Rgb } from "../../src/kits/picture.ts";
import { preview, type PreviewCase } from "../../src/kits/preview.ts";

const CLASSES = ["background", "kidney", "tumor", "cyst"];

/** Bodies of 40 HU in air; `label` paints what is found. */
function scanOf(shape: [number, number, number], label: (z: number, y: number, x: number) => number): PreviewCase {
  const [S, H, W] = shape;
  const at = (i: number) => [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W] as const;
  const image = Int16Array.from({ length: S * H * W }, (_, i) => (Math.min(at(i)[1], at(i)[2]) > 1 ? 40 : -1000));
  const labels = Uint8Array.from(image, (_, i) => label(...at(i)));
  const ml = { kidney: 151.26, tumor: 3, cyst: 0 };
  return { name: "case_00007", image, labels, shape, spacing: [3, 1, 1], oriented: true, classes: CLASSES, ml };
}

const count = ({ data }: Picture, color: Rgb, from = 0) => {
  let n = 0;
  for (let i = 3 * from; i < data.length; i += 3) if (color.every((v, k) => data[i + k] === v)) n++;
  return n;
};
const HEADER = 58; // lines above the slices
const below = (picture: Picture, label: number) => count(picture, labelColors[label], HEADER * picture.width);

describe("the slices", () => {
  const kidney = (z: number, y: number, x: number) => (z >= 4 && z < 90 && y > 9 && y < 22 && x > 9 && x < 22 ? 1 : 0);

  test("the one slice with a tumor is among seven of a hundred, and so is each label's largest", () => {
    for (const alone of [5, 43, 88]) {
      const there = scanOf([100, 32, 32], (z, y, x) =>
        z === alone && kidney(z, y, x) && y < 14 ? 2 : kidney(z, y, x),
      );
      expect(below(preview(there), 2), `slice ${alone}`).toBeGreaterThan(100);
      expect(below(preview(there), 1)).toBeGreaterThan(1000);
    }
    expect(below(preview(scanOf([100, 32, 32], kidney)), 2)).toBe(0);
  });

  test.each([
    ["one slice", [1, 32, 32]],
    ["fewer than seven", [3, 16, 40]],
    ["thick slabs of many columns", [9, 40, 16]],
  ] as [string, [number, number, number]][])("%s", (_, shape) => {
    const full = preview(scanOf(shape, (_z, y, x) => (y > 5 && x > 5 && x < 9 ? 3 : 0)));
    expect(below(full, 3)).toBeGreaterThan(100);
    const nothing = preview(scanOf(shape, () => 0));
    for (const label of [1, 2, 3]) expect(count(nothing, labelColors[label])).toBe(0);
  });

  test("a body that is full of labels, and a header that does not say where the right is", () => {
    const scan = scanOf([12, 24, 24], () => 1);
    expect(below(preview(scan), 1)).toBeGreaterThan(100);
    expect(preview(scan).data).not.toEqual(preview({ ...scan, oriented: false }).data);
  });
});

test("words: dots of letters, capitals for small ones, nothing for others; cut off at the edge", () => {
  const ink: Rgb = [9, 9, 9];
  const drawn = (text: string, scale = 1, x = 0) => {
    const out = blank(40, 9, [0, 0, 0]);
    write(out, text, x, 1, ink, scale);
    return out;
  };
  const rows = ["..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."];
  const one = drawn("1");
  rows.forEach((row, y) =>
    [...row].forEach((dot, x) => expect(one.data[3 * ((y + 1) * 40 + x)], `${x},${y}`).toBe(dot === "#" ? 9 : 0)),
  );
  expect(drawn("kidney")).toEqual(drawn("KIDNEY"));
  expect(count(drawn("?\u00e4"), ink)).toBe(0);
  expect(count(drawn("1", 1, 36), ink)).toBe(10);
  expect(count(drawn("1", 1, 38), ink)).toBeLessThan(10);
  expect(textSize("ab", 3)).toEqual({ width: 36, height: 21 });
});
