// nnU-Net's raw layout: read as it is, written from KiTS, and turned back, with every voxel and matrix as it was.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromNnunet } from "../../src/kits/convert/fromNnunet.ts";
import { toNnunet, type ToNnunetOptions } from "../../src/kits/convert/toNnunet.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { diagnose } from "../../src/kits/doctor.ts";
import { evaluate } from "../../src/kits/evaluate.ts";
import { readFolds } from "../../src/kits/folds.ts";
import { readImage, readLabels } from "../../src/kits/nifti.ts";
import { saveSplit, splitCases } from "../../src/kits/split.ts";
import { craftCase, craftFile, scratch } from "./craft.ts";

const folder = scratch();
const at = (...path: string[]) => join(folder, ...path);
const dims = [3, 8, 8];
const ids = Array.from({ length: 6 }, (_, i) => `case_0000${i}`);
let made = 0;
/** A copy of a converted dataset, to be changed. */
const fresh = (name = "Dataset220_KiTS23") => {
  const root = at(`copy-${made++}`);
  cpSync(at("raw", name), root, { recursive: true });
  return root;
};
const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), "utf8"));
const setLabels = (root: string, labels: object, more: object = {}) => {
  const facts = json(root, "dataset.json");
  delete facts.regions_class_order;
  writeFileSync(join(root, "dataset.json"), JSON.stringify({ ...facts, labels, ...more }));
};
const convert = (more: Partial<ToNnunetOptions> = {}) => toNnunet({ data: at("tree"), out: at("raw"), ...more });

beforeAll(async () => {
  for (const id of ids) craftCase(at("tree"), id, dims, (i) => (i + Number(id.slice(-1))) % 4);
  craftCase(at("tree"), "case_00007", dims);
  rmSync(at("tree/case_00007/segmentation.nii.gz"));
  writeFileSync(at("tree/kits23.json"), "[]");
  await convert();
});

