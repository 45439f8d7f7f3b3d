import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataError, OptionError, ShapeError } from "../../src/errors.ts";
import { fullRois, jitterRoi, roisOf } from "../../src/kits/roi.ts";
import { loadRois, saveRois } from "../../src/kits/roisFile.ts";
import type { CaseRois, SliceRoi } from "../../src/kits/roi.ts";
import { Rng } from "../../src/random.ts";
import { scratch } from "./craft.ts";

const H = 20;
const W = 40;

/** A label volume [slices, 20, 40] with filled boxes [slice, y0, y1, x0, x1, label]. */
function volume(slices: number, ...boxes: [number, number, number, number, number, number][]): Uint8Array {
  const out = new Uint8Array(slices * H * W);
  for (const [s, y0, y1, x0, x1, label] of boxes) {
    for (let y = y0; y < y1; y++) out.fill(label, (s * H + y) * W + x0, (s * H + y) * W + x1);
  }
  return out;
}

const kidney = { inside: [1, 2, 3], margin: 0 };
const masses = { inside: (label: number) => label >= 2, margin: 0 };
const sources = (rois: CaseRois) => rois.map((roi) => roi?.source ?? null);

function expectRoi(found: SliceRoi | null, expected: SliceRoi): void {
  expect(found?.source).toBe(expected.source);
  // 1e-12: fractions are sums of a few doubles.
  for (const key of ["y", "x", "side"] as const) expect(Math.abs(found![key] - expected[key])).toBeLessThan(1e-12);
}

