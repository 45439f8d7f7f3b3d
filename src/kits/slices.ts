// Axial slices as networks take them: bytes of one square size, out of a volume in Hounsfield units or labels. Where they
// are kept is up to others: a cache on the disk (preprocess.ts, cache.ts), or here, in memory.

import { sliceResizer, type SliceResizer } from "./downsample.ts";
import type { Geometry } from "./geometry.ts";

/** How slices are made. */
export interface SliceOptions {
  /** Rows and columns of a slice; default 128. */
  size: number;
  /** Window width and level in HU; default 540 and 140, which is [-130, 410] -> [0, 255]. */
  window: number;
  level: number;
}

/** Slices as in section 3.2 of the MSALDS-UNet paper. */
export const sliceDefaults: SliceOptions = { size: 128, window: 540, level: 140 };

/** The HU that a window shows as black and white. */
export function windowRange({ window, level }: Pick<SliceOptions, "window" | "level">): [low: number, high: number] {
  const low = level - window / 2;
  return [low, low + window];
}

/** A volume [S, H, W] and the grid it lies on. */
export interface Volume<T> {
  readonly data: T;
  readonly header: Pick<Geometry, "shape">;
}

/** Slices by number, as batches read them. */
export interface Slices {
  /** Rows and columns of a slice. */
  readonly size: number;
  /** Copies image slice `slice` [size, size] to `out` at `offset`. */
  readImage(slice: number, out: Uint8Array, offset?: number): void;
  /** Copies label slice `slice` [size, size] to `out` at `offset`. */
  readLabel(slice: number, out: Uint8Array, offset?: number): void;
}

/** All slices of a CT volume, [S, size, size]: windowed, then resized with antialiasing; slices that are not square are stretched. */
export function imageSlices(volume: Volume<Int16Array>, options: SliceOptions): Uint8Array<ArrayBuffer> {
  return resized(volume, options, (resizer) => resizer.image);
}

/** All slices of a label volume, [S, size, size]: the label that covers most of a pixel. */
export function labelSlices(volume: Volume<Uint8Array>, options: SliceOptions): Uint8Array<ArrayBuffer> {
  return resized(volume, options, (resizer) => resizer.label);
}

/** The slices of one scan in memory; it has no labels, so they are background. */
export function scanSlices(scan: Volume<Int16Array>, options: SliceOptions): Slices {
  const images = imageSlices(scan, options);
  const { size } = options;
  const plane = size * size;
  return {
    size,
    readImage: (slice, out, offset = 0) => out.set(images.subarray(slice * plane, (slice + 1) * plane), offset),
    readLabel: (_, out, offset = 0) => void out.fill(0, offset, offset + plane),
  };
}

function resized<T extends Int16Array | Uint8Array>(
  { data, header }: Volume<T>,
  options: SliceOptions,
  resizeOf: (resizer: SliceResizer) => (source: T, target: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const [S, H, W] = header.shape;
  const { size } = options;
  const plane = size * size;
  const resize = resizeOf(sliceResizer([H, W], [size, size], windowRange(options)));
  const out = new Uint8Array(S * plane);
  for (let s = 0; s < S; s++)
    resize(data.subarray(s * H * W, (s + 1) * H * W) as T, out.subarray(s * plane, (s + 1) * plane));
  return out;
}