describe("to nnU-Net", () => {
  const root = () => at("raw/Dataset220_KiTS23");

  test("names, links and dataset.json are nnU-Net's", async () => {
    expect(readdirSync(root()).sort()).toEqual([
      "dataset.json",
      "imagesTr",
      "imagesTs",
      "labelsTr",
      "splits_final.json",
    ]);
    expect(readdirSync(join(root(), "imagesTr"))).toEqual(ids.map((id) => `${id}_0000.nii.gz`));
    expect(readdirSync(join(root(), "labelsTr"))).toEqual(ids.map((id) => `${id}.nii.gz`));
    expect(readdirSync(join(root(), "imagesTs"))).toEqual(["case_00007_0000.nii.gz"]);
    expect(json(root(), "dataset.json")).toEqual({
      name: "KiTS23",
      licence: "CC BY-NC-SA 4.0",
      channel_names: { "0": "CT" },
      labels: { background: 0, kidney: [1, 2, 3], masses: [2, 3], tumor: 2 },
      regions_class_order: [1, 3, 2],
      numTraining: 6,
      file_ending: ".nii.gz",
      overwrite_image_reader_writer: "NibabelIOWithReorient",
    });
    expect(Object.keys(json(root(), "dataset.json").labels)).toEqual(["background", "kidney", "masses", "tumor"]); // the order counts
    const folds = await readFolds(join(root(), "splits_final.json"));
    expect(folds.flatMap(({ val }) => val).sort()).toEqual(ids);
    const inode = (path: string) => statSync(path).ino;
    expect(inode(join(root(), "imagesTr/case_00002_0000.nii.gz"))).toBe(inode(at("tree/case_00002/imaging.nii.gz")));
  });

  test("labels, symbolic links, copies; a volume that is not packed is", async () => {
    const source = at("odd");
    for (const id of ids.slice(0, 3)) craftCase(source, id, dims, (i) => i % 3);
    rmSync(join(source, "case_00001/imaging.nii.gz"));
    craftFile(join(source, "case_00001/imaging.nii"), {
      dims,
      values: Array(192).fill(7),
      sform: [
        [0, 0, -1, 0],
        [0, -1, 0, 0],
        [-3, 0, 0, 0],
      ],
    });
    const made = await convert({
      data: source,
      dataset: "kits19",
      id: 19,
      name: "A",
      targets: "labels",
      placing: "symbolic",
      folds: 3,
    });
    expect(made).toMatchObject({ training: 3, test: 0, folds: 3, copied: 1 });
    const image = (id: string) => join(made.folder, `imagesTr/${id}_0000.nii.gz`);
    expect(lstatSync(image("case_00000")).isSymbolicLink()).toBe(true);
    expect((await readImage(image("case_00001"))).data.every((v) => v === 7)).toBe(true);
    expect(json(made.folder, "dataset.json").labels).toEqual({ background: 0, kidney: 1, tumor: 2 });
    const copied = await convert({ data: source, dataset: "kits19", id: 20, placing: "copy", folds: 2 });
    expect(copied).toMatchObject({ folder: at("raw/Dataset020_KiTS19"), copied: 6 });
    expect(json(copied.folder, "dataset.json")).toMatchObject({
      labels: { background: 0, kidney: [1, 2], tumor: 2 },
      regions_class_order: [1, 2],
    });
  });

  test("the split of a run is one fold, its test cases are apart with their labels", async () => {
    const split = splitCases(ids, { fractions: [3, 1, 2] });
    await saveSplit(at("splits.json"), split);
    const { folder: made } = await convert({ id: 7, split: at("splits.json") });
    expect(await readFolds(join(made, "splits_final.json"))).toEqual([{ train: split.train, val: split.val }]);
    expect(readdirSync(join(made, "labelsTs"))).toEqual(split.test.map((id) => `${id}.nii.gz`));
    expect(readdirSync(join(made, "imagesTs")).length).toBe(split.test.length + 1);
    expect(json(made, "dataset.json").numTraining).toBe(6 - split.test.length);
  });

  const shm = existsSync("/dev/shm") && statSync("/dev/shm").dev !== statSync(folder).dev ? "/dev/shm" : null;
  test.skipIf(!shm)(`volumes are copied to another file system${shm ? "" : ": there is none here"}`, async () => {
    const out = mkdtempSync(join(shm!, "wgrad-nnunet-"));
    try {
      expect(await convert({ out })).toMatchObject({ training: 6, copied: 13 });
      const image = join(out, "Dataset220_KiTS23/imagesTr/case_00001_0000.nii.gz");
      expect(readFileSync(image).equals(readFileSync(at("tree/case_00001/imaging.nii.gz")))).toBe(true);
    } finally {
      rmSync(out, { recursive: true });
    }
  });

  test("bad options and data are named", async () => {
    await expect(convert()).rejects.toThrow(/Dataset220_KiTS23: is there already; choose another --id/);
    await expect(convert({ id: 1000 })).rejects.toThrow("--id must be a whole number from 1 to 999, found 1000");
    await expect(convert({ name: "../x" })).rejects.toThrow("--name must be letters");
    await expect(convert({ id: 9, folds: 7 })).rejects.toThrow(
      "folds must be from 2 to the number of cases, 6, found 7",
    );
    craftCase(at("apart"), "case_00000", dims);
    craftCase(at("apart"), "case_00001", dims);
    craftFile(at("apart/case_00001/segmentation.nii.gz"), {
      dims: [3, 8, 7],
      values: new Uint8Array(168),
      type: "uint8",
      sform: [
        [0, 0, -1, 0],
        [0, -1, 0, 0],
        [-3, 0, 0, 0],
      ],
    });
    await expect(convert({ data: at("apart"), id: 8, folds: 2 })).rejects.toThrow(
      "case_00001: the label must have its image's shape",
    );
  });
});

