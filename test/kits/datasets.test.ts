import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkLabelValues, checkPair, openDataset } from "../../src/kits/datasets/open.ts";
import { readHeader } from "../../src/kits/nifti.ts";
import { PHANTOM_MARK } from "../../src/kits/phantom.ts";
import { kits19 } from "../../src/kits/datasets/kits19.ts";
import { craftCase, craftFile, kitsMatrix, scratch } from "./craft.ts";
import { shared } from "./shared_data.ts";

const folder = scratch();
const dims = [3, 8, 8];

function tree(name: string, below: string, ids = ["case_00000", "case_00001"]): string {
  const root = join(folder, name);
  for (const id of ids) craftCase(join(root, below), id, dims, (i) => i % 2);
  return root;
}

it("KiTS19: kits.json beside the cases; cases from 210 have no label and are left out", async () => {
  const root = tree("nineteen", "data", ["case_00000", "case_00209", "case_00210"]);
  writeFileSync(join(root, "data/kits.json"), "[]");
  rmSync(join(root, "data/case_00210/segmentation.nii.gz"));
  const { spec, cases } = await openDataset(root);
  expect(spec.name).toBe("kits19");
  expect(spec.labels).toEqual(["background", "kidney", "tumor"]);
  expect(cases.map((c) => c.id)).toEqual(["case_00000", "case_00209"]);
  expect((await openDataset(root, { labels: "optional" })).cases[2]).toMatchObject({ id: "case_00210", label: null });
});

it("KiTS21: the majority vote is the label", async () => {
  const root = tree("twentyone", "kits21/data");
  writeFileSync(join(root, "kits21/data/kits.json"), "[]");
  for (const id of ["case_00000", "case_00001"]) {
    const place = join(root, "kits21/data", id);
    renameSync(join(place, "segmentation.nii.gz"), join(place, "aggregated_MAJ_seg.nii.gz"));
  }
  const { spec, cases } = await openDataset(root);
  expect(spec.name).toBe("kits21");
  expect(cases[1].label).toMatch(/case_00001.aggregated_MAJ_seg\.nii\.gz$/);
});

it("KiTS23: by kits23.json or by instances/, images in the case folder or under images/", async () => {
  const root = tree("twentythree", "dataset");
  writeFileSync(join(root, "dataset/kits23.json"), "[]");
  expect((await openDataset(root)).spec.name).toBe("kits23");
  rmSync(join(root, "dataset/kits23.json"));
  mkdirSync(join(root, "dataset/case_00000/instances"));
  mkdirSync(join(root, "images"));
  renameSync(join(root, "dataset/case_00001/imaging.nii.gz"), join(root, "images/case_00001.nii.gz"));
  const { spec, cases } = await openDataset(root);
  expect(spec.name).toBe("kits23");
  expect(spec.regions).toEqual({ kidney: [1, 2, 3], masses: [2, 3], tumor: [2] });
  expect(cases.map((c) => c.image.slice(root.length))).toEqual([
    join("/dataset/case_00000/imaging.nii.gz"), join("/images/case_00001.nii.gz"),
  ]);
});

it("any folder in KiTS layout works, and the phantom says that it is synthetic", async () => {
  const root = tree("plain", ".");
  expect(await openDataset(root)).toMatchObject({ spec: { name: "kits" }, synthetic: false });
  writeFileSync(join(root, PHANTOM_MARK), "{}");
  expect(await openDataset(root)).toMatchObject({ spec: { name: "phantom" }, synthetic: true });
  expect((await openDataset(root, { name: "kits23" })).spec.name).toBe("kits23");
  await expect(openDataset(root, { name: "lits" })).rejects.toThrow("must be one of phantom, kits21, kits23, kits19, kits, found lits");
});

it("an empty folder, no folder, a file: the message says what was looked for", async () => {
  mkdirSync(join(folder, "empty"));
  await expect(openDataset(join(folder, "empty"))).rejects.toThrow(/no case folders found .* KiTS19, KiTS21 or KiTS23/);
  await expect(openDataset(join(folder, "nowhere"))).rejects.toThrow("must be a folder of cases, found nothing; check --data");
});

it("every case without an image or a label is listed in one message", async () => {
  const root = tree("holes", ".", ["case_00000", "case_00001", "case_00002"]);
  rmSync(join(root, "case_00000/imaging.nii.gz"));
  rmSync(join(root, "case_00002/segmentation.nii.gz"));
  await expect(openDataset(root)).rejects.toThrow(
    /found 2 missing.*\n  case_00000: imaging\.nii\.gz is missing\n  case_00002: segmentation\.nii\.gz is missing/,
  );
});

const headerOf = async (name: string, shape: number[], sform: number[][]) =>
  readHeader(craftFile(join(folder, name), { dims: shape, values: new Uint8Array(shape[0] * shape[1] * shape[2]), type: "uint8", sform }));

it("a label must have its image's shape and lie on its grid, with half a voxel of tolerance", async () => {
  const image = await headerOf("image.nii", [3, 8, 9], kitsMatrix(2.5, 1, 1));
  const noisy = kitsMatrix(2.5, 1, 1);
  noisy[0][0] += 1e-4;
  noisy[1][3] += 0.49;
  checkPair("case_00007", image, await headerOf("noisy.nii", [3, 8, 9], noisy));
  const shifted = kitsMatrix(2.5, 1, 1);
  shifted[1][3] += 0.51;
  const pair = (label: typeof image) => () => checkPair("case_00007", image, label);
  expect(pair(await headerOf("shifted.nii", [3, 8, 9], shifted))).toThrow(/case_00007: .* corner 0\.51 mm away \(at most 0\.50 mm/);
  expect(pair(await headerOf("spacing.nii", [3, 8, 9], kitsMatrix(3, 1, 1)))).toThrow(/label spacing 3 x 1 x 1 mm/);
  expect(pair(await headerOf("shape.nii", [3, 9, 8], kitsMatrix(2.5, 1, 1)))).toThrow("must have its image's shape [3,8,9], found [3,9,8]");
});

it("label values outside the dataset's list are named with their counts", () => {
  const counts = new Float64Array(256);
  counts[0] = 10;
  counts[2] = 5;
  checkLabelValues(kits19, "seg.nii.gz", counts);
  counts[3] = 7;
  expect(() => checkLabelValues(kits19, "seg.nii.gz", counts)).toThrow(
    "seg.nii.gz: labels of KiTS19 are 0 background, 1 kidney, 2 tumor; found 3 (7 voxels)",
  );
});

const onDisk = shared("real-ct/data");
it.skipIf(onDisk.missing)(`folders in KiTS layout on disk: ${onDisk.missing ?? "found"}`, async () => {
  expect((await openDataset(shared("kits-sim").path)).cases.length).toBe(30);
  const { cases } = await openDataset(onDisk.path);
  checkPair(cases[0].id, await readHeader(cases[0].image), await readHeader(cases[0].label!));
});
