// The packed slice cache as training reads it: any slice by number, no NIfTI and no decoding.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DataError, OptionError } from "../errors.ts";
import { hasSlices, readCacheIndex, type CachedCase, type CacheIndex } from "./cacheIndex.ts";
import type { Slices } from "./slices.ts";

export type { CacheIndex, CachedCase } from "./cacheIndex.ts";

/** Slices of a cache, read from disk when asked for: memory does not grow with the dataset. */
export class SliceCache implements Slices {
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

/** Opens a cache that preprocess made. Throws DataError if `folder` holds none, or one that is damaged. */
export async function openCache(folder: string): Promise<SliceCache> {
  const index = await readCacheIndex(folder);
  if (!(await hasSlices(folder, index)))
    throw new DataError(
      `${folder}: images.u8 and labels.u8 must hold ${index.slices} slices of ${index.size} x ${index.size}, found other sizes; delete the folder and run again`,
    );
  return new SliceCache(folder, index);
}
