import { describe, expect, it } from "vitest";
import { DataError, OptionError, ShapeError } from "../../src/errors.ts";
import { CaseCounter, countLabels, dice, jaccard, kits19Regions, meanOf, scoreCase } from "../../src/kits/metrics.ts";
import type { EmptyRule } from "../../src/kits/metrics.ts";
import { readLabels } from "../../src/kits/nifti.ts";
import { shared } from "./shared_data.ts";

// Three slices of 2 x 4. Slice 0: all three labels; slice 1: prediction only; slice 2: empty in both.
const reference = Uint8Array.from([1, 1, 2, 2, 3, 3, 0, 0, /**/ 0, 0, 0, 0, 0, 0, 0, 0, /**/ 0, 0, 0, 0, 0, 0, 0, 0]);
const prediction = Uint8Array.from([1, 2, 2, 2, 2, 3, 3, 0, /**/ 1, 0, 0, 0, 0, 0, 0, 0, /**/ 0, 0, 0, 0, 0, 0, 0, 0]);
const shape = [3, 2, 4];
const volume = (data: Uint8Array, spacing = [5, 1, 0.5]) => ({ data, shape, spacing });

describe("overlap per region", () => {
  it("counts overlapping regions by hand", () => {
    const { regions } = scoreCase(volume(reference), volume(prediction), { id: "case_1" });
    // kidney {1,2,3}: reference 6, prediction 7 + 1, all 6 shared. masses {2,3}: 4 and 6, shared 4. tumor {2}: 2, 4, 2.
    expect(regions.kidney).toMatchObject({
      intersection: 6,
      reference: 6,
      prediction: 8,
      dice: 12 / 14,
      jaccard: 6 / 8,
    });
    expect(regions.masses).toMatchObject({
      intersection: 4,
      reference: 4,
      prediction: 6,
      dice: 8 / 10,
      jaccard: 4 / 6,
    });
    expect(regions.tumor).toMatchObject({ intersection: 2, reference: 2, prediction: 4, dice: 4 / 6, jaccard: 2 / 4 });
  });

  it("gives volumes in millilitres from the reference's spacing", () => {
    const { regions } = scoreCase(volume(reference), volume(prediction, [1, 1, 1]));
    expect(regions.kidney.referenceMl).toBe((6 * 2.5) / 1000);
    expect(regions.tumor.predictionMl).toBe((4 * 2.5) / 1000);
  });

  it("follows the KiTS19 rule: tumour is label > 1", () => {
    const { regions } = scoreCase(volume(reference), volume(prediction), { regions: kits19Regions });
    expect(regions.tumor).toMatchObject({ intersection: 4, reference: 4, prediction: 6 });
  });

  it("scores slices apart from the volume and leaves out those that are empty in both", () => {
    const { perSlice } = scoreCase(volume(reference), volume(prediction));
    expect(perSlice.kidney).toEqual([
      { slice: 0, dice: 12 / 13, jaccard: 6 / 7 },
      { slice: 1, dice: 0, jaccard: 0 },
    ]);
    expect(perSlice.tumor.map(({ slice }) => slice)).toEqual([0]);
  });

  it("streams: one slice buffer, used again, gives the same scores", () => {
    const counter = new CaseCounter(2.5, { id: "case_1" });
    const [r, p] = [new Uint8Array(8), new Uint8Array(8)];
    for (let z = 0; z < 3; z++) {
      r.set(reference.subarray(8 * z, 8 * z + 8));
      p.set(prediction.subarray(8 * z, 8 * z + 8));
      counter.addSlice(r, p);
    }
    expect(counter.score()).toEqual(scoreCase(volume(reference), volume(prediction), { id: "case_1" }));
  });

  it("counts any labels of other label maps", () => {
    expect(countLabels([2, 90, 90, 0], [90, 90, 2, 2], [90])).toEqual({ intersection: 1, reference: 2, prediction: 2 });
  });
});