describe("nnU-Net's folder as --data", () => {
  test("is read with the labels that dataset.json names, regions or plain, with and without cysts", async () => {
    const opened = await openDataset(at("raw/Dataset220_KiTS23"));
    expect(opened.spec).toMatchObject({ name: "kits", title: "nnU-Net raw Dataset220_KiTS23" });
    expect(opened.cases.map(({ id }) => id)).toEqual(ids);
    expect((await openDataset(at("raw/Dataset220_KiTS23"), { labels: "optional" })).cases.at(-1)).toMatchObject({
      id: "case_00007",
      label: null,
    });
    const root = fresh();
    for (const [labels, name] of [
      [{ background: 0, kidney: 1, tumor: 2, cyst: 3 }, "kits"],
      [{ background: 0, Kidney: 1, "Kidney Tumour": 2 }, "kits19"],
      [{ background: 0, Kidneys: 1, Tumour: 2 }, "kits19"],
      [{ background: 0, kidney_and_tumor: [1, 2], tumor: [2] }, "kits19"],
      [{ background: 0, kidney_and_masses: [3, 1, 2], mass: [2, 3], tumour: 2 }, "kits"],
    ] as const) {
      setLabels(root, labels);
      expect((await openDataset(root)).spec.name).toBe(name);
    }
    for (const labels of [
      { background: 0, kidney: 1 },
      { background: 0, kidney: 1, tumor: 3 },
      { background: 0, kidney: 1, tumor: 2, renal_tumour: 3 },
      { background: 0, kidney: [1, 2], tumor: [1] },
    ]) {
      setLabels(root, labels);
      await expect(openDataset(root)).rejects.toThrow("labels must be named kidney, tumor and maybe cyst");
    }
    setLabels(root, { background: 0, kidney: 1, cyst: 2, tumor: 3 });
    await expect(openDataset(root)).rejects.toThrow(
      "labels must be 1 kidney, 2 tumor, 3 cyst, found 1 kidney, 2 cyst, 3 tumor; convert:kits --from nnunet writes them anew",
    );
    setLabels(root, { background: 0, liver: 1, tumor: 2 });
    await expect(openDataset(root)).rejects.toThrow("found background 0, liver 1, tumor 2; rename them");
  });

  test("other versions, channels and formats are named, and so are cases without image or label", async () => {
    const root = fresh();
    const labels = { background: 0, kidney: 1, tumor: 2, cyst: 3 };
    setLabels(root, labels, { channel_names: { 0: "CT", 1: "PET" } });
    await expect(openDataset(root)).rejects.toThrow("images must have one channel, a CT, found CT, PET");
    setLabels(root, labels, { channel_names: { 0: "CT" }, file_ending: ".mha" });
    await expect(openDataset(root)).rejects.toThrow("file_ending must be one of .nii.gz, .nii, found .mha");
    setLabels(root, { 0: "background", 1: "kidney" }, { file_ending: ".nii.gz" });
    await expect(openDataset(root)).rejects.toThrow(
      /labels.0 must be a list, found background; nnU-Net's documentation/,
    );
    setLabels(root, labels);
    rmSync(join(root, "imagesTr/case_00001_0000.nii.gz"));
    rmSync(join(root, "labelsTr/case_00004.nii.gz"));
    await expect(openDataset(root)).rejects.toThrow(
      /found 2 missing[\s\S]*case_00001: imagesTr\/case_00001_0000\.nii\.gz is missing\n  case_00004: labelsTr\/case_00004\.nii\.gz is missing/,
    );
    expect((await diagnose(root)).findings.filter(({ severity }) => severity === "error").map(({ id }) => id)).toEqual([
      "case_00001",
      "case_00004",
    ]);
  });

  test("evaluate takes it as reference, and a folder of nnU-Net's predictions as it is", async () => {
    const predictions = at("predicted");
    cpSync(at("raw/Dataset220_KiTS23/labelsTr"), predictions, { recursive: true });
    for (const name of ["dataset.json", "plans.json", "predict_from_raw_data_args.json"])
      writeFileSync(join(predictions, name), "{}");
    const { metrics, warnings } = await evaluate({
      reference: at("raw/Dataset220_KiTS23"),
      predictions,
      surface: false,
      progress: "silent",
    });
    expect(metrics.cases.map(({ id }) => id)).toEqual(ids);
    expect(metrics.mean.tumor.dice).toBe(1);
    expect(warnings).toEqual([]);
  });
});

