// From the network's grid back to the slice: probabilities bilinearly, then argmax; labels by nearest neighbour. A
// network that saw a region of interest only goes back with restoreRoi.
// Pixel centres follow PyTorch's align_corners=false: source = (target + 0.5) * from / to - 0.5.

import { OptionError, ShapeError } from "../errors.ts";
import { checkRoi, type Roi } from "./roi.ts";

/** Height and width in pixels. */
export type Size = readonly [height: number, width: number];

/** Where each target pixel reads along one axis: pixels `low` and `high`, `high` with weight `weight`. */
interface Taps {
  low: Int32Array;
  high: Int32Array;
  weight: Float64Array;
}

/**
 * Resizes planes bilinearly, without antialiasing. `planes`: [C, h, w] with `from` = [h, w].
 * Returns f32 [C, H, W] with `to` = [H, W]. Throws ShapeError if `planes` does not hold whole planes.
 * Same as PyTorch's interpolate(mode="bilinear", align_corners=False).
 */
export function resizeBilinear(planes: ArrayLike<number>, from: Size, to: Size): Float32Array<ArrayBuffer> {
  const channels = planeCount("resizeBilinear", planes.length, from, to);
  const rows = linearTaps(from[0], to[0]);
  const columns = linearTaps(from[1], to[1]);
  const out = new Float32Array(channels * to[0] * to[1]);
  let o = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < to[0]; y++) {
      const top = (c * from[0] + rows.low[y]) * from[1];
      const bottom = (c * from[0] + rows.high[y]) * from[1];
      for (let x = 0; x < to[1]; x++) out[o++] = blend(planes, top, bottom, rows.weight[y], columns, x);
    }
  }
  return out;
}

/**
 * Resizes a label plane by nearest neighbour, so that no new label can appear. `plane`: [h, w]. Returns [H, W].
 * Uses pixel centres (PyTorch's mode="nearest-exact"; plain "nearest" is off by half a pixel against bilinear images).
 */
export function resizeNearest(plane: ArrayLike<number>, from: Size, to: Size): Uint8Array<ArrayBuffer> {
  const planes = planeCount("resizeNearest", plane.length, from, to);
  const rows = nearestTaps(from[0], to[0]);
  const columns = nearestTaps(from[1], to[1]);
  const out = new Uint8Array(planes * to[0] * to[1]);
  let o = 0;
  for (let c = 0; c < planes; c++) {
    for (let y = 0; y < to[0]; y++) {
      const row = (c * from[0] + rows[y]) * from[1];
      for (let x = 0; x < to[1]; x++) out[o++] = plane[row + columns[x]];
    }
  }
  return out;
}

/**
 * The class with the largest value at every pixel; the lower class wins a tie. `planes`: [C, N]. Returns [N].
 * Throws ShapeError if `planes` is not C whole planes.
 */
export function argmaxPlanes(planes: ArrayLike<number>, classes: number): Uint8Array<ArrayBuffer> {
  if (!(classes >= 1 && classes <= 256) || planes.length % classes !== 0) {
    throw new ShapeError(
      `argmaxPlanes: planes must hold ${classes} whole planes (1 to 256), found ${planes.length} values`,
    );
  }
  const n = planes.length / classes;
  const out = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
    let best = planes[i];
    for (let c = 1; c < classes; c++) {
      if (planes[c * n + i] > best) {
        best = planes[c * n + i];
        out[i] = c;
      }
    }
  }
  return out;
}

/** Sizes in pixels, and where the result goes. */
export interface RestoreOptions {
  from: Size;
  to: Size;
  /** Where the labels go; a new [H, W] array if left out. */
  out?: Uint8Array<ArrayBuffer>;
  /** First element written in `out`: slice * H * W when a volume is filled slice by slice. */
  offset?: number;
}

/**
 * Class probabilities on the network's grid to labels at the slice's own size: bilinear, then argmax.
 * `probabilities`: [C, h, w]. Writes [H, W] labels 0..C-1 to `out` at `offset` and returns `out`.
 * Interpolating before the argmax keeps borders smooth; both happen per pixel, so [C, H, W] never exists.
 * Throws ShapeError if the sizes do not fit.
 */
export function restoreLabels(probabilities: ArrayLike<number>, options: RestoreOptions): Uint8Array<ArrayBuffer> {
  const { from, to, offset = 0 } = options;
  const classes = planeCount("restoreLabels", probabilities.length, from, to);
  const out = options.out ?? new Uint8Array(offset + to[0] * to[1]);
  if (!(offset >= 0) || offset + to[0] * to[1] > out.length) {
    throw new ShapeError(`restoreLabels: out must hold [${to}] labels from ${offset}, found ${out.length} elements`);
  }
  const rows = linearTaps(from[0], to[0]);
  const columns = linearTaps(from[1], to[1]);
  const plane = from[0] * from[1];
  let o = offset;
  for (let y = 0; y < to[0]; y++) {
    const top = rows.low[y] * from[1];
    const bottom = rows.high[y] * from[1];
    for (let x = 0; x < to[1]; x++) {
      let label = 0;
      let best = blend(probabilities, top, bottom, rows.weight[y], columns, x);
      for (let c = 1; c < classes; c++) {
        const value = blend(probabilities, top + c * plane, bottom + c * plane, rows.weight[y], columns, x);
        if (value > best) {
          best = value;
          label = c;
        }
      }
      out[o++] = label;
    }
  }
  return out;
}

