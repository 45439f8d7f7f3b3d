// From NIfTI volumes to a packed cache of uint8 axial slices: window, resize, write, one case at a time.
//
//   images.u8, labels.u8   [slices, size, size], case after case, S from superior to inferior
//   index.json             where each case lies and the geometry that takes predictions back to its own grid
//   images/, labels/       the same slices as PNG files, if asked for
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, stat, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { encode } from "fast-png";
import { DataError, OptionError } from "../errors.ts";
import { replaceFolder } from "./atomic.ts";
import { hasSlices, readCacheIndex, type CacheIndex, type CachedCase } from "./cacheIndex.ts";
import type { CaseFiles, Dataset } from "./datasets/dataset.ts";
import { checkLabelValues, checkPair } from "./datasets/open.ts";
import type { Geometry } from "./geometry.ts";
import { throwIfInterrupted } from "./interrupt.ts";
import { readImage, readLabels } from "./nifti.ts";
import { settingRule } from "./options.ts";
import { imageSlices, labelSlices, sliceDefaults, type SliceOptions } from "./slices.ts";
import { removeLeftovers } from "./temporary.ts";

/** How slices are made. Every field is part of the cache's key. */
export interface PreprocessOptions extends SliceOptions {
  /** Also write every slice as PNG; default false. */
  png: boolean;
}

/** Told after each case, and once with `reused` when nothing had to be done. */
export type PreprocessProgress = (event: { done: number; total: number; id: string; reused: boolean }) => void;

/** Slices as in section 3.2 of the MSALDS-UNet paper. */
export const preprocessDefaults: PreprocessOptions = { ...sliceDefaults, png: false };

const VERSION = 1; // raise it when the same options give different bytes

/**
 * Makes the slice cache of `dataset` in `folder`, or keeps the one that is there if the options and the size and time
 * of every source file are unchanged. Memory is bounded by one case. A new cache replaces the old one when it is
 * complete. Returns its index. Throws DataError naming the case for anything wrong in the data, OptionError for sizes
 * out of range. Method of MSALDS-UNet, section 3.2; the defaults are its window 540/140 and 128 x 128. Non-square slices
 * are stretched.
 */
export async function preprocess(
  dataset: Dataset,
  folder: string,
  options: Partial<PreprocessOptions> = {},
  progress: PreprocessProgress = () => {},
): Promise<CacheIndex> {
  const all = { ...preprocessDefaults, ...options };
  checkOptions(all);
  const total = dataset.cases.length;
  const key = await cacheKey(dataset, all);
  await removeLeftovers(dirname(resolve(folder)));
  const found = await usableIndex(dataset, folder, key);
  if (found) {
    progress({ done: total, total, id: found.cases.at(-1)!.id, reused: true });
    return found;
  }
  let index: CacheIndex | undefined;
  await replaceFolder(folder, "the slices", async (temporary) => {
    const writer = await openWriter(temporary, all);
    const cases: CachedCase[] = [];
    try {
      for (const files of dataset.cases) {
        throwIfInterrupted();
        cases.push(await addCase(dataset, files, writer, all));
        progress({ done: cases.length, total, id: files.id, reused: false });
      }
    } finally {
      await writer.images.close();
      await writer.labels.close();
    }
    index = describe(dataset, all, key, cases, writer.slices);
    await writeFile(join(temporary, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
  });
  return index!;
}

function checkOptions(options: PreprocessOptions): void {
  const { size } = options;
  if (!(Number.isInteger(size) && size >= 8 && size <= 1024)) {
    throw new OptionError(`preprocess: size must be a whole number from 8 to 1024, found ${size}`);
  }
  for (const name of ["window", "level"] as const) {
    const fault = settingRule(name)?.(options[name]);
    if (fault) throw new OptionError(`preprocess: ${name} must be ${fault.must} HU, found ${options[name]}`);
  }
}

/** Hash of what the cache depends on: options, and name, size and modification time of every source file. */
async function cacheKey(dataset: Dataset, options: PreprocessOptions): Promise<string> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([VERSION, dataset.spec.name, dataset.spec.labels, options]));
  for (const { id, image, label } of dataset.cases) {
    for (const path of label === null ? [image] : [image, label]) {
      const { size, mtimeMs } = await stat(path);
      hash.update(JSON.stringify([id, path, size, mtimeMs]));
    }
  }
  return hash.digest("hex");
}

/** The index in `folder` if it has this key, is of these data, and its files have the right size; else null. */
async function usableIndex(dataset: Dataset, folder: string, key: string): Promise<CacheIndex | null> {
  if (!existsSync(folder)) return null;
  const index = await readCacheIndex(folder).catch(() => null);
  if (!index) {
    if (await isCache(folder)) return null;
    throw notACache(folder);
  }
  const same = index.key === key && isOf(dataset, index);
  return same && (await hasSlices(folder, index)) ? index : null;
}

