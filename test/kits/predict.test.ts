// predict:kits as a user meets it: files on the scan's own grid however it lies, volumes, folders with a bad file in them,
// what is there already.
import { spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { gpu } from "../../src/gpu/device.ts";
import { close, init } from "../../src/index.ts";
import { GpuSlices } from "../../src/kits/batch.ts";
import { openCache, type SliceCache } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { orientationOf, type Geometry } from "../../src/kits/geometry.ts";
import { readImage, readLabels, writeNifti } from "../../src/kits/nifti.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { findScans } from "../../src/kits/predictInputs.ts";
import { predictKits } from "../../src/kits/predictKits.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { dataFacts, saveFacts, type RunFacts } from "../../src/kits/run.ts";
import { saveTinyWeights, predictByFiles, tinyOptions } from "./tinyCascade.ts";
import { craftFile } from "./craft.ts";

const command = new URL("../../dist/predict-kits.js", import.meta.url).pathname;
const CASES = ["case_00000", "case_00001", "case_00002"];
let work: string;
let cache: SliceCache;

/** A finished run of networks with random weights, with its own predictions of every case. */
beforeAll(async () => {
  await init();
  work = mkdtempSync(join(tmpdir(), "wgrad-predict-"));
  await writePhantom(join(work, "data"), { cases: 3, slices: 6, size: 40 });
  await preprocess(await openDataset(join(work, "data")), join(work, "cache"), { size: 32 });
  cache = await openCache(join(work, "cache"));
  const options = tinyOptions({ coarseMasks: "regions", tumorRule: "voxels" });
  options.coarse.size = 32;
  await saveTinyWeights(options, join(work, "run"));
  await predictByFiles(options, join(work, "run"), cache, cache);
  const split = {
    unit: "case",
    seed: 0,
    fractions: [8, 1, 1],
    overfit: false,
    train: [],
    val: [],
    test: CASES,
  } as const;
  await saveFacts(join(work, "run"), {
    status: "finished",
    ...{ wgrad: "0", node: "0", preset: "phantom", options, stages: ["coarse", "kidney", "masses", "tumor"] },
    adapter: { name: "none", driver: "none", software: true },
    data: dataFacts(cache.index, ""),
    ...{ split, started: "now" },
  } as unknown as RunFacts);
});
afterAll(() => {
  cache.close();
  close();
  rmSync(work, { recursive: true, force: true });
});

function run(...args: string[]): { status: number | null; out: string; err: string } {
  const all = [command, "--run", "run", "--progress", "lines", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: "utf8", cwd: work });
  return { status, out: stdout, err: stderr };
}

const labelsOf = async (...path: string[]) => (await readLabels(join(work, ...path))).data;
const expectLabels = async (found: string, expected: string) =>
  expect(Buffer.compare(await labelsOf(found), await labelsOf(expected)), found).toBe(0);

test("a KiTS tree: the run's own labels, bit by bit; volumes, pictures, probabilities, a table", async () => {
  const { status, out, err } = run("--input", "data", "--output", "all", "--probabilities", "--confidence", "--json");
  expect(err).toMatch(/scan +kidney ml +tumor ml +cyst ml +seconds\ncase_00000 /);
  expect(status).toBe(0);
  const maps = ["kidney", "masses", "tumor"].flatMap((s) => [`${s}_confidence`, `${s}_probability`]);
  const made = CASES.flatMap((id) => [`${id}.nii.gz`, `${id}.png`, ...maps.map((map) => `${id}_${map}.nii.gz`)]);
  expect(readdirSync(join(work, "all")).sort()).toEqual([...made, "volumes.csv", "volumes.json"].sort());
  const volumes = JSON.parse(out.trim().split("\n").at(-1)!);
  expect(volumes).toEqual(JSON.parse(readFileSync(join(work, "all/volumes.json"), "utf8")));
  for (const [k, id] of CASES.entries()) {
    await expectLabels(`all/${id}.nii.gz`, `run/predictions/${id}.nii.gz`);
    const { data, header } = await readLabels(join(work, "all", `${id}.nii.gz`));
    const voxel = header.spacing.reduce((a, b) => a * b) / 1000;
    const ml = ["kidney", "tumor", "cyst"].map((_, label) => data.filter((v) => v === label + 1).length * voxel);
    expect(Object.values<number>(volumes.scans[k].ml)).toEqual(ml.map((v) => expect.closeTo(v, 3)));
    expect(ml.filter((v) => v > 1).length).toBeGreaterThan(1);
    expect(readFileSync(join(work, "all/volumes.csv"), "utf8")).toContain(
      `\n${id},${Object.values(volumes.scans[k].ml).join(",")}\n`,
    );
    // A PNG of the size of a preview.
    const png = readFileSync(join(work, "all", `${id}.png`));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([1330, 568]);
  }
});

