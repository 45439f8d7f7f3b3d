// The packed slice cache as training reads it: any slice by number, no NIfTI and no decoding.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DataError, OptionError } from "../errors.ts";
import { readJson } from "./atomic.ts";
import type { Geometry } from "./geometry.ts";
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

/** Slices of a cache, read from disk when asked for: memory does not grow with the dataset. */
export class SliceCache {
  readonly folder: string;
  readonly index: CacheIndex;
  readonly #images: number;
  readonly #labels: number;

  /** Use openCache. */
  constructor(folder: string, index: CacheIndex) {
    this.folder = folder;
    this.index = index;
    this.#images = openSync(join(folder, "images.u8"), "r");
    this.#labels = openSync(join(folder, "labels.u8"), "r");
  }

  /** Rows and columns of a slice. */
  get size(): number {
    return this.index.size;
  }

  /** Copies image slice `slice` [size, size] to `out` at `offset`. */
  readImage(slice: number, out: Uint8Array, offset = 0): void {
    this.#read(this.#images, slice, out, offset);
  }

  /** Copies label slice `slice` [size, size] to `out` at `offset`. */
  readLabel(slice: number, out: Uint8Array, offset = 0): void {
    this.#read(this.#labels, slice, out, offset);
  }

  /** The entry of one case. Throws OptionError for an unknown id. */
  caseById(id: string): CachedCase {
    const found = this.index.cases.find((entry) => entry.id === id);
    if (!found) {
      throw new OptionError(`cache: case must be one of the ${this.index.cases.length} in ${this.folder}, found ${id}`);
    }
    return found;
  }

  /** All slices of one case: images and labels [S, size, size]. */
  readCase(id: string): { images: Uint8Array<ArrayBuffer>; labels: Uint8Array<ArrayBuffer> } {
    const { first, slices } = this.caseById(id);
    const plane = this.size * this.size;
    const images = new Uint8Array(slices * plane);
    const labels = new Uint8Array(slices * plane);
    for (let s = 0; s < slices; s++) {
      this.readImage(first + s, images, s * plane);
      this.readLabel(first + s, labels, s * plane);
    }
    return { images, labels };
  }

  /** Closes the files; the cache cannot be read afterwards. */
  close(): void {
    closeSync(this.#images);
    closeSync(this.#labels);
  }

  #read(file: number, slice: number, out: Uint8Array, offset: number): void {
    const { slices } = this.index;
    if (!(Number.isInteger(slice) && slice >= 0 && slice < slices)) {
      throw new OptionError(`cache: slice must be a whole number below ${slices}, found ${slice}`);
    }
    const plane = this.size * this.size;
    const bytes = readSync(file, out, offset, plane, slice * plane);
    if (bytes !== plane) {
      throw new DataError(`${this.folder}: slice ${slice} is cut short; delete the folder and run again`);
    }
  }

  /** Bytes of both files on disk. */
  get bytes(): number {
    return fstatSync(this.#images).size + fstatSync(this.#labels).size;
  }
}

/** Opens a cache that preprocess made. Throws DataError if `folder` holds none. */
export async function openCache(folder: string): Promise<SliceCache> {
  const index = await readJson<CacheIndex>(join(folder, "index.json"), "run the preprocess stage first");
  if (index.kind !== "wgrad slice cache") {
    throw new DataError(`${folder}: index.json must be a slice cache's; run the preprocess stage`);
  }
  return new SliceCache(folder, index);
}