/** True if an index says of the data what they say themselves: no path is taken from a file alone. */
function isOf({ cases, ...dataset }: Dataset, index: CacheIndex): boolean {
  const files = index.cases.map(({ id, image, label }): CaseFiles => ({ id, image, label }));
  return isDeepStrictEqual(files, cases) && isDeepStrictEqual(index.dataset, factsOf(dataset));
}

/** The folder will be replaced, so it must be empty or an older cache. */
async function isCache(folder: string): Promise<boolean> {
  if (existsSync(join(folder, "images.u8")) && existsSync(join(folder, "labels.u8"))) return true;
  return (await readdir(folder)).length === 0;
}

function notACache(folder: string): OptionError {
  return new OptionError(
    `preprocess: ${folder} must be empty or hold a slice cache, found other files; choose another folder`,
  );
}

interface Writer {
  folder: string;
  images: FileHandle;
  labels: FileHandle;
  slices: number;
}

async function openWriter(folder: string, options: PreprocessOptions): Promise<Writer> {
  if (options.png) await mkdir(join(folder, "images"), { recursive: true });
  const images = await open(join(folder, "images.u8"), "w");
  const labels = await open(join(folder, "labels.u8"), "w");
  return { folder, images, labels, slices: 0 };
}

async function addCase(
  dataset: Dataset,
  files: CaseFiles,
  writer: Writer,
  options: PreprocessOptions,
): Promise<CachedCase> {
  const { spec } = dataset;
  const image = await readImage(files.image);
  const label = files.label === null ? null : await readLabels(files.label, image.header);
  if (label) {
    checkPair(files.id, image.header, label.header);
    checkLabelValues(spec, files.label!, label.counts);
  }
  const [S] = image.header.shape;
  const { size } = options;
  const plane = size * size;
  const images = imageSlices(image, options);
  const labels = label ? labelSlices(label, options) : new Uint8Array(S * plane);
  await writeAll(writer.images, images);
  await writeAll(writer.labels, labels);
  if (options.png) await writePngs(writer.folder, files.id, images, labels, size);
  const first = writer.slices;
  writer.slices += S;
  return {
    id: files.id,
    first,
    slices: S,
    image: files.image,
    label: files.label,
    geometry: geometryOf(image.header),
    voxels: label ? spec.labels.map((_, value) => label.counts[value]) : null,
    labelCounts: Array.from({ length: S }, (_, s) =>
      countLabels(labels.subarray(s * plane, (s + 1) * plane), spec.labels.length),
    ),
    nonFinite: image.nonFinite,
  };
}

/** One write may be partial for large buffers. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;)
    at += (await file.write(bytes, at, Math.min(bytes.length - at, 1 << 24))).bytesWritten;
}

async function writePngs(
  folder: string,
  id: string,
  images: Uint8Array,
  labels: Uint8Array,
  size: number,
): Promise<void> {
  const plane = size * size;
  for (const [name, slices] of [
    ["images", images],
    ["labels", labels],
  ] as const) {
    await mkdir(join(folder, name, id), { recursive: true });
    for (let s = 0; s * plane < slices.length; s++) {
      const data = slices.subarray(s * plane, (s + 1) * plane);
      const png = encode({ width: size, height: size, data, channels: 1, depth: 8 });
      await writeFile(join(folder, name, id, `${String(s + 1).padStart(4, "0")}.png`), png);
    }
  }
}

function countLabels(slice: Uint8Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of slice) counts[label]++;
  return counts;
}

function geometryOf(geometry: Geometry): Geometry {
  const { dims, affine, affineSource, sformCode, qformCode, axes, flips, shape, spacing } = geometry;
  return { dims, affine, affineSource, sformCode, qformCode, axes, flips, shape, spacing };
}

function factsOf({ spec, synthetic, root }: Omit<Dataset, "cases">): CacheIndex["dataset"] {
  const { name, title, labels, regions, license } = spec;
  return { name, title, labels: [...labels], regions, license, synthetic, root };
}

function describe(
  dataset: Dataset,
  options: PreprocessOptions,
  key: string,
  cases: CachedCase[],
  slices: number,
): CacheIndex {
  if (slices === 0) throw new DataError(`${dataset.root}: no slices were found`);
  const resampling = {
    image: "clipped to the window, bilinear with antialiasing (triangle filter widened when shrinking), rounded",
    label: "label with the largest covered area, the higher one on a tie",
  };
  return {
    kind: "wgrad slice cache",
    version: VERSION,
    key,
    dataset: factsOf(dataset),
    options,
    resampling,
    size: options.size,
    slices,
    cases,
  };
}
