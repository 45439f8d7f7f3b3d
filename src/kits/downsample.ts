// From the slice's own size to the network's grid: the whole slice, or (crop.ts) a part of it. The way back is in
// resample.ts; both use pixel centres (align_corners=false).
import { ShapeError } from "../errors.ts";
import type { Size } from "./resample.ts";

/** Contributions of source pixels to each target pixel along one axis: `count` weights from `first`. */
export interface Filter {
  first: Int32Array;
  count: Int32Array;
  /** `width` weights per target pixel; with `outside` they sum to 1. */
  weights: Float64Array;
  width: number;
  /** Share of each target pixel that falls outside the source and counts as 0. */
  outside: Float64Array;
}

/** Where the target pixels of one axis lie: pixel t spans start + t * scale to start + (t + 1) * scale. */
export interface FilterSpan {
  /** Source and target pixels. */
  from: number;
  to: number;
  /** Default 0, the first source pixel's border; may be negative or fractional. */
  start?: number;
  /** Source pixels per target pixel; default from / to, the whole axis. */
  scale?: number;
  /** Outside the source: repeat what is inside (default), or count as 0. */
  outside?: "repeat" | "zero";
}

/** The filters of one resize and the scratch memory of its image, at least h * W numbers for [h, w] to [H, W]. */
export interface ImageFilters {
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
  const rows = makeFilter({ from: h, to: H }, triangleWeight);
  const columns = makeFilter({ from: w, to: W }, triangleWeight);
  const rowAreas = makeFilter({ from: h, to: H }, coverage);
  const columnAreas = makeFilter({ from: w, to: W }, coverage);
  const narrow = new Float64Array(h * W);
  return {
    image: (source, target) => resizeImage(source, target, { w, W, H, rows, columns, narrow }, window),
    label: (source, target) => resizeLabel(source, target, { w, W, H, rows: rowAreas, columns: columnAreas }),
  };
}

/**
 * Filters an image [h, w] to [H, W] uint8: clipped to the window [low, high] -> [0, 255], columns first, then rows,
 * rounded. With filters that count the outside as 0, `low` must be 0 too.
 */
export function resizeImage(
  source: Int16Array | Uint8Array,
  target: Uint8Array,
  { w, W, H, rows, columns, narrow }: ImageFilters,
  [low, high]: readonly [low: number, high: number],
): void {
  const scale = 255 / (high - low);
  const [top, bottom] = usedRows(rows);
  const { first, count, weights, width } = columns;
  const row = new Float64Array(w); // of one type for sources of either, and clipped once
  for (let y = top; y < bottom; y++) {
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

/** The source rows [first, last + 1] that any target row reads. */
function usedRows({ first, count }: Filter): [number, number] {
  let top = Infinity;
  let bottom = 0;
  for (let t = 0; t < first.length; t++) {
    if (count[t] === 0) continue;
    top = Math.min(top, first[t]);
    bottom = Math.max(bottom, first[t] + count[t]);
  }
  return [top, bottom];
}

/** Majority by covered area of a label slice [h, w] to [H, W]; what lies outside the source counts as label 0. */
export function resizeLabel(
  source: Uint8Array,
  target: Uint8Array,
  { w, W, H, rows, columns }: Omit<ImageFilters, "narrow">,
): void {
  const { first, count, outside } = columns;
  const area = new Float64Array(256);
  for (let Y = 0; Y < H; Y++) {
    const top = rows.first[Y] * w;
    const bottom = top + rows.count[Y] * w;
    for (let X = 0; X < W; X++) {
      let lowest = rows.outside[Y] > 0 || outside[X] > 0 ? 0 : 255;
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
  area[0] += 1 - (1 - rows.outside[Y]) * (1 - columns.outside[X]);
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

/** The filter of one axis. A target pixel wholly outside a source that counts as 0 there has `count` 0. */
export function makeFilter(span: FilterSpan, weight: Weight): Filter {
  const { from, to, start = 0, scale = from / to, outside = "repeat" } = span;
  const reach = Math.max(1, scale);
  const width = 2 * Math.ceil(reach) + 2;
  const filter: Filter = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    weights: new Float64Array(to * width),
    width,
    outside: new Float64Array(to),
  };
  for (let t = 0; t < to; t++) {
    const low = start + t * scale;
    const high = low + scale;
    const centre = (low + high) / 2;
    let count = 0;
    let inside = 0;
    let beyond = 0;
    const last = Math.ceil(centre + reach);
    for (let s = Math.floor(centre - reach - 1); s <= last; s++) {
      const v = weight(s, low, high);
      if (v === 0) continue;
      if (s < 0 || s >= from) {
        beyond += v;
        continue;
      }
      if (count === 0) filter.first[t] = s;
      filter.weights[t * width + count++] = v;
      inside += v;
    }
    const sum = outside === "zero" ? inside + beyond : inside;
    filter.count[t] = count;
    filter.outside[t] = outside === "zero" ? beyond / sum : 0;
    for (let k = 0; k < count; k++) filter.weights[t * width + k] /= sum;
  }
  return filter;
}
