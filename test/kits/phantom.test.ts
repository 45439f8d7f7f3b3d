import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkLabelValues, checkPair, openDataset } from "../../src/kits/datasets/open.ts";
import { readImage, readLabels } from "../../src/kits/nifti.ts";
import { drawPhantomCase, ensurePhantom, writePhantom } from "../../src/kits/phantom.ts";
import { scratch } from "./craft.ts";

const folder = scratch();
const small = { cases: 2, slices: 10, size: 48 };

const hash = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

it("writes a KiTS tree that says it is synthetic and passes every check of real data", async () => {
  const root = join(folder, "tree");
  await writePhantom(root, small);
  expect(readFileSync(join(root, "README.md"), "utf8")).toContain("SYNTHETIC");
  const dataset = await openDataset(root);
  expect(dataset).toMatchObject({ synthetic: true, spec: { name: "phantom" } });
  expect(dataset.cases.map((c) => c.id)).toEqual(["case_00000", "case_00001"]);
  for (const { id, image, label } of dataset.cases) {
    const ct = await readImage(image);
    const seg = await readLabels(label!);
    checkPair(id, ct.header, seg.header);
    checkLabelValues(dataset.spec, label!, seg.counts);
    expect(ct.header.axes).toEqual([0, 1, 2]); // KiTS order: slices first in the file
  }
});

it("the same seed gives the same bytes, another seed other ones", async () => {
  const write = async (name: string, seed: number) => {
    await writePhantom(join(folder, name), { ...small, cases: 1, seed });
    return ["imaging", "segmentation"].map((file) => hash(join(folder, name, `case_00000/${file}.nii.gz`)));
  };
  const first = await write("a", 7);
  expect(await write("b", 7)).toEqual(first);
  const other = await write("c", 8);
  expect(other[0]).not.toBe(first[0]);
  expect(other[1]).not.toBe(first[1]);
});

it("the pixels of a case are the ones of the release: a change of the phantom must be meant", () => {
  const { image, label } = drawPhantomCase(0, small);
  const digest = createHash("sha256").update(new Uint8Array(image.buffer)).update(label).digest("hex").slice(0, 16);
  expect(digest).toMatchInlineSnapshot(`"bf9df217092a2b1d"`);
});

it("every case has kidneys in both halves and a tumour; some have cysts; HU lie in plausible ranges", () => {
  let cysts = 0;
  const shapes = new Set<number>();
  for (let index = 0; index < 12; index++) {
    const { image, label, geometry } = drawPhantomCase(index, { noise: 0 });
    const [, , W] = geometry.shape;
    shapes.add(geometry.shape[0]);
    const sums = [0, 0, 0, 0];
    const counts = [0, 0, 0, 0];
    const half = [0, 0];
    label.forEach((value, i) => {
      counts[value]++;
      sums[value] += image[i];
      if (value === 1) half[i % W < W / 2 ? 0 : 1]++;
    });
    expect(Math.min(...half), `case ${index}`).toBeGreaterThan(150);
    expect(counts[2], `case ${index}`).toBeGreaterThan(20);
    expect(sums[1] / counts[1]).toBeGreaterThan(110); // enhancing kidney
    expect(sums[2] / counts[2]).toBeLessThan(sums[1] / counts[1]); // tumours enhance less
    if (counts[3] > 0) cysts++;
    if (counts[3] > 60) expect(sums[3] / counts[3]).toBeLessThan(60); // water, blurred at its rim
    expect(image.reduce((a, b) => Math.min(a, b))).toBe(-1000);
  }
  expect(cysts).toBeGreaterThan(2);
  expect(cysts).toBeLessThan(12);
  expect(shapes.size).toBeGreaterThan(2); // slice counts vary
});

it("cases do not depend on how many there are", () => {
  expect(drawPhantomCase(1, { ...small, cases: 2 }).image).toEqual(drawPhantomCase(1, { ...small, cases: 9 }).image);
});

it("ensurePhantom keeps a tree with the same options, replaces another, and touches nothing else's folder", async () => {
  const root = join(folder, "kept");
  await ensurePhantom(root, { ...small, cases: 1 });
  const file = join(root, "case_00000/imaging.nii.gz");
  utimesSync(file, 1000, 1000);
  const before = hash(file);
  writeFileSync(file, "marked");
  await ensurePhantom(root, { ...small, cases: 1 });
  expect(readFileSync(file, "utf8")).toBe("marked"); // not written again
  await ensurePhantom(root, { ...small, cases: 2 });
  expect(hash(file)).toBe(before);
  expect(readdirSync(root).filter((name) => name.startsWith("case_")).length).toBe(2);
  rmSync(join(root, "phantom.json"));
  await expect(ensurePhantom(root, small)).rejects.toThrow("must be free or hold a phantom, found other files");
  expect(readdirSync(folder).some((name) => name.endsWith(".tmp"))).toBe(false);
});

it("a failed write leaves the old tree and no rest", async () => {
  const root = join(folder, "old");
  await writePhantom(root, { ...small, cases: 1 });
  const { replaceFolder } = await import("../../src/kits/atomic.ts");
  await expect(replaceFolder(root, "the tree", async (t) => { writeFileSync(join(t, "half"), ""); throw new Error("stop"); })).rejects.toThrow("stop");
  expect(readdirSync(root)).toContain("case_00000");
  expect(readdirSync(folder).some((name) => name.endsWith(".tmp"))).toBe(false);
});

it("options out of range are named", async () => {
  await expect(writePhantom(join(folder, "x"), { cases: 0 })).rejects.toThrow("phantom: cases must be a whole number from 1 to 99999, found 0");
  await expect(writePhantom(join(folder, "x"), { size: 8 })).rejects.toThrow("size must be a whole number from 16 to 1024, found 8");
});