describe("roisOf", () => {
  it("squares the box about its centre, in fractions of a slice that is not square", () => {
    const labels = volume(1, [0, 4, 8, 10, 20, 1]); // height 4/20 = 0.2, width 10/40 = 0.25
    expectRoi(roisOf(labels, [1, H, W], kidney)[0], { y: 0.3 - 0.125, x: 0.25, side: 0.25, source: "slice" });
    const tall = volume(1, [0, 2, 12, 0, 4, 1]); // 0.5 x 0.1, centre 0.35, 0.05: reaches beyond the left border
    expectRoi(roisOf(tall, [1, H, W], kidney)[0], { y: 0.1, x: -0.2, side: 0.5, source: "slice" });
  });
  it("widens by the margin on each side before it squares", () => {
    const labels = volume(1, [0, 4, 8, 10, 20, 1]);
    const roi = roisOf(labels, [1, H, W], { ...kidney, margin: 0.1 })[0];
    expectRoi(roi, { y: 0.3 - 0.225, x: 0.15, side: 0.45, source: "slice" });
    const standard = roisOf(labels, [1, H, W], { inside: [1] })[0]!;
    expect(standard.side).toBeCloseTo(0.25 + 20 / 128, 12);
  });
  it("finds every corner of the box: single pixels in any order of rows", () => {
    const labels = volume(1, [0, 3, 4, 20, 21, 1], [0, 7, 8, 30, 31, 1], [0, 9, 10, 5, 6, 1], [0, 12, 13, 22, 23, 1]);
    // y 3 to 13 of 20, x 5 to 31 of 40
    expectRoi(roisOf(labels, [1, H, W], kidney)[0], { y: 0.4 - 0.325, x: 0.125, side: 0.65, source: "slice" });
    const edges = volume(1, [0, 0, 1, 0, 1, 1], [0, H - 1, H, W - 1, W, 1]);
    expectRoi(roisOf(edges, [1, H, W], kidney)[0], { y: 0, x: 0, side: 1, source: "slice" });
  });
  it("agrees with a search of every pixel", () => {
    const rng = new Rng(4, "roi");
    const labels = Uint8Array.from({ length: 30 * H * W }, () => (rng.uniform() < 0.004 ? 1 + rng.integer(3) : 0));
    roisOf(labels, [30, H, W], { ...masses, emptySlices: "none" }).forEach((roi, s) => {
      const at = [...labels.subarray(s * H * W, (s + 1) * H * W).entries()].filter(([, v]) => v >= 2).map(([i]) => i);
      if (at.length === 0) return expect(roi).toBeNull();
      const ys = at.map((i) => Math.floor(i / W));
      const xs = at.map((i) => i % W);
      const side = Math.max((Math.max(...ys) + 1 - Math.min(...ys)) / H, (Math.max(...xs) + 1 - Math.min(...xs)) / W);
      const y = (Math.min(...ys) + Math.max(...ys) + 1) / (2 * H) - side / 2;
      const x = (Math.min(...xs) + Math.max(...xs) + 1) / (2 * W) - side / 2;
      expectRoi(roi, { y, x, side, source: "slice" });
    });
  });
  it("falls back: neighbours within reach, then the case", () => {
    const labels = volume(9, [3, 0, 2, 0, 4, 1], [4, 10, 12, 20, 24, 1]);
    const rois = roisOf(labels, [9, H, W], kidney);
    expect(sources(rois)).toEqual([
      "case",
      "neighbours",
      "neighbours",
      "slice",
      "slice",
      "neighbours",
      "neighbours",
      "case",
      "case",
    ]);
    expectRoi(rois[1], { y: 0, x: 0, side: 0.1, source: "neighbours" }); // only slice 3 is near
    const both = { y: 0, x: 0, side: 0.6 }; // y 0 to 0.6, x 0 to 0.6
    expectRoi(rois[2], { ...both, source: "neighbours" });
    expectRoi(rois[5], { ...both, source: "neighbours" });
    expectRoi(rois[6], { y: 0.5, x: 0.5, side: 0.1, source: "neighbours" });
    expectRoi(rois[8], { ...both, source: "case" });
    expect(sources(roisOf(labels, [9, H, W], { ...kidney, neighbours: 0 })).filter((s) => s === "case").length).toBe(7);
  });
  it("falls back: masses to the kidney's region, a case of nothing to the full slice", () => {
    const labels = volume(5, [2, 4, 8, 10, 20, 1]);
    const fallback = roisOf(labels, [5, H, W], { ...kidney, margin: 0.1, neighbours: 1 });
    const rois = roisOf(labels, [5, H, W], { ...masses, fallback });
    expect(sources(rois)).toEqual(["kidney", "kidney", "kidney", "kidney", "kidney"]);
    rois.forEach((roi, s) => expect(roi).toEqual({ ...fallback[s], source: "kidney" }));
    const empty = volume(3);
    const none = roisOf(empty, [3, H, W], kidney);
    expect(none).toEqual(fullRois(3));
    expect(roisOf(empty, [3, H, W], { ...masses, fallback: none })).toEqual(fullRois(3));
    expect(roisOf(empty, [3, H, W], { ...masses, fallback: [null, null, null] })).toEqual(fullRois(3));
  });
  it("does not use the fallback while the case has any of the labels", () => {
    const labels = volume(4, [0, 4, 8, 10, 20, 2]);
    const rois = roisOf(labels, [4, H, W], { ...masses, fallback: fullRois(4), neighbours: 1 });
    expect(sources(rois)).toEqual(["slice", "neighbours", "case", "case"]);
  });
  it("leaves out empty slices if told", () => {
    const labels = volume(3, [1, 4, 8, 10, 20, 2], [2, 4, 8, 10, 20, 1]);
    expect(sources(roisOf(labels, [3, H, W], { ...masses, emptySlices: "none" }))).toEqual([null, "slice", null]);
  });
  it("ignores specks below minPixels, in each slice by itself", () => {
    const labels = volume(2, [0, 4, 8, 10, 20, 1], [0, 18, 19, 30, 32, 1], [1, 4, 5, 10, 12, 1], [1, 5, 6, 12, 13, 1]);
    const clean = roisOf(labels, [2, H, W], { ...kidney, minPixels: 3 });
    expectRoi(clean[0], { y: 0.3 - 0.125, x: 0.25, side: 0.25, source: "slice" });
    expect(clean[1]!.source).toBe("slice"); // 2 + 1 pixels that touch at a corner
    expect(sources(roisOf(labels, [2, H, W], { ...kidney, minPixels: 4 }))).toEqual(["slice", "neighbours"]);
    expect(roisOf(labels, [2, H, W], kidney)[0]!.side).toBeGreaterThan(0.5);
  });
  it("refuses what does not fit", () => {
    const labels = volume(2);
    expect(() => roisOf(labels, [3, H, W], kidney)).toThrow(ShapeError);
    expect(() => roisOf(labels, [3, H, W], kidney)).toThrow(
      "roisOf: labels must fill shape [S, H, W], found 1600 voxels for [3,20,40]",
    );
    expect(() => roisOf(labels, [2, H, W], { ...kidney, fallback: fullRois(3) })).toThrow(
      "roisOf: fallback must hold one region per slice, found 3 for 2 slices",
    );
    expect(() => roisOf(labels, [2, H, W], { ...kidney, margin: -0.1 })).toThrow("roisOf: margin must be");
    expect(() => roisOf(labels, [2, H, W], { ...kidney, neighbours: 1.5 })).toThrow("roisOf: neighbours must be");
    expect(() => roisOf(labels, [2, H, W], { ...kidney, minPixels: NaN })).toThrow("roisOf: minPixels must be");
    expect(() => fullRois(-1)).toThrow(OptionError);
  });
});