/**
 * What restoreRoi writes for a probability p: "value" p itself, "mask" 1 where p >= 0.5 and else 0, "byte"
 * round(255 * p) but at least 1, so that 0 means outside the region.
 */
export type RoiOutput = "value" | "mask" | "byte";

/** Where a region's pixels go in its slice. */
export interface RestoreRoiOptions<T> {
  /** The slice's own size. */
  to: Size;
  /** Where the slice goes: Float32Array for "value", Uint8Array for "mask" and "byte". */
  out: T;
  /** First element written in `out`: slice * H * W when a volume is filled slice by slice. */
  offset?: number;
  /** Default "value". */
  write?: RoiOutput;
}

/**
 * Puts the prediction for a region of interest back on the slice's own grid: bilinear samples at the pixel centres that
 * lie inside the region, 0 outside. The way back of a batch's region. `probability`: [R, R] covering the square `roi`, whose
 * fractions are of the height and of the width. Writes [H, W] values to `out` at `offset` and returns `out`; no other
 * plane is made. Throws ShapeError if the sizes do not fit, OptionError for a region without area or a float
 * "value" asked for in bytes.
 */
export function restoreRoi<T extends Float32Array | Uint8Array>(
  probability: ArrayLike<number>,
  roi: Roi,
  options: RestoreRoiOptions<T>,
): T {
  const { to, out, offset = 0, write = "value" } = options;
  checkRoi("restoreRoi", roi);
  const R = Math.round(Math.sqrt(probability.length));
  if (R < 1 || R * R !== probability.length) {
    throw new ShapeError(`restoreRoi: probability must be a square plane [R, R], found ${probability.length} values`);
  }
  planeCount("restoreRoi", probability.length, [R, R], to);
  const [H, W] = to;
  if (!(Number.isInteger(offset) && offset >= 0) || offset + H * W > out.length) {
    throw new ShapeError(`restoreRoi: out must hold [${to}] values from ${offset}, found ${out.length} elements`);
  }
  if ((write === "value") !== out instanceof Float32Array) {
    const [wanted, found] = write === "value" ? ["Float32Array", "Uint8Array"] : ["Uint8Array", "Float32Array"];
    throw new OptionError(`restoreRoi: out must be a ${wanted} for write "${write}", found a ${found}`);
  }
  const rows = linearTaps(R, H, roi.y, roi.side);
  const columns = linearTaps(R, W, roi.x, roi.side);
  const [top, bottom] = pixelsInside(H, roi.y, roi.side);
  const [left, right] = pixelsInside(W, roi.x, roi.side);
  out.fill(0, offset, offset + H * W);
  for (let y = top; y < bottom; y++) {
    const low = rows.low[y] * R;
    const high = rows.high[y] * R;
    for (let x = left; x < right; x++) {
      const p = blend(probability, low, high, rows.weight[y], columns, x);
      out[offset + y * W + x] = write === "value" ? p : write === "mask" ? (p >= 0.5 ? 1 : 0) : byteOf(p);
    }
  }
  return out;
}

function byteOf(p: number): number {
  return Math.max(1, Math.min(255, Math.round(255 * p)));
}

/** The pixels [first, last + 1] of an axis of `size` whose centres lie in [start, start + side) of it. */
function pixelsInside(size: number, start: number, side: number): [number, number] {
  const first = Math.max(0, Math.ceil(start * size - 0.5));
  return [first, Math.max(first, Math.min(size, Math.ceil((start + side) * size - 0.5)))];
}

/** One bilinear sample: `top` and `bottom` are the offsets of the two rows, `wy` the weight of the lower one. */
function blend(src: ArrayLike<number>, top: number, bottom: number, wy: number, columns: Taps, x: number): number {
  const low = columns.low[x];
  const high = columns.high[x];
  const wx = columns.weight[x];
  const a = src[top + low] * (1 - wx) + src[top + high] * wx;
  const b = src[bottom + low] * (1 - wx) + src[bottom + high] * wx;
  return a * (1 - wy) + b * wy;
}

/** Taps of an axis of `from` pixels that covers [start, start + side) of the target's axis; the whole if left out. */
function linearTaps(from: number, to: number, start = 0, side = 1): Taps {
  const taps = { low: new Int32Array(to), high: new Int32Array(to), weight: new Float64Array(to) };
  for (let i = 0; i < to; i++) {
    // The first half pixel repeats the edge.
    const at = Math.max(0, ((i + 0.5 - start * to) * from) / (side * to) - 0.5);
    const low = Math.min(Math.floor(at), from - 1);
    taps.low[i] = low;
    taps.high[i] = Math.min(low + 1, from - 1);
    taps.weight[i] = at - low;
  }
  return taps;
}

function nearestTaps(from: number, to: number): Int32Array {
  return Int32Array.from({ length: to }, (_, i) => Math.min(from - 1, Math.floor(((i + 0.5) * from) / to)));
}

function planeCount(op: string, length: number, from: Size, to: Size): number {
  for (const n of [...from, ...to]) {
    if (!Number.isInteger(n) || n < 1) {
      throw new OptionError(`${op}: sizes must be positive whole numbers, found from [${from}] to [${to}]`);
    }
  }
  const planes = length / (from[0] * from[1]);
  if (!Number.isInteger(planes) || planes < 1) {
    throw new ShapeError(`${op}: data must hold whole planes of [${from}], found ${length} values`);
  }
  return planes;
}
