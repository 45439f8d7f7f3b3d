import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import {
  evaluate,
  evaluationCsv,
  evaluationMoreCsv,
  formatMetrics,
  labelFiles,
  summarize,
} from "../../src/kits/evaluate.ts";
import type { Metrics } from "../../src/kits/evaluate.ts";
import { kitsGeometry } from "../../src/kits/geometry.ts";
import { kitsTolerances, scoreCase } from "../../src/kits/metrics.ts";
import { writeNifti } from "../../src/kits/nifti.ts";
import { shared } from "./shared_data.ts";

// Two cases of two slices of 1 x 4 voxels, 1 x 2 x 2 mm.
const geometry = kitsGeometry([2, 1, 4], [1, 2, 2]);
const labels: Record<string, { reference: number[]; prediction: number[] }> = {
  case_00000: { reference: [1, 1, 2, 0, 0, 0, 0, 0], prediction: [1, 1, 2, 2, 0, 0, 0, 0] },
  case_00001: { reference: [1, 2, 3, 0, 1, 0, 0, 0], prediction: [1, 3, 3, 0, 0, 0, 0, 0] },
};

let folder = "";
let reference = "";
let predictions = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wgrad-evaluate-"));
  reference = join(folder, "dataset");
  predictions = join(folder, "predictions");
  for (const [id, { reference: r, prediction: p }] of Object.entries(labels)) {
    await writeNifti(join(reference, id, "segmentation.nii.gz"), Uint8Array.from(r), geometry);
    await writeNifti(join(predictions, `${id}.nii.gz`), Uint8Array.from(p), geometry);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (more = {}) => evaluate({ reference, predictions, progress: "silent", ...more });

describe("evaluate", () => {
  it("writes metrics.json in its schema, with means by hand", async () => {
    const out = join(folder, "run");
    const { metrics, warnings, files } = await run({ out });
    expect(warnings).toEqual([]);
    expect(files).toEqual(["metrics.json", "evaluation.csv", "evaluation_more.csv"].map((name) => join(out, name)));
    expect(JSON.parse(await readFile(files[0], "utf8"))).toEqual(metrics);
    expect(Object.keys(metrics)).toEqual(["unit", "split", "empty", "tolerances", "mean", "cases", "perSlice"]);
    expect([metrics.unit, metrics.split, metrics.empty]).toEqual(["3-D per case", "test", "kits"]);
    // kidney: 3 of 3 and 4 -> 6/7, 3/4; then 3 of 4 and 3 -> 6/7, 3/4.
    // tumor: 1 of 1 and 2 -> 2/3, 1/2; then 0 of 1 and 0 -> 0, 0.
    expect(metrics.mean.kidney).toMatchObject({ dice: 6 / 7, jaccard: 3 / 4 });
    expect(metrics.mean.tumor).toMatchObject({ dice: 1 / 3, jaccard: 1 / 4 });
    // masses: 1 of 1 and 2 -> 2/3, 1/2; then 2 of 2 and 2 -> 1, 1.
    expect(metrics.mean.masses).toMatchObject({ dice: (2 / 3 + 1) / 2, jaccard: 3 / 4 });
    expect(metrics.cases.map(({ id }) => id)).toEqual(["case_00000", "case_00001"]);
    expect(metrics.cases[1].kidney).toMatchObject({
      dice: 6 / 7,
      jaccard: 3 / 4,
      intersection: 3,
      reference: 4,
      prediction: 3,
      referenceMl: 0.016,
      predictionMl: 0.012,
    });
  });

  it("scores the surfaces: per case, and means with the number of cases that have distances", async () => {
    const { metrics } = await run();
    expect(metrics.tolerances).toEqual(kitsTolerances);
    // Case 1 predicts no tumor: surface Dice 0 counts, distances are undefined and do not.
    expect(metrics.cases[1].tumor).toMatchObject({ surfaceDice: 0, hd95: null, asd: null });
    const [first] = metrics.cases;
    // One voxel too long: within 2 mm everything agrees, within the tolerance all but the surfels at the far end.
    expect(first.tumor.hd95).toBe(2);
    expect(first.tumor.surfaceDice).toBeGreaterThan(0.5);
    expect(first.tumor.surfaceDice).toBeLessThan(1);
    expect(metrics.mean.tumor).toEqual({
      dice: 1 / 3,
      jaccard: 1 / 4,
      surfaceDice: first.tumor.surfaceDice! / 2,
      hd95: 2,
      asd: first.tumor.asd,
      surfaceCases: 1,
    });
    expect(metrics.mean.kidney.surfaceCases).toBe(2);
  });

  it("leaves the surfaces out if told to", async () => {
    const { metrics } = await run({ surface: false });
    expect(metrics.tolerances).toBeNull();
    expect(metrics.mean.kidney).toEqual({ dice: 6 / 7, jaccard: 3 / 4 });
    expect(metrics.cases[0].kidney).not.toHaveProperty("hd95");
    expect(evaluationCsv(metrics).split("\n")[1]).toBe("case_00000,0.85714286,0.66666667,0.66666667,nan,nan,nan");
    expect(formatMetrics(metrics).split("\n").slice(0, 4)).toEqual([
      "Agreement with the reference, 3-D per case (split: test, 2 cases)",
      "case        kidney Dice      JC  masses Dice      JC  tumor Dice      JC",
      "-".repeat(72),
      "case_00000       0.8571  0.7500       0.6667  0.5000      0.6667  0.5000",
    ]);
  });

  it("labels per-slice scores as another unit", async () => {
    const { perSlice } = (await run()).metrics;
    expect(perSlice.unit).toBe("per slice, non-empty reference or prediction");
    // kidney slices: 6/7; then 1 (same three voxels) and 0 (missed). The empty slice of case 0 is left out.
    expect(perSlice.mean.kidney).toEqual({ dice: (6 / 7 + 1 + 0) / 3, jaccard: (3 / 4 + 1 + 0) / 3, slices: 3 });
  });

  it("writes the challenge's CSV: 8 decimals, average last, no final newline", async () => {
    const out = join(folder, "csv");
    await run({ out });
    // Rods of voxels of 1 x 2 x 2 mm: eight cut corners of c mm2, four bevelled edges of e mm2 per further voxel. In
    // case 0 the rod is one voxel too long: its four last corners are out of tolerance.
    const c = Math.hypot(0.5, 0.5, 1) / 2;
    const e = Math.hypot(0.5, 1) * 2;
    const kidney = (12 * c + 20 * e) / (16 * c + 20 * e); // 3 and 4 voxels
    const masses = (12 * c + 4 * e) / (16 * c + 4 * e); // 1 and 2 voxels
    const average = [(kidney + 1) / 2, (masses + 1) / 2, masses / 2].map((score) => score.toFixed(8));
    expect(await readFile(join(out, "evaluation.csv"), "utf8")).toBe(
      "caseID,Dice_kidney,Dice_masses,Dice_tumor,SD_kidney,SD_masses,SD_tumor\n" +
        `case_00000,0.85714286,0.66666667,0.66666667,${kidney.toFixed(8)},${masses.toFixed(8)},${masses.toFixed(8)}\n` +
        "case_00001,0.85714286,1.00000000,0.00000000,1.00000000,1.00000000,0.00000000\n" +
        `average,0.85714286,0.83333333,0.33333333,${average.join()}`,
    );
  });

  it("writes the other scores beside it", async () => {
    const { metrics } = await run();
    const [header, first, second, average] = evaluationMoreCsv(metrics)
      .split("\n")
      .map((row) => row.split(","));
    expect(header.join()).toBe(
      "caseID,JC_kidney,JC_masses,JC_tumor,HD95_kidney,HD95_masses,HD95_tumor,ASD_kidney,ASD_masses,ASD_tumor," +
        "ml_reference_kidney,ml_reference_masses,ml_reference_tumor," +
        "ml_prediction_kidney,ml_prediction_masses,ml_prediction_tumor",
    );
    expect(first.slice(1, 7).join()).toBe("0.75000000,0.50000000,0.50000000,2.00000000,2.00000000,2.00000000");
    expect(second.slice(4, 7).join()).toBe("1.00000000,0.00000000,nan");
    expect(second.slice(10).join()).toBe("0.01600000,0.00800000,0.00400000,0.01200000,0.00800000,0.00000000");
    expect(average.slice(1, 7).join()).toBe("0.75000000,0.75000000,0.25000000,1.50000000,1.00000000,2.00000000");
    expect([first[0], second[0], average[0]]).toEqual(["case_00000", "case_00001", "average"]);
  });

  it("prints a table that keeps the two units apart", async () => {
    const table = formatMetrics((await run({ split: "validation" })).metrics);
    expect(table.split("\n")).toEqual([
      "Agreement with the reference, 3-D per case (split: validation, 2 cases)",
      "case        kidney Dice      SD      JC  masses Dice      SD      JC  tumor Dice      SD      JC",
      "-".repeat(96),
      "case_00000       0.8571  0.9551  0.7500       0.6667  0.8693  0.5000      0.6667  0.8693  0.5000",
      "case_00001       0.8571  1.0000  0.7500       1.0000  1.0000  1.0000      0.0000  0.0000  0.0000",
      "-".repeat(96),
      "mean             0.8571  0.9775  0.7500       0.8333  0.9347  0.7500      0.3333  0.4347  0.2500",
      "SD: surface Dice, tolerance in mm: kidney 1.033, masses 1.133, tumor 1.150",
      "HD95 in mm: kidney 1.50, masses 1.00, tumor 2.00; " +
        "average surface distance: kidney 0.07, masses 0.13, tumor 0.26",
      "  (cases where neither mask is empty: kidney 2, masses 2, tumor 1)",
      "",
      "Another unit, not to be compared with the above: per slice, non-empty reference or prediction " +
        "(slices: kidney 3, masses 2, tumor 2)",
      "mean             0.6190       -  0.5833       0.8333       -  0.7500      0.3333       -  0.2500",
    ]);
  });

  it("scores by another convention and for KiTS19", async () => {
    const { mean } = (await run({ dataset: "kits19" })).metrics;
    expect(mean.tumor).toMatchObject({ dice: (2 / 3 + 1) / 2, jaccard: 3 / 4 });
    const { metrics } = await run({ empty: "nnunet" });
    expect(metrics.empty).toBe("nnunet");
  });

  it("says that references were not scored, and fails when a named case is missing", async () => {
    const few = join(folder, "few");
    await writeNifti(join(few, "case_00001.nii.gz"), Uint8Array.from(labels.case_00001.prediction), geometry);
    const { warnings, metrics } = await run({ predictions: few });
    expect(metrics.cases).toHaveLength(1);
    expect(warnings).toEqual(["1 of 2 references have no prediction and are not scored: case_00000"]);
    await expect(run({ predictions: few, ids: ["case_00000"] })).rejects.toThrow(
      `${few}: must hold a prediction of case_00000, found none; run the prediction of this case first`,
    );
  });

  it("compares volumes stored in other axes as what they are", async () => {
    const turned = join(folder, "turned");
    // The same voxels with the slice axis last and flipped, as other tools write them.
    const axes = { ...geometry, dims: [4, 1, 2] as [number, number, number] };
    axes.affine = [
      [-2, 0, 0, 0],
      [0, -2, 0, 0],
      [0, 0, 1, -1],
    ];
    axes.axes = [2, 1, 0];
    axes.flips = [true, false, false];
    await writeNifti(join(turned, "case_00001.nii.gz"), Uint8Array.from(labels.case_00001.prediction), axes);
    const { metrics, warnings } = await run({ predictions: turned, ids: ["case_00001"] });
    expect(metrics.mean.kidney.dice).toBe(6 / 7);
    expect(warnings).toEqual([expect.stringContaining("case_00001: the prediction is stored in other axes")]);
  });

  it("warns when spacing or place differ, and uses the reference's spacing", async () => {
    const off = join(folder, "off");
    const data = Uint8Array.from(labels.case_00000.prediction);
    await writeNifti(join(off, "case_00000.nii.gz"), data, kitsGeometry([2, 1, 4], [3, 2, 2]));
    const moved = kitsGeometry([2, 1, 4], [1, 2, 2]);
    moved.affine[0][3] = 25;
    await writeNifti(join(off, "case_00001.nii.gz"), data, moved);
    const { warnings, metrics } = await run({ predictions: off });
    expect(warnings).toEqual([
      "case_00000: spacing of the prediction is 3 x 2 x 2 mm, of the reference 1 x 2 x 2 mm; the reference's is used",
      "case_00001: the prediction lies 25.0 mm away from the reference; voxels are compared by index",
    ]);
    expect(metrics.cases[0].kidney.predictionMl).toBe(0.016);
  });

  it("names the case and the fix when shapes or names do not fit", async () => {
    const wrong = join(folder, "wrong");
    await writeNifti(join(wrong, "case_00000.nii.gz"), new Uint8Array(6), kitsGeometry([2, 1, 3], [1, 2, 2]));
    await expect(run({ predictions: wrong })).rejects.toThrow(
      "case_00000: prediction and reference must have one shape, found [2,1,3] and [2,1,4]",
    );
    const unknown = join(folder, "unknown");
    await writeNifti(join(unknown, "case_00009.nii.gz"), new Uint8Array(8), geometry);
    await expect(run({ predictions: unknown })).rejects.toThrow(
      `${reference}: must hold a reference of case_00009 (case_00009.nii.gz), found none; rename the prediction`,
    );
    const bare = join(folder, "bare");
    await mkdir(bare);
    await expect(run({ predictions: bare })).rejects.toThrow(DataError);
    await expect(run({ predictions: bare })).rejects.toThrow(`${bare}: must hold label files, found none; expected`);
    await expect(run({ predictions: join(bare, "no") })).rejects.toThrow("must be a readable folder, found no such file or folder (ENOENT)");
  });
});

describe("labelFiles", () => {
  it("finds trees as downloaded, and names of KiTS19 submissions", async () => {
    const empty = new Uint8Array(8);
    const tree = join(folder, "kits21root");
    await writeNifti(join(tree, "kits21", "data", "case_00003", "aggregated_MAJ_seg.nii.gz"), empty, geometry);
    expect([...(await labelFiles(tree)).keys()]).toEqual(["case_00003"]);
    const flat = join(folder, "flat");
    await writeNifti(join(flat, "prediction_00012.nii.gz"), empty, geometry);
    await writeNifti(join(flat, "case_00002.nii"), empty, geometry);
    expect([...(await labelFiles(flat)).keys()]).toEqual(["case_00002", "case_00012"]);
    await writeNifti(join(flat, "case_00002.nii.gz"), empty, geometry);
    await expect(labelFiles(flat)).rejects.toThrow(
      "a case must have one file, found another for case_00002; remove one",
    );
  });
});

describe("NaN", () => {
  const volume = (data: number[]) => ({ data, shape: [1, 1, 2], spacing: [1, 1, 1] });
  const metrics: Metrics = summarize(
    [
      scoreCase(volume([1, 1]), volume([1, 1]), { id: "a", empty: "nnunet" }),
      scoreCase(volume([1, 2]), volume([1, 2]), { id: "b", empty: "nnunet" }),
    ],
    { empty: "nnunet" },
  );
  it("is left out of means, null in JSON, nan in CSV, - in the table", () => {
    expect(metrics.mean.tumor).toEqual({ dice: 1, jaccard: 1 });
    expect(JSON.parse(JSON.stringify(metrics.cases[0])).tumor.dice).toBeNull();
    expect(evaluationCsv(metrics).split("\n")[1]).toBe("a,1.00000000,nan,nan,nan,nan,nan");
    expect(evaluationMoreCsv(metrics).split("\n")[1]).toMatch(/^a,1.00000000,nan,nan,nan,/);
    expect(formatMetrics(metrics).split("\n")[3]).toMatch(/^a .*-/);
  });
});

describe("real label volumes", () => {
  const kits23 = shared("kits-labels", "kits23");
  it("one KiTS tree against another", async ({ skip }) => {
    if (kits23.missing) skip(kits23.missing);
    const { metrics } = await evaluate({
      reference: kits23.path,
      predictions: shared("kits-labels", "kits19").path,
      ids: ["case_00021"],
      progress: "silent",
    });
    // Golden value, ten decimals.
    expect(Math.abs(metrics.mean.kidney.dice - 0.9736366754)).toBeLessThan(1e-9);
    expect(evaluationCsv(metrics).split("\n").slice(1)).toEqual([
      "case_00021,0.97363668,0.74658838,0.92542144,0.96573449,0.58743625,0.84411701",
      "average,0.97363668,0.74658838,0.92542144,0.96573449,0.58743625,0.84411701",
    ]);
  });
});
