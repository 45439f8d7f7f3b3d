// index.json of a slice cache: which slices are whose, and the geometry that takes predictions back to the scan's own grid.

import { stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { all, amount, count, fileName, flag, listOf, must, nullable, number, object, oneOf } from "../structure.ts";
import { pathText, recordOf, text, that, whole, type Check } from "../structure.ts";
import { readJson } from "./json.ts";
import { columnLengths, type Geometry, type Triple } from "./geometry.ts";
import type { Regions } from "./metrics.ts";
import type { PreprocessOptions } from "./preprocess.ts";

/** index.json of a slice cache. */
export interface CacheIndex {
  kind: "wgrad slice cache";
  version: number;
  /** Hash of the options and of name, size and time of every source file. */
  key: string;
  dataset: {
    name: string;
    title: string;
    labels: string[];
    regions: Regions;
    license: string;
    synthetic: boolean;
    root: string;
  };
  options: PreprocessOptions;
  /** How images and labels were resized, in words. */
  resampling: { image: string; label: string };
  /** Rows and columns of a slice. */
  size: number;
  /** Slices of all cases together. */
  slices: number;
  cases: CachedCase[];
}

/** One case: slices `first` to `first + slices` of the cache. */
export interface CachedCase {
  id: string;
  first: number;
  slices: number;
  /** Source files. `label` is null if there was none; its cached labels are then all 0. */
  image: string;
  label: string | null;
  /** The source's grid: give it to writeNifti with a prediction of `geometry.shape`. */
  geometry: Geometry;
  /** Voxels per label in the source, or null without a label. */
  voxels: number[] | null;
  /** Pixels per label in each cached slice. */
  labelCounts: number[][];
  /** Voxels that were NaN or infinite in the source. */
  nonFinite: number;
}

const FIX = "delete the folder and run again";

/** Reads the index of a cache folder. Throws DataError naming the file if it is missing, damaged or contradicts itself. */
export async function readCacheIndex(folder: string): Promise<CacheIndex> {
  const path = join(folder, "index.json");
  const index = await readJson<CacheIndex>(path, indexFile, FIX);
  must(index, consistent, path, FIX);
  return index;
}

/** True if the files of slices have the sizes that the index says. */
export async function hasSlices(folder: string, { slices, size }: CacheIndex): Promise<boolean> {
  const files = ["images.u8", "labels.u8"].map((name) => stat(join(folder, name)).catch(() => null));
  return (await Promise.all(files)).every((info) => info?.size === slices * size * size);
}

const triple = (item: Check): Check => listOf(item, 3);
const positive = that("a number above 0", (v) => Number.isFinite(v) && (v as number) > 0);
/** NIfTI-1 counts with 16 bits. */
const extent = whole(1, 32767);
const axes = all(
  triple(whole(0, 2)),
  that("each axis once", (v) => new Set(v as number[]).size === 3),
);

const geometry = object<Geometry>({
  dims: triple(extent),
  affine: triple(listOf(number, 4)),
  affineSource: oneOf("sform", "qform", "pixdim"),
  sformCode: number,
  qformCode: number,
  axes,
  flips: triple(flag),
  shape: triple(extent),
  spacing: triple(positive),
});

const cachedCase = object<CachedCase>({
  id: fileName,
  first: count,
  slices: extent,
  image: pathText,
  label: nullable(pathText),
  geometry: all(
    geometry,
    that("one grid in the file's axes and in slices", (v) => sameGrid(v as Geometry)),
  ),
  voxels: nullable(listOf(count)),
  labelCounts: listOf(listOf(count)),
  nonFinite: count,
});

const indexFile = object<CacheIndex>({
  kind: oneOf("wgrad slice cache"),
  version: count,
  key: text,
  dataset: object<CacheIndex["dataset"]>({
    name: text,
    title: text,
    labels: listOf(text),
    regions: recordOf(listOf(whole(0, 255))),
    license: text,
    synthetic: flag,
    root: pathText,
  }),
  options: object<PreprocessOptions>({ size: whole(8, 1024), window: amount, level: number, png: flag }),
  resampling: object<CacheIndex["resampling"]>({ image: text, label: text }),
  size: whole(8, 1024),
  slices: count,
  cases: listOf(cachedCase),
});

function sameGrid({ dims, affine, axes, shape, spacing }: Geometry): boolean {
  const lengths = columnLengths(affine);
  return axes.every((axis, d) => shape[d] === dims[axis] && Math.abs(spacing[d] - lengths[axis]) <= 1e-6 * spacing[d]);
}

/** What one field of the index says of another. */
const consistent: Check = (value) => {
  const { cases, slices, size, options, dataset } = value as CacheIndex;
  const fault = (at: string, must: string, found: unknown) => ({ at, must, found });
  if (options.size !== size) return fault("options.size", `the size of the slices, ${size}`, options.size);
  let next = 0;
  const ids = new Set<string>();
  for (const [i, one] of cases.entries()) {
    const at = `cases[${i}]`;
    if (one.first !== next) return fault(`${at}.first`, `the slice after the case before, ${next}`, one.first);
    if (ids.has(one.id)) return fault(`${at}.id`, "an id that no other case has", one.id);
    if (one.slices !== one.geometry.shape[0]) return fault(`${at}.slices`, `${one.geometry.shape[0]}`, one.slices);
    if (!countsFit(one, dataset.labels.length, size))
      return fault(`${at}.labelCounts`, "all pixels and voxels", "others");
    const outside = [one.image, one.label].find((path) => path !== null && !isBeside(dataset.root, path));
    if (outside) return fault(at, `files at ${dataset.root}`, outside);
    ids.add(one.id);
    next += one.slices;
  }
  return next === slices ? null : fault("slices", `the sum of all cases, ${next}`, slices);
};

/** Every pixel of a slice and every voxel of a labelled case has one label. */
function countsFit(
  { labelCounts, slices, voxels, label, geometry }: CachedCase,
  labels: number,
  size: number,
): boolean {
  const adds = (counts: readonly number[], total: number) =>
    counts.length === labels && counts.reduce((a, b) => a + b, 0) === total;
  const [s, h, w]: Triple = geometry.shape;
  const whole = (label === null) === (voxels === null) && (voxels === null || adds(voxels, s * h * w));
  return whole && labelCounts.length === slices && labelCounts.every((counts) => adds(counts, size * size));
}

/** True for a path in the data folder or in a folder beside it, as images may lie. */
function isBeside(root: string, path: string): boolean {
  const way = relative(dirname(root), path);
  return isAbsolute(path) && !isAbsolute(way) && way.split(sep)[0] !== "..";
}
