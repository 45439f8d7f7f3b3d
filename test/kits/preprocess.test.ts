import { existsSync, mkdirSync, readFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decode } from "fast-png";
import { expect, it } from "vitest";
import { openCache } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { sliceResizer } from "../../src/kits/downsample.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { readLabels, writeNifti } from "../../src/kits/nifti.ts";
import { resizeNearest } from "../../src/kits/resample.ts";
import { craftCase, craftFile, kitsMatrix, scratch } from "./craft.ts";

const folder = scratch();

async function dataset(name: string) {
  const root = join(folder, name);
  craftCase(root, "case_00000", [3, 16, 16], (i) => (i % 3 === 1 ? 1 : 0)); // label 1 on slice 1
  craftCase(root, "case_00001", [4, 12, 20], (i) => (i % 4 === 2 ? 2 : 0));
  return openDataset(root);
}

it("window 540/140 maps [-130, 410] to [0, 255], clipped", () => {
  const source = Int16Array.from([-1000, -130, 140, 410, 2000, 141, 0, 409]);
  const target = new Uint8Array(8);
  sliceResizer([2, 4], [2, 4], [-130, 410]).image(source, target);
  const expected = [...source].map((hu) => Math.round(((Math.min(410, Math.max(-130, hu)) + 130) / 540) * 255));
  expect([...target]).toEqual(expected);
});

it("shrinking keeps the mean and a ramp; enlarging is bilinear with pixel centres", () => {
  const ramp = Int16Array.from({ length: 64 }, (_, i) => (i % 8) * 10);
  const half = new Uint8Array(16);
  sliceResizer([8, 8], [4, 4], [0, 255]).image(ramp, half);
  // Triangle of half-width 2 about 1, 3, 5, 7: [3,3,1]/7 of 0,10,20 at the border, then [1,3,3,1]/8.
  expect([...half.subarray(0, 4)]).toEqual([7, 25, 45, 63]);
  const wide = new Uint8Array(8);
  sliceResizer([1, 4], [1, 8], [0, 255]).image(Int16Array.from([0, 40, 80, 120]), wide);
  expect([...wide]).toEqual([0, 10, 30, 50, 70, 90, 110, 120]);
});

it("labels: the largest covered area wins, the higher label on a tie, nearest when enlarging", () => {
  const shrink = (values: number[]) => {
    const target = new Uint8Array(1);
    sliceResizer([2, 2], [1, 1], [0, 1]).label(Uint8Array.from(values), target);
    return target[0];
  };
  expect(shrink([0, 0, 0, 3])).toBe(0);
  expect(shrink([1, 1, 2, 0])).toBe(1);
  expect(shrink([0, 0, 2, 2])).toBe(2);
  // 3 -> 2: the middle pixel is shared, half each; 1.5 pixels of area per target.
  const two = new Uint8Array(2);
  sliceResizer([1, 3], [1, 2], [0, 1]).label(Uint8Array.from([1, 2, 3]), two);
  expect([...two]).toEqual([1, 3]);
  const six = new Uint8Array(6);
  sliceResizer([1, 3], [1, 6], [0, 1]).label(Uint8Array.from([1, 2, 3]), six);
  expect([...six]).toEqual([1, 1, 2, 2, 3, 3]);
});

it("makes a cache whose slices, counts and geometry are those of the source", async () => {
  const data = await dataset("plain");
  const out = join(folder, "cache");
  const index = await preprocess(data, out, { size: 16 });
  expect(index.slices).toBe(7);
  expect(index.cases.map((c) => [c.id, c.first, c.slices])).toEqual([["case_00000", 0, 3], ["case_00001", 3, 4]]);
  expect(index.cases[0].voxels).toEqual([512, 256, 0, 0]);
  expect(index.cases[0].labelCounts).toEqual([[256, 0, 0, 0], [0, 256, 0, 0], [256, 0, 0, 0]]);
  expect(index.cases[1].geometry).toMatchObject({ dims: [4, 12, 20], shape: [4, 12, 20], spacing: [3, 1, 1], affineSource: "sform" });
  expect(index.options).toEqual({ size: 16, window: 540, level: 140, png: false });
  const cache = await openCache(out);
  const { images, labels } = cache.readCase("case_00000");
  // At 16 x 16 nothing is resized: voxel (s, h, w) has file index s + 3 * (h + 16 * w).
  const hu = ((1 + 3 * (5 + 16 * 7)) % 540) - 130;
  expect(images[256 + 5 * 16 + 7]).toBe(Math.round(((hu + 130) / 540) * 255));
  expect([labels[0], labels[256], labels[512]]).toEqual([0, 1, 0]);
  expect(() => cache.caseById("case_00009")).toThrow("case must be one of the 2");
  expect(() => cache.readImage(7, new Uint8Array(256))).toThrow("slice must be a whole number below 7, found 7");
  cache.close();
});