describe("empty masks", () => {
  const both = { intersection: 0, reference: 0, prediction: 0 };
  const onlyPrediction = { intersection: 0, reference: 0, prediction: 3 };
  const onlyReference = { intersection: 0, reference: 3, prediction: 0 };
  const table: [EmptyRule, number, number, number][] = [
    ["kits", 1, 0, 0],
    ["nnunet", NaN, 0, 0],
    ["monai", NaN, NaN, 0],
  ];
  it.each(table)("%s: %d %d %d", (rule, whenBoth, whenPrediction, whenReference) => {
    for (const score of [dice, jaccard]) {
      expect(score(both, rule)).toBe(whenBoth);
      expect(score(onlyPrediction, rule)).toBe(whenPrediction);
      expect(score(onlyReference, rule)).toBe(whenReference);
    }
  });
  it("kits is the default", () => expect([dice(both), jaccard(both), dice(onlyReference)]).toEqual([1, 1, 0]));
  it("refuses other names", () => {
    expect(() => dice(both, "zero" as EmptyRule)).toThrow(OptionError);
    expect(() => dice(both, "zero" as EmptyRule)).toThrow("metrics: empty must be kits, nnunet or monai, found zero");
  });
  it("means leave NaN out", () => {
    expect(meanOf([1, NaN, 0.5])).toBe(0.75);
    expect(meanOf([NaN])).toBeNaN();
  });
});

describe("surfaces", () => {
  const options = { id: "case_1", surface: true };
  it("are scored only if asked for", () => {
    expect(scoreCase(volume(reference), volume(prediction)).regions.kidney).not.toHaveProperty("surfaceDice");
    const { regions } = scoreCase(volume(reference), volume(reference), options);
    expect(regions.tumor).toMatchObject({ dice: 1, surfaceDice: 1, hd95: 0, asd: 0 });
  });

  it("have a tolerance per region, in mm of the reference's spacing", () => {
    // Two voxels side by side, one above the other in the prediction: one slice of `mm` apart, nothing nearer.
    const pair = (labels: number[], mm: number) => ({ data: labels, shape: [2, 1, 1], spacing: [mm, 9, 9] });
    const scores = (mm: number, more = {}) =>
      scoreCase(pair([2, 0], mm), pair([0, 2], 77), { ...options, ...more }).regions;
    const perfect = (mm: number, more = {}) =>
      (["kidney", "masses", "tumor"] as const).map((name) => scores(mm, more)[name].surfaceDice === 1);
    expect(perfect(1.03)).toEqual([true, true, true]);
    expect(perfect(1.04)).toEqual([false, true, true]);
    expect(perfect(1.14)).toEqual([false, false, true]);
    expect(perfect(1.15)).toEqual([false, false, false]);
    expect(perfect(5, { tolerances: { kidney: 5, masses: 4.9, tumor: 0 } })).toEqual([true, false, false]);
    expect(scores(5).kidney.hd95).toBe(5);
  });

  it("of empty masks follow the rule of Dice; their distances are null", () => {
    const zeros = volume(new Uint8Array(24));
    const both = scoreCase(zeros, zeros, options).regions.tumor;
    expect(both).toMatchObject({ surfaceDice: 1, hd95: null, asd: null });
    expect(scoreCase(zeros, volume(prediction), options).regions.tumor).toMatchObject({ surfaceDice: 0, hd95: null });
    expect(scoreCase(volume(reference), zeros, options).regions.tumor).toMatchObject({ surfaceDice: 0, asd: null });
    expect(scoreCase(zeros, zeros, { ...options, empty: "nnunet" }).regions.tumor.surfaceDice).toBeNaN();
  });
});

describe("refusals name the case", () => {
  it("shape", () => {
    const other = { data: new Uint8Array(24), shape: [2, 3, 4], spacing: [1, 1, 1] };
    const call = () => scoreCase(volume(reference), other, { id: "case_7" });
    expect(call).toThrow(ShapeError);
    expect(call).toThrow("case_7: prediction and reference must have one shape, found [2,3,4] and [3,2,4]");
  });
  it("labels outside 0..3, with the slice and the side", () => {
    const wrong = prediction.slice();
    wrong[9] = 4;
    expect(() => scoreCase(volume(reference), volume(wrong), { id: "case_7" })).toThrow(DataError);
    expect(() => scoreCase(volume(reference), volume(wrong), { id: "case_7" })).toThrow(
      "case_7: labels must be 0 background, 1 kidney, 2 tumour or 3 cyst, found 4 in slice 1 of the prediction",
    );
    expect(() => scoreCase(volume(wrong), volume(prediction))).toThrow("found 4 in slice 1 of the reference");
  });
  it("spacing", () => {
    expect(() => scoreCase(volume(reference, [0, 1, 1]), volume(prediction))).toThrow(
      "voxel volume must be positive, found 0",
    );
  });
  it("a slice outside the volumes", () => {
    expect(() => new CaseCounter(1).addSlice([0, 0], [0])).toThrow("must lie inside both volumes");
  });
});