test("a run whose coarse network alone is trained: kidney and mass, as its stage gives them", async () => {
  mkdirSync(join(work, "partial/checkpoints/coarse"), { recursive: true });
  for (const file of ["run.json", "checkpoints/coarse/best.safetensors"])
    copyFileSync(join(work, "run", file), join(work, "partial", file));
  const input = "data/case_00001/imaging.nii.gz";
  const { status, err } = run("--run", "partial", "--input", input, "--output", "coarse", "--no-preview");
  expect(err).toMatch(/the run has no kidney, masses, tumor network yet: the labels are kidney and mass/);
  expect(err).toMatch(/scan +kidney ml +mass ml/);
  expect(status).toBe(0);
  await expectLabels("coarse/case_00001.nii.gz", "run/stages/coarse/case_00001.nii.gz");
  expect(readdirSync(join(work, "coarse")).sort()).toEqual(["case_00001.nii.gz", "volumes.csv", "volumes.json"]);
});

/** The grid with its file axes in another order and direction: it lies in the patient as before. */
function turned(geometry: Geometry, order: readonly number[], flip: readonly boolean[]): Geometry {
  const dims = order.map((axis) => geometry.dims[axis]) as Geometry["dims"];
  const affine = geometry.affine.map((row) => {
    const columns = order.map((axis, k) => (flip[k] ? -row[axis] : row[axis]));
    const start = order.reduce((sum, axis, k) => sum + (flip[k] ? row[axis] * (geometry.dims[axis] - 1) : 0), row[3]);
    return [...columns, start];
  });
  return { ...geometry, dims, affine, ...orientationOf(affine) };
}

const PYTHON = "/usr/bin/python3";
const nibabel = existsSync(PYTHON) && spawnSync(PYTHON, ["-c", "import nibabel"]).status === 0;

describe("scans that lie in other ways", () => {
  const ways: [string, number[], boolean[]][] = [
    ["as most tools write: right, anterior, superior", [2, 1, 0], [true, true, true]],
    ["left, posterior, superior", [2, 1, 0], [false, false, true]],
    ["coronal", [2, 0, 1], [false, true, false]],
    ["sagittal", [1, 0, 2], [true, false, true]],
  ];
  beforeAll(async () => {
    mkdirSync(join(work, "ways"));
    const { data, header } = await readImage(join(work, "data/case_00000/imaging.nii.gz"));
    for (const [k, [, order, flip]] of ways.entries())
      await writeNifti(join(work, "ways", `way${k}_0000.nii.gz`), data, turned(header, order, flip));
    const { status, err } = run("--input", "ways", "--output", "turned");
    expect(err).toContain("4 scans in");
    expect(status).toBe(0);
  });

  test.each(ways.map(([name], k) => [name, k]))("%s", async (_, k) => {
    await expectLabels(`turned/way${k}.nii.gz`, "run/predictions/case_00000.nii.gz");
  });

  test.runIf(nibabel)("nibabel finds labels on the scan's grid, in one place in the patient", () => {
    const pairs = ways.map((_, k) => [
      join(work, "ways", `way${k}_0000.nii.gz`),
      join(work, "turned", `way${k}.nii.gz`),
    ]);
    const first = [join(work, "data/case_00000/imaging.nii.gz"), join(work, "run/predictions/case_00000.nii.gz")];
    python(SAME_PLACE, JSON.stringify([first, ...pairs]));
  });
});