it("a prediction goes back to the file's own grid", async () => {
  const data = await dataset("back");
  const index = await preprocess(data, join(folder, "back-cache"), { size: 16 });
  const cache = await openCache(join(folder, "back-cache"));
  const { geometry, id, label } = index.cases[1];
  const [S, H, W] = geometry.shape;
  const restored = resizeNearest(cache.readCase(id).labels, [16, 16], [H, W]);
  cache.close();
  const path = join(folder, "prediction.nii.gz");
  await writeNifti(path, restored, geometry);
  const [written, truth] = [await readLabels(path), await readLabels(label!)];
  expect(restored.length).toBe(S * H * W);
  expect(Buffer.compare(written.data, truth.data)).toBe(0); // labels are constant on each slice here
  expect(written.header.affine).toEqual(truth.header.affine);
});

it("another window gives other bytes, those of its formula, and a cache of its own", async () => {
  const data = await dataset("window");
  const [usual, soft] = [join(folder, "usual-cache"), join(folder, "soft-cache")];
  const indexes = [await preprocess(data, usual, { size: 16 }), await preprocess(data, soft, { size: 16, window: 401, level: 40.5 })];
  expect(indexes[0].key).not.toBe(indexes[1].key);
  expect(indexes[1].options).toEqual({ size: 16, window: 401, level: 40.5, png: false });
  const images = readFileSync(join(soft, "images.u8"));
  for (let s = 0; s < 3; s++)
    for (let i = 0; i < 256; i++) {
      const hu = ((s + 3 * ((i >> 4) + 16 * (i % 16))) % 540) - 130; // craftCase's
      expect(images[256 * s + i]).toBe(Math.round((Math.min(401, Math.max(0, hu + 160)) / 401) * 255));
    }
  expect(Buffer.compare(images, readFileSync(join(usual, "images.u8")))).not.toBe(0);
});

it("is kept while nothing changes, and made again when the source, an option or the cache changes", async () => {
  const data = await dataset("again");
  const out = join(folder, "again-cache");
  const run = async (options = {}) => {
    let reused: boolean | undefined;
    await preprocess(data, out, { size: 16, ...options }, (event) => (reused = event.reused));
    return reused;
  };
  expect(await run()).toBe(false);
  expect(await run()).toBe(true);
  utimesSync(data.cases[0].image, 1, 1);
  expect(await run()).toBe(false);
  expect(await run({ level: 40 })).toBe(false);
  expect(await run({ level: 40 })).toBe(true);
  truncateSync(join(out, "labels.u8"), 100);
  expect(await run({ level: 40 })).toBe(false);
  writeFileSync(join(out, "index.json"), "{ half");
  expect(await run({ level: 40 })).toBe(false);
  expect(readdirSync(folder).some((name) => name.endsWith(".tmp"))).toBe(false);
});

it("a folder with other files in it is never replaced", async () => {
  const out = join(folder, "mine");
  mkdirSync(out);
  writeFileSync(join(out, "thesis.txt"), "");
  await expect(preprocess(await dataset("other"), out, { size: 16 })).rejects.toThrow("must be empty or hold a slice cache");
  writeFileSync(join(out, "index.json"), "{}");
  await expect(preprocess(await dataset("other"), out, { size: 16 })).rejects.toThrow("must be empty or hold a slice cache");
  expect(existsSync(join(out, "thesis.txt"))).toBe(true);
});

it("a bad case stops the run, named, and leaves the old cache", async () => {
  const data = await dataset("bad");
  const out = join(folder, "bad-cache");
  await preprocess(data, out, { size: 16 });
  const values = new Uint8Array(960);
  values[5] = 9;
  craftFile(data.cases[1].label!, { dims: [4, 12, 20], values, type: "uint8", sform: kitsMatrix(3, 1, 1) });
  await expect(preprocess(data, out, { size: 16 })).rejects.toThrow(/case_00001.*found 9 \(1 voxels\)/);
  craftFile(data.cases[1].label!, { dims: [4, 12, 10], values: new Uint8Array(480), type: "uint8", sform: kitsMatrix(3, 1, 1) });
  await expect(preprocess(data, out, { size: 16 })).rejects.toThrow("case_00001: the label must have its image's shape [4,12,20], found [4,12,10]");
  expect(existsSync(join(out, "index.json"))).toBe(true);
});

it("PNG files hold the same pixels as the cache", async () => {
  const out = join(folder, "png-cache");
  await preprocess(await dataset("png"), out, { size: 16, png: true });
  const cache = await openCache(out);
  const { images, labels } = cache.readCase("case_00001");
  cache.close();
  const image = decode(readFileSync(join(out, "images/case_00001/0003.png")));
  const label = decode(readFileSync(join(out, "labels/case_00001/0003.png")));
  expect([image.width, image.height, image.channels]).toEqual([16, 16, 1]);
  expect([...image.data]).toEqual([...images.subarray(512, 768)]);
  expect([...label.data]).toEqual([...labels.subarray(512, 768)]);
});

it("options out of range are named", async () => {
  const data = await dataset("options");
  await expect(preprocess(data, join(folder, "o"), { size: 4 })).rejects.toThrow("size must be a whole number from 8 to 1024, found 4");
  await expect(preprocess(data, join(folder, "o"), { window: 0 })).rejects.toThrow("window must be from 1 to 4096 HU, found 0");
  await expect(preprocess(data, join(folder, "o"), { level: NaN })).rejects.toThrow("level must be from -1024 to 3071 HU, found NaN");
});