describe("jitterRoi", () => {
  const roi = { y: 0.2, x: 0.3, side: 0.4 };
  const draw = (seed: number) => jitterRoi(roi, new Rng(seed, "jitter"), 0.1);
  it("repeats for the same random numbers, differs for others, and is off at 0", () => {
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(jitterRoi(roi, new Rng(1), 0)).toEqual(roi);
    const rng = new Rng(1);
    jitterRoi(roi, rng, 0.1);
    expect(rng.counter).toBe(3);
  });
  it("keeps to its bounds and fills them", () => {
    const drawn = Array.from({ length: 2000 }, (_, seed) => draw(seed));
    const spans = {
      y: drawn.map((r) => (r.y + r.side / 2 - 0.4) / 0.4),
      x: drawn.map((r) => (r.x + r.side / 2 - 0.5) / 0.4),
      side: drawn.map((r) => r.side / 0.4),
    };
    // 1e-9 for rounding; of 2000 uniform draws, none within 2% of an end has a chance of 3e-18.
    for (const [key, low, high] of [
      ["y", -0.1, 0.1],
      ["x", -0.1, 0.1],
      ["side", 0.9, 1.2],
    ] as const) {
      const [least, most] = [Math.min(...spans[key]), Math.max(...spans[key])];
      expect(least).toBeGreaterThanOrEqual(low - 1e-9);
      expect(most).toBeLessThanOrEqual(high + 1e-9);
      expect(least).toBeLessThan(low + 0.02 * (high - low));
      expect(most).toBeGreaterThan(high - 0.02 * (high - low));
    }
  });
  it("refuses a jitter of 1 or more, and regions without area", () => {
    expect(() => jitterRoi(roi, new Rng(1), 1)).toThrow(
      "jitterRoi: jitter must be a share of the side in [0, 1), found 1",
    );
    expect(() => jitterRoi({ ...roi, side: 0 }, new Rng(1), 0.1)).toThrow("jitterRoi: roi must have a corner");
  });
});

describe("rois.json", () => {
  const folder = scratch();
  const file = {
    margin: 10 / 128,
    neighbours: 2,
    cases: { case_00000: [...fullRois(2), null], case_00001: fullRois(1) } as Record<string, CaseRois>,
  };
  it("comes back as it was, bit by bit", async () => {
    const path = join(folder, "stages", "rois.json");
    file.cases.case_00001[0] = { y: -0.1 / 3, x: 1 / 3, side: 2 / 7, source: "neighbours" };
    await saveRois(path, file);
    expect(await loadRois(path, [{ id: "case_00000", slices: 3 }])).toEqual(file);
  });
  it("says which case does not fit", async () => {
    const path = join(folder, "rois.json");
    await saveRois(path, file);
    const load = (id: string, slices: number) => loadRois(path, [{ id, slices }]);
    await expect(load("case_00000", 4)).rejects.toThrow(DataError);
    await expect(load("case_00000", 4)).rejects.toThrow(
      `${path}: case_00000 must have 4 regions, one per slice, found 3; run the stage that makes it again`,
    );
    await expect(load("case_00007", 4)).rejects.toThrow("case_00007 must have 4 regions, one per slice, found none");
    for (const [bad, fault] of [
      ['{"y":0,"x":0,"side":0,"source":"full"}', ".side must be a number above 0, found 0"],
      [
        '{"y":0,"x":0,"side":1,"source":"else"}',
        ".source must be one of slice, neighbours, case, kidney, full, found else",
      ],
      ["3", " must be an object, found 3"],
    ]) {
      writeFileSync(path, `{"margin":0,"neighbours":2,"cases":{"a":[null,${bad}]}}`);
      await expect(load("a", 2)).rejects.toThrow(`rois.json: cases.a[1]${fault}; run the stage that makes it again`);
    }
    writeFileSync(path, "null");
    await expect(load("a", 2)).rejects.toThrow("rois.json: it must be an object, found null");
    await expect(loadRois(join(folder, "no.json"), [])).rejects.toThrow("run the stage that makes it again");
  });
});