describe("from nnU-Net", () => {
  test("there and back, bytes are the same", async () => {
    const made = await fromNnunet({ data: at("raw/Dataset220_KiTS23"), out: at("back"), placing: "copy" });
    expect(made).toMatchObject({ cases: 7, test: 1, copied: 13 });
    for (const id of ids)
      for (const name of ["imaging.nii.gz", "segmentation.nii.gz"])
        expect(readFileSync(at("back", id, name)).equals(readFileSync(at("tree", id, name)))).toBe(true);
    expect((await openDataset(at("back"), { labels: "optional" })).cases.length).toBe(7);
    await expect(fromNnunet({ data: at("raw/Dataset220_KiTS23"), out: at("back") })).rejects.toThrow(
      /case_00000: is there already/,
    );
    await expect(fromNnunet({ data: at("tree"), out: at("x") })).rejects.toThrow("must hold dataset.json and imagesTr");
  });

  test("labels of other meanings are written anew, names get case_ in front", async () => {
    const root = fresh();
    for (const part of ["imagesTr", "labelsTr", "imagesTs"])
      for (const name of readdirSync(join(root, part)))
        renameSync(join(root, part, name), join(root, part, name.replace("case_", "KiTS-")));
    setLabels(root, { background: 0, kidney: 1, cyst: 2, tumor: 3 });
    await fromNnunet({ data: root, out: at("other") });
    const [before, after] = await Promise.all(
      [join(root, "labelsTr/KiTS-00003.nii.gz"), at("other/case_KiTS_00003/segmentation.nii.gz")].map((path) =>
        readLabels(path),
      ),
    );
    expect([...after.data]).toEqual([...before.data].map((v) => [0, 1, 3, 2][v]));
    expect(after.header.affine).toEqual(before.header.affine);
    setLabels(root, { background: 0, kidney: 2, tumor: 1 });
    await expect(fromNnunet({ data: root, out: at("third") })).rejects.toThrow(
      "labels must be those of dataset.json, found 3",
    );
  });
});