// The KiTS19 labels against the KiTS23 labels of the same CT: Dice and Jaccard computed with numpy in float64, surface
// Dice with the surface-distance package.
const golden: [
  id: string,
  region: "kidney" | "masses" | "tumor",
  nP: number,
  nG: number,
  dice: number,
  jaccard: number,
  surfaceDice: number,
][] = [
  ["case_00021", "kidney", 110727, 107948, 0.9736366754, 0.9486276956, 0.9657344906],
  ["case_00021", "masses", 6993, 11400, 0.746588376, 0.5956450074, 0.5874362494],
  ["case_00021", "tumor", 6993, 7837, 0.925421443, 0.8611947791, 0.8441170124],
  ["case_00000", "kidney", 934170, 874945, 0.9647778057, 0.9319523973, 0.9048212719],
  ["case_00000", "tumor", 18491, 20462, 0.901137268, 0.8200635455, 0.8234626977],
  ["case_00000", "masses", 18491, 20462, 0.901137268, 0.8200635455, 0.8234626977],
  ["case_00160", "kidney", 2323483, 2259566, 0.9803552177, 0.9614673999, 0.9752442403],
  ["case_00160", "tumor", 252136, 241177, 0.9058305782, 0.8278704925, 0.6999773364],
  ["case_00160", "masses", 252136, 241177, 0.9058305782, 0.8278704925, 0.6999773364],
];

describe("real label volumes", () => {
  for (const id of ["case_00021", "case_00000", "case_00160"]) {
    const labels = shared("kits-labels", "kits23", id, "segmentation.nii.gz");
    it(`${id}: KiTS19 against KiTS23 labels`, async ({ skip }) => {
      if (labels.missing) skip(labels.missing);
      const g = await readLabels(labels.path);
      const p = await readLabels(shared("kits-labels", "kits19", id, "segmentation.nii.gz").path);
      const { regions } = scoreCase(
        { data: g.data, shape: g.header.shape, spacing: g.header.spacing },
        { data: p.data, shape: p.header.shape, spacing: p.header.spacing },
        { id, surface: true },
      );
      for (const [of, region, nP, nG, expectedDice, expectedJaccard, expectedSurfaceDice] of golden) {
        if (of !== id) continue;
        expect(regions[region]).toMatchObject({ prediction: nP, reference: nG });
        // 1e-9: the goldens are printed with ten decimals.
        expect(Math.abs(regions[region].dice - expectedDice)).toBeLessThan(1e-9);
        expect(Math.abs(regions[region].jaccard - expectedJaccard)).toBeLessThan(1e-9);
        expect(Math.abs(regions[region].surfaceDice! - expectedSurfaceDice)).toBeLessThan(1e-9);
      }
      if (id !== "case_00021") return;
      // Computed with scipy's distance transform from the same surfels, in float64 and printed with twelve decimals.
      expect(Math.abs(regions.kidney.hd95! - 1.1628591987481895)).toBeLessThan(1e-9);
      expect(Math.abs(regions.tumor.hd95! - 5.133443436535877)).toBeLessThan(1e-9);
      expect(Math.abs(regions.masses.hd95! - 140.0812556974859)).toBeLessThan(1e-9);
      expect(Math.abs(regions.kidney.asd! - 0.178036623125)).toBeLessThan(1e-9);
      expect(Math.abs(regions.masses.asd! - 14.48447743577)).toBeLessThan(1e-9);
    });
  }

  const masks = shared("real-ct", "masks", "example_seg.nii.gz");
  it("whole-body masks of one CT by two models", async ({ skip }) => {
    if (masks.missing) skip(masks.missing);
    const g = await readLabels(masks.path);
    const p = await readLabels(shared("real-ct", "masks", "example_seg_fast.nii.gz").path);
    const right = countLabels(g.data, p.data, [2]);
    expect(right).toMatchObject({ reference: 3947, prediction: 3996 });
    // 1e-12: printed with twelve decimals.
    expect(Math.abs(dice(right) - 0.964119350371)).toBeLessThan(1e-12);
    expect(Math.abs(jaccard(right) - 0.930724355858)).toBeLessThan(1e-12);
    expect(Math.abs(dice(countLabels(g.data, p.data, [2, 3])) - 0.968421052632)).toBeLessThan(1e-12);
    expect(Math.abs(dice(countLabels(g.data, p.data, [5])) - 0.981355149774)).toBeLessThan(1e-12);
    expect(countLabels(g.data, p.data, [13])).toEqual({ intersection: 0, reference: 1, prediction: 0 });
  });
});