/** Exits with a message where a check fails. */
function python(script: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(PYTHON, ["-c", script, ...args], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

const SAME_PLACE = `
import json, sys, numpy as np, nibabel as nib
canonical = []
for scan, labels in json.loads(sys.argv[1]):
    scan, labels = nib.load(scan), nib.load(labels)
    assert scan.shape == labels.shape and np.array_equal(scan.affine, labels.affine)
    canonical.append(np.asarray(nib.as_closest_canonical(labels).dataobj))
    assert canonical[-1].max() > 0
    assert np.array_equal(canonical[0], canonical[-1])
`;

const SAME_HEADER = `
import json, sys, numpy as np, nibabel as nib
KEPT = ["pixdim", "qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d",
        "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"]
for scan, labels, probability in json.loads(sys.argv[1]):
    scan, labels, probability = nib.load(scan), nib.load(labels), nib.load(probability)
    for made in labels, probability:
        assert made.shape == scan.shape and np.array_equal(made.affine, scan.affine)
        assert made.get_data_dtype() == np.uint8
        for name in KEPT:
            # float32 bits: a spacing of 0.7 is the same 0.7
            assert np.array_equal(made.header[name], scan.header[name]), (name, made.header[name], scan.header[name])
    assert set(np.unique(labels.dataobj)) <= {0, 1, 2, 3}
    p = probability.get_fdata()
    assert 0 <= p.min() and p.max() <= 1 + 1e-6 and len(np.unique(p)) > 1
`;

test.runIf(nibabel)(
  "nibabel finds the scan's header: spacing, units, codes and both matrices, whatever they say",
  async () => {
    const { data } = await readImage(join(work, "data/case_00000/imaging.nii.gz"));
    const dims = [40, 40, data.length / 1600];
    const half = [0, 0, 1, -7.5, 3.25, 100, -1]; // a half turn, left-handed
    const sheared = [
      [-0.7, 0, 0.1, 9],
      [0, 0.7, 0, 8],
      [0, 0.05, 3, -40],
    ];
    const base = { dims, values: data, pixdim: [0.7, 0.7, 3] };
    const crafts = { qform: { ...base, qform: half }, both: { ...base, qform: half, sform: sheared }, none: base };
    for (const [name, craft] of Object.entries(crafts)) {
      craftFile(join(work, "heads", `${name}.nii.gz`), craft);
      craftFile(join(work, "heads", `${name}_big.nii`), { ...craft, bigEndian: true, type: "float32" });
    }
    expect(run("--input", "heads", "--output", "headed", "--probabilities").status).toBe(0);
    const names = readdirSync(join(work, "heads"));
    expect(names.length).toBe(6);
    const files = names.map((file) => {
      const name = file.replace(/\.nii(\.gz)?$/, "");
      const made = (end: string) => join(work, "headed", `${name}${end}.nii.gz`);
      return [join(work, "heads", file), made(""), made("_kidney_probability")];
    });
    python(SAME_HEADER, JSON.stringify(files));
  },
);

describe("a folder", () => {
  test("with bad files: they are named, the others are predicted, exit code 1", async () => {
    mkdirSync(join(work, "mixed"));
    const image = readFileSync(join(work, "data/case_00000/imaging.nii.gz"));
    writeFileSync(join(work, "mixed/a_0000.nii.gz"), image);
    writeFileSync(join(work, "mixed/cut.nii.gz"), image.subarray(0, image.length >> 1));
    writeFileSync(join(work, "mixed/page.nii.gz"), "<html>".repeat(99));
    writeFileSync(join(work, "mixed/z.nii.gz"), image);
    const { status, err } = run("--input", "mixed", "--output", "mixed-out", "--no-preview");
    expect(status).toBe(1);
    expect(err).toMatch(/not predicted: page: \S*page\.nii\.gz: is not a NIfTI file/);
    expect(err).toMatch(/not predicted: cut: \S*cut\.nii\.gz: the file is cut short/);
    expect(err).not.toContain("unexpected error");
    for (const name of ["a", "z"]) await expectLabels(`mixed-out/${name}.nii.gz`, "run/predictions/case_00000.nii.gz");
    expect(JSON.parse(readFileSync(join(work, "mixed-out/volumes.json"), "utf8")).scans.length).toBe(2);
  });

  test("what is there already stays unless asked; Ctrl-C ends between batches, and --resume goes on", async () => {
    const ended = await interrupted("--input", "data", "--output", "twice", "--no-preview");
    expect(ended.err).toMatch(
      /interrupted: ending after this batch[\s\S]*predict:kits: interrupted; --resume goes on from here/,
    );
    expect(ended.status).toBe(130);
    const begun = readdirSync(join(work, "twice")).filter((name) => name.endsWith(".nii.gz"));
    expect(begun.length).toBeGreaterThan(0);
    expect(begun.length).toBeLessThan(3);
    const refused = run("--input", "data", "--output", "twice", "--no-preview");
    expect(refused.status).toBe(1);
    expect(refused.err).toMatch(/case_0000\d\.nii\.gz is there already.*add --overwrite to predict again, or --resume/);
    const other = run("--input", "data", "--output", "twice", "--no-preview", "--resume", "--tta");
    expect(other.err).toMatch(/--resume goes on with the run, networks, --tta and --batch of/);
    const resumed = run("--input", "data", "--output", "twice", "--no-preview", "--resume");
    expect(resumed.err).toContain(`${begun.length} of 3 scans are there already`);
    expect(resumed.status).toBe(0);
    for (const id of CASES) await expectLabels(`twice/${id}.nii.gz`, `run/predictions/${id}.nii.gz`);
    const scans = JSON.parse(readFileSync(join(work, "twice/volumes.json"), "utf8")).scans;
    expect(scans.map(({ name }: { name: string }) => name)).toEqual(CASES);
  });

  /** Sends SIGINT once the first scan is there. */
  function interrupted(...args: string[]): Promise<{ status: number | null; err: string }> {
    const child = spawn(process.execPath, [command, "--run", "run", "--progress", "lines", ...args], { cwd: work });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    const timer = setInterval(() => {
      if (!existsSync(join(work, "twice/volumes.json"))) return;
      clearInterval(timer);
      child.kill("SIGINT");
    }, 2);
    return new Promise((resolve) => child.on("close", (status) => resolve({ status, err })));
  }

  test("names: nnU-Net's channel and endings go, a case folder gives its name, two scans may not share one", async () => {
    const touch = (path: string) => {
      mkdirSync(join(work, path, ".."), { recursive: true });
      writeFileSync(join(work, path), "");
    };
    ["flat/b_0000.nii.gz", "flat/a.nii", "flat/notes.txt", "flat/.hidden.nii.gz"].forEach(touch);
    const names = async (input: string) =>
      (await findScans(join(work, input))).map(({ name, path }) => `${name} ${basename(path)}`);
    expect(await names("flat")).toEqual(["a a.nii", "b b_0000.nii.gz"]);
    expect(await names("data")).toEqual(CASES.map((id) => `${id} imaging.nii.gz`));
    expect(await names("data/case_00002")).toEqual(["case_00002 imaging.nii.gz"]);
    expect(await names("data/case_00002/imaging.nii.gz")).toEqual(["case_00002 imaging.nii.gz"]);
    touch("same/a.nii");
    touch("same/a_0000.nii.gz");
    await expect(names("same")).rejects.toThrow(/every scan must have a name of its own, found two named a/);
    mkdirSync(join(work, "void"));
    await expect(names("void")).rejects.toThrow(/must hold NIfTI files .* or KiTS cases/);
    await expect(names("nowhere")).rejects.toThrow(/found nothing there/);
  });
});

test("a GPU that is lost in the middle of a scan is opened again, and the labels are the same", async () => {
  const told: string[] = [];
  const batch = GpuSlices.prototype.batch;
  let batches = 0;
  vi.spyOn(GpuSlices.prototype, "batch").mockImplementation(function (this: GpuSlices, ...given) {
    if (++batches === 4) gpu().device.destroy();
    return batch.apply(this, given);
  });
  const { volumes, failures } = await predictKits({
    ...{ run: join(work, "run"), input: join(work, "data"), output: join(work, "lost"), mode: "silent" },
    ...{ tta: false, probabilities: false, confidence: false, picture: false, overwrite: false, resume: false },
    say: (text) => told.push(text),
    reopen: async () => {
      close();
      await init();
    },
  });
  vi.restoreAllMocks();
  expect(told.filter((text) => text.includes("Opening it again")).length).toBe(1);
  expect([volumes.scans.length, failures.length]).toEqual([3, 0]);
  for (const id of CASES) await expectLabels(`lost/${id}.nii.gz`, `run/predictions/${id}.nii.gz`);
});

test("what is wrong with the command is one line and exit code 1", () => {
  const failure = (...args: string[]) => {
    const { status, err } = run(...args);
    expect(status).toBe(1);
    return err.trim().split("\n").at(-1)!;
  };
  expect(failure("--run", "nowhere", "--input", "data", "--output", "x")).toMatch(
    /^predict:kits: .*nowhere.run\.json: the file must be readable/,
  );
  expect(failure("--input", "data", "--output", "x", "--batch", "0")).toMatch(
    /must be a whole number from 1 to 1024/,
  );
  expect(failure("--input", "data", "--output", "data")).toMatch(/--output must be another folder than --input/);
  expect(failure("--input", "data")).toMatch(/required option '--output <folder>'/);
  rmSync(join(work, "partial/checkpoints"), { recursive: true, force: true });
  expect(failure("--run", "partial", "--input", "data", "--output", "x")).toMatch(
    /the coarse network must be trained, found no weights/,
  );
});
