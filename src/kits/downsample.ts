// From the scan's own size to that of the cache. Networks see whole cached slices or parts of them (batch.ts); the way
// back is in resample.ts; all use pixel centres (align_corners=false).
import { ShapeError } from "../errors.ts";
import type { Size } from "./resample.ts";

/** Contributions of source pixels to each target pixel along one axis: `count` weights from `first`. */
export interface Filter {
  first: Int32Array;
  count: Int32Array;
  /** `width` weights per target pixel, which sum to 1. */
  weights: Float64Array;
  width: number;
}

/** The filters of one resize and the scratch memory of its image, at least h * W numbers for [h, w] to [H, W]. */
interface ImageFilters {
  w: number;
  W: number;
  H: number;
  rows: Filter;
  columns: Filter;
  narrow: Float64Array;
}

/** Resizes many slices between the same two sizes; filters and scratch memory are made once. */
export interface SliceResizer {
  /** HU slice [h, w] to [H, W] uint8: clipped to the window, bilinear with antialiasing, rounded. */
  image(source: Int16Array, target: Uint8Array): void;
  /**
   * Label slice [h, w] to [H, W]: the label that covers the largest part of each target pixel; the higher one on a tie.
   */
  label(source: Uint8Array, target: Uint8Array): void;
}

/**
 * A resizer from `from` to `to` with the window [low, high] HU -> [0, 255]. Images use a triangle filter that widens
 * when shrinking (the method of Pillow's BILINEAR); labels use majority by covered area, which for
 * enlarging is nearest neighbour. Throws ShapeError on empty sizes.
 */
export function sliceResizer(from: Size, to: Size, window: readonly [low: number, high: number]): SliceResizer {
  if (![...from, ...to].every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(`sliceResizer: sizes must be positive whole numbers, found [${from}] to [${to}]`);
  }
  const [h, w] = from;
  const [H, W] = to;
  const rows = makeFilter(h, H, triangleWeight);
  const columns = makeFilter(w, W, triangleWeight);
  const rowAreas = makeFilter(h, H, coverage);
  const columnAreas = makeFilter(w, W, coverage);
  const narrow = new Float64Array(h * W);
  return {
    image: (source, target) => resizeImage(source, target, { w, W, H, rows, columns, narrow }, window),
    label: (source, target) => resizeLabel(source, target, { w, W, H, rows: rowAreas, columns: columnAreas }),
  };
}

/** Filters an image [h, w] to [H, W] uint8: clipped to the window [low, high] -> [0, 255], columns, then rows, rounded. */
function resizeImage(
  source: Int16Array,
  target: Uint8Array,
  { w, W, H, rows, columns, narrow }: ImageFilters,
  [low, high]: readonly [low: number, high: number],
): void {
  const scale = 255 / (high - low);
  const { first, count, weights, width } = columns;
  const row = new Float64Array(w); // clipped once
  for (let y = 0; y < source.length / w; y++) {
    for (let x = 0; x < w; x++) {
      const v = source[y * w + x];
      row[x] = v < low ? low : v > high ? high : v;
    }
    for (let X = 0; X < W; X++) {
      const start = first[X];
      const end = start + count[X];
      let sum = 0;
      for (let x = start, k = X * width; x < end; x++, k++) sum += weights[k] * row[x];
      narrow[y * W + X] = (sum - low) * scale;
    }
  }
  const sums = new Float64Array(W); // row by row: memory is read in order
  for (let Y = 0; Y < H; Y++) {
    sums.fill(0);
    for (let k = 0; k < rows.count[Y]; k++) {
      const weight = rows.weights[Y * rows.width + k];
      const start = (rows.first[Y] + k) * W;
      for (let X = 0; X < W; X++) sums[X] += weight * narrow[start + X];
    }
    for (let X = 0; X < W; X++) target[Y * W + X] = Math.round(sums[X]);
  }
}

/** Majority by covered area of a label slice [h, w] to [H, W]. */
function resizeLabel(
  source: Uint8Array,
  target: Uint8Array,
  { w, W, H, rows, columns }: Omit<ImageFilters, "narrow">,
): void {
  const { first, count } = columns;
  const area = new Float64Array(256);
  for (let Y = 0; Y < H; Y++) {
    const top = rows.first[Y] * w;
    const bottom = top + rows.count[Y] * w;
    for (let X = 0; X < W; X++) {
      let lowest = 255;
      let highest = 0;
      for (let start = top + first[X]; start < bottom; start += w) {
        const end = start + count[X];
        for (let at = start; at < end; at++) {
          const label = source[at];
          if (label < lowest) lowest = label;
          if (label > highest) highest = label;
        }
      }
      target[Y * W + X] =
        lowest === highest ? lowest : majority(source, top + first[X], w, area, Y, X, rows, columns, highest);
    }
  }
}

function majority(
  source: Uint8Array,
  corner: number,
  w: number,
  area: Float64Array,
  Y: number,
  X: number,
  rows: Filter,
  columns: Filter,
  highest: number,
): number {
  area.fill(0, 0, highest + 1);
  for (let j = 0; j < rows.count[Y]; j++) {
    for (let i = 0; i < columns.count[X]; i++) {
      area[source[corner + j * w + i]] += rows.weights[Y * rows.width + j] * columns.weights[X * columns.width + i];
    }
  }
  let best = highest;
  // 1e-9: equal areas must tie although their sums were rounded differently.
  for (let label = highest - 1; label >= 0; label--) if (area[label] > area[best] + 1e-9) best = label;
  return best;
}

/** Weight of source pixel [source, source + 1] for a target pixel that spans [low, high] in source pixels. */
export type Weight = (source: number, low: number, high: number) => number;

/** A triangle about the target pixel's centre, its half-width 1 source pixel (bilinear) or more when shrinking. */
export function triangleWeight(source: number, low: number, high: number): number {
  const reach = Math.max(1, high - low);
  return Math.max(0, 1 - Math.abs(source + 0.5 - (low + high) / 2) / reach);
}

/** The covered length when shrinking; when enlarging, 1 for the pixel under the target's centre: nearest neighbour. */
export function coverage(source: number, low: number, high: number): number {
  // 1e-9: at a scale of 1, rounding of low and high must not switch between the two rules, nor add a neighbour.
  if (high - low < 1 - 1e-9) return source === Math.floor((low + high) / 2) ? 1 : 0;
  const covered = Math.min(high, source + 1) - Math.max(low, source);
  return covered > 1e-9 ? covered : 0;
}

/** The filter of one axis from `from` to `to` pixels; at the border it divides by what is inside. */
export function makeFilter(from: number, to: number, weight: Weight): Filter {
  const scale = from / to;
  const reach = Math.max(1, scale);
  const width = 2 * Math.ceil(reach) + 2;
  const weights = new Float64Array(to * width);
  const filter: Filter = { first: new Int32Array(to), count: new Int32Array(to), weights, width };
  for (let t = 0; t < to; t++) {
    const low = t * scale;
    const high = low + scale;
    const centre = (low + high) / 2;
    let count = 0;
    let sum = 0;
    const last = Math.min(from - 1, Math.ceil(centre + reach));
    for (let s = Math.max(0, Math.floor(centre - reach - 1)); s <= last; s++) {
      const v = weight(s, low, high);
      if (v === 0) continue;
      if (count === 0) filter.first[t] = s;
      weights[t * width + count++] = v;
      sum += v;
    }
    filter.count[t] = count;
    for (let k = 0; k < count; k++) weights[t * width + k] /= sum;
  }
  return filter;
}