const python = spawnSync("/usr/bin/python3", ["-c", "import nibabel"]).status === 0;
test.skipIf(!python)(`nibabel sees the same volumes${python ? "" : ": it is not on this machine"}`, async () => {
  const root = fresh();
  setLabels(root, { background: 0, kidney: 2, tumor: 1, cyst: 3 });
  await fromNnunet({ data: root, out: at("seen") });
  const script = `
import nibabel, numpy, sys
a, b = nibabel.load(sys.argv[1]), nibabel.load(sys.argv[2])
x, y = numpy.asarray(a.dataobj), numpy.asarray(b.dataobj)
assert a.shape == b.shape and x.dtype == y.dtype
assert (a.affine == b.affine).all() and (a.header.get_zooms() == b.header.get_zooms())
assert (numpy.array([int(v) for v in sys.argv[3]], x.dtype)[x] == y).all() if sys.argv[3] else (x == y).all()
`;
  const same = (a: string, b: string, map: string) => {
    const { status, stderr } = spawnSync("/usr/bin/python3", ["-c", script, a, b, map], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
  };
  same(at("tree/case_00002/imaging.nii.gz"), join(root, "imagesTr/case_00002_0000.nii.gz"), "");
  same(at("tree/case_00002/imaging.nii.gz"), at("seen/case_00002/imaging.nii.gz"), "");
  same(at("tree/case_00002/segmentation.nii.gz"), join(root, "labelsTr/case_00002.nii.gz"), "");
  same(at("tree/case_00002/segmentation.nii.gz"), at("seen/case_00002/segmentation.nii.gz"), "0213");
});

describe("the commands", () => {
  const run = (name: string, ...args: string[]) => {
    const command = new URL(`../../dist/${name}.js`, import.meta.url).pathname;
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args, "--progress", "lines"], {
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  test("convert both ways", () => {
    const to = run(
      "convert-kits",
      "--to",
      "nnunet",
      "--data",
      at("tree"),
      "--out",
      at("cli"),
      "--id",
      "3",
      "--folds",
      "2",
    );
    expect(to.stderr).toMatch(
      /Dataset003_KiTS23: 6 cases for training, 1 in imagesTs, 0 volumes copied\n.*\(2 folds\) in nnUNet_preprocessed/,
    );
    expect(to.status).toBe(0);
    const from = run(
      "convert-kits",
      "--from",
      "nnunet",
      "--data",
      at("cli/Dataset003_KiTS23"),
      "--out",
      at("cli/tree"),
    );
    expect(from.stderr).toMatch(/cli\/tree: 7 cases, 1 of them from imagesTs, 0 volumes copied\n$/);
    const neither = run("convert-kits", "--data", at("tree"), "--out", at("cli"));
    expect(neither).toMatchObject({ status: 1, stderr: "convert:kits: give --to nnunet or --from nnunet\n" });
    expect(
      run("convert-kits", "--from", "nnunet", "--seed", "3", "--data", at("tree"), "--out", at("cli")).stderr,
    ).toContain("--seed goes with --to");
  });

  test("evaluate prints the table, writes the files, warns of what is not predicted and names what has no reference", () => {
    const predictions = at("some");
    mkdirSync(predictions);
    for (const id of ids.slice(0, 2)) cpSync(at("tree", id, "segmentation.nii.gz"), join(predictions, `${id}.nii.gz`));
    const args = ["--reference", at("tree"), "--predictions", predictions];
    const { status, stdout, stderr } = run("evaluate-kits", ...args, "--out", at("scores"), "--json");
    expect(status).toBe(0);
    expect(stderr).toMatch(/warning: 4 of 6 references have no prediction and are not scored: case_00002/);
    expect(stderr).toMatch(/mean +1\.0000/);
    expect(JSON.parse(stdout)).toMatchObject({ mean: { tumor: { dice: 1, surfaceDice: 1 } } });
    expect(readFileSync(at("scores/evaluation.csv"), "utf8")).toMatch(/^caseID,Dice_kidney,.*\ncase_00000,1\.0/);
    expect(json(at("scores/metrics.json")).cases.length).toBe(2);
    const all = run("evaluate-kits", ...args, "--cases", ...ids);
    expect(all).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("must hold a prediction of case_00002, found none"),
    });
    const root = fresh();
    setLabels(root, { background: 0, kidney: 1, tumor: 2 }); // two labels, as KiTS19: what is no kidney is tumor
    const two = run("evaluate-kits", "--reference", root, "--predictions", predictions, "--no-surface", "--json");
    const [first] = JSON.parse(two.stdout).cases;
    expect(first.tumor.reference).toBe(first.masses.reference);
    const three = json(at("scores/metrics.json")).cases[0];
    expect(three.tumor.reference).toBeLessThan(three.masses.reference);
    setLabels(root, { background: 0, kidney: 1, cyst: 2, tumor: 3 });
    expect(run("evaluate-kits", "--reference", root, "--predictions", predictions).stderr).toContain(
      "labels must be 1 kidney",
    );
    cpSync(join(predictions, "case_00000.nii.gz"), join(predictions, "case_00099.nii.gz"));
    expect(run("evaluate-kits", ...args).stderr).toMatch(/evaluate:kits: .*must hold a reference of case_00099/);
  });
});
