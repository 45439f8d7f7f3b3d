// From the slice's own size to the network's grid. The way back is in resample.ts; both use pixel centres
// (align_corners=false).
import { ShapeError } from "../errors.ts";
import type { Size } from "./resample.ts";

/** Contributions of source pixels to each target pixel along one axis: `count` weights from `first`. */
interface Filter {
  first: Int32Array;
  count: Int32Array;
  /** `width` weights per target pixel, summing to 1. */
  weights: Float64Array;
  width: number;
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
    image: (source, target) => resizeImage(source, target, { w, h, W, H, rows, columns, narrow, window }),
    label: (source, target) => resizeLabel(source, target, { w, h, W, H, rows: rowAreas, columns: columnAreas }),
  };
}

function resizeImage(
  source: Int16Array,
  target: Uint8Array,
  p: {
    w: number;
    h: number;
    W: number;
    H: number;
    rows: Filter;
    columns: Filter;
    narrow: Float64Array;
    window: readonly [number, number];
  },
): void {
  const { w, h, W, H, rows, columns, narrow } = p;
  const [low, high] = p.window;
  const scale = 255 / (high - low);
  for (let y = 0; y < h; y++) {
    for (let X = 0; X < W; X++) {
      const first = y * w + columns.first[X];
      let sum = 0;
      for (let k = 0; k < columns.count[X]; k++) {
        const v = source[first + k];
        sum += columns.weights[X * columns.width + k] * (v < low ? low : v > high ? high : v);
      }
      narrow[y * W + X] = (sum - low) * scale;
    }
  }
  for (let Y = 0; Y < H; Y++) {
    for (let X = 0; X < W; X++) {
      let sum = 0;
      for (let k = 0; k < rows.count[Y]; k++)
        sum += rows.weights[Y * rows.width + k] * narrow[(rows.first[Y] + k) * W + X];
      target[Y * W + X] = Math.round(sum);
    }
  }
}

function resizeLabel(
  source: Uint8Array,
  target: Uint8Array,
  p: { w: number; h: number; W: number; H: number; rows: Filter; columns: Filter },
): void {
  const { w, W, H, rows, columns } = p;
  const area = new Float64Array(256);
  for (let Y = 0; Y < H; Y++) {
    for (let X = 0; X < W; X++) {
      const corner = rows.first[Y] * w + columns.first[X];
      let lowest = 255;
      let highest = 0;
      for (let j = 0; j < rows.count[Y]; j++) {
        for (let i = 0; i < columns.count[X]; i++) {
          const label = source[corner + j * w + i];
          if (label < lowest) lowest = label;
          if (label > highest) highest = label;
        }
      }
      target[Y * W + X] = lowest === highest ? lowest : majority(source, corner, w, area, Y, X, rows, columns, highest);
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

type Weight = (source: number, low: number, high: number) => number;

/** Weight of source pixel [source, source + 1] for a target pixel that spans [low, high] in source pixels. */
function triangleWeight(source: number, low: number, high: number): number {
  const reach = Math.max(1, high - low);
  return Math.max(0, 1 - Math.abs(source + 0.5 - (low + high) / 2) / reach);
}

function coverage(source: number, low: number, high: number): number {
  if (high - low < 1) return source === Math.floor((low + high) / 2) ? 1 : 0; // enlarging: nearest
  const covered = Math.min(high, source + 1) - Math.max(low, source);
  return covered > 1e-9 ? covered : 0; // rounding of low and high must not add a neighbour
}

function makeFilter(from: number, to: number, weight: Weight): Filter {
  const scale = from / to;
  const width = 2 * Math.ceil(Math.max(1, scale)) + 2;
  const filter = { first: new Int32Array(to), count: new Int32Array(to), weights: new Float64Array(to * width), width };
  for (let t = 0; t < to; t++) {
    const low = t * scale;
    const high = low + scale;
    const start = Math.max(0, Math.floor((low + high) / 2 - Math.max(1, scale) - 1));
    const found: number[] = [];
    for (let s = start; s < from; s++) {
      const v = weight(s, low, high);
      if (v === 0 && found.length > 0) break;
      if (v === 0) continue;
      if (found.length === 0) filter.first[t] = s;
      found.push(v);
    }
    const sum = found.reduce((a, b) => a + b, 0);
    filter.count[t] = found.length;
    found.forEach((v, i) => (filter.weights[t * width + i] = v / sum));
  }
  return filter;
}
