// Exact Euclidean distance transform of a 3-D grid with its own spacing per axis.
//
// The squared distance separates by axis. Along W two sweeps find the nearest point of the row; along H and then D each
// line takes the lower envelope of the parabolas (spacing * (q - v))^2 + f(v). All values are float64: the tolerance of
// a surface score is compared with <=, so a rounded distance would move voxels across it.
// Source: Felzenszwalb and Huttenlocher 2012, "Distance transforms of sampled functions".

import { OptionError, ShapeError } from "../errors.ts";

const TILE = 16; // columns gathered at once: 128 bytes of each row, so that a cache line is read once

/**
 * Squared distance in mm2 from every grid point to the nearest of `points`; Infinity everywhere if there are none.
 * `points`: flat indices into the grid, in any order. `shape`: [D, H, W]. `spacing`: mm, in the same order.
 * `wanted`: flat indices of the only values that will be read, which saves time; the others are then not final.
 * Throws ShapeError if `shape` is not [D, H, W] or a point lies outside it, OptionError if a spacing is not positive.
 */
export function squaredDistances(
  points: ArrayLike<number>,
  shape: readonly number[],
  spacing: readonly number[],
  wanted?: ArrayLike<number>,
): Float64Array<ArrayBuffer> {
  checkGrid(shape, spacing);
  const [d, h, w] = shape;
  const out = new Float64Array(d * h * w).fill(Infinity);
  const occupied = new Uint8Array(d); // slices that hold a point
  for (let i = 0; i < points.length; i++) {
    const point = points[i];
    if (!(point >= 0 && point < out.length)) {
      throw new ShapeError(`squaredDistances: points must lie in shape [${shape}], found index ${point}`);
    }
    out[point] = 0;
    occupied[Math.floor(point / (h * w))] = 1;
  }
  for (let z = 0; z < d; z++) {
    if (occupied[z] === 0) continue;
    const slice = out.subarray(z * h * w, (z + 1) * h * w);
    for (let y = 0; y < h; y++) sweepRow(slice, y * w, w, spacing[2]);
    envelopes(slice, h, w, spacing[1]);
  }
  envelopes(out, d, h * w, spacing[0], wanted && tilesOf(wanted, h * w));
  return out;
}

/** 1 for each tile of columns through the slices in which a value is wanted. */
function tilesOf(wanted: ArrayLike<number>, columns: number): Uint8Array {
  const tiles = new Uint8Array(Math.ceil(columns / TILE));
  for (let i = 0; i < wanted.length; i++) tiles[Math.floor((wanted[i] % columns) / TILE)] = 1;
  return tiles;
}

function checkGrid(shape: readonly number[], spacing: readonly number[]): void {
  if (shape.length !== 3 || !shape.every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(`squaredDistances: shape must be [D, H, W] with whole numbers from 1, found [${shape}]`);
  }
  if (spacing.length !== 3 || !spacing.every((mm) => mm > 0 && Number.isFinite(mm))) {
    throw new OptionError(`squaredDistances: spacing must be three positive lengths in mm, found [${spacing}]`);
  }
}

/** Replaces a row of 0 (point) and Infinity by squared distances within the row. */
function sweepRow(values: Float64Array, start: number, length: number, spacing: number): void {
  let nearest = -1;
  for (let x = 0; x < length; x++) {
    if (values[start + x] === 0) nearest = x;
    else if (nearest >= 0) values[start + x] = ((x - nearest) * spacing) ** 2;
  }
  if (nearest < 0) return;
  for (let x = nearest - 1; x >= 0; x--) {
    if (values[start + x] === 0) nearest = x;
    else values[start + x] = Math.min(values[start + x], ((nearest - x) * spacing) ** 2);
  }
}

/** Transforms the columns of a matrix `values` [length, columns]; only those of the `tiles` marked 1, if given. */
function envelopes(values: Float64Array, length: number, columns: number, spacing: number, tiles?: Uint8Array): void {
  const work: Line = {
    f: new Float64Array(length * TILE),
    out: new Float64Array(length),
    apex: new Int32Array(length),
    from: new Float64Array(length + 1),
  };
  for (let first = 0; first < columns; first += TILE) {
    if (tiles && tiles[first / TILE] === 0) continue;
    const width = Math.min(TILE, columns - first);
    for (let q = 0; q < length; q++) {
      const at = q * columns + first;
      for (let c = 0; c < width; c++) work.f[c * length + q] = values[at + c];
    }
    for (let c = 0; c < width; c++) lowerEnvelope(work, c * length, length, spacing);
    for (let q = 0; q < length; q++) {
      const at = q * columns + first;
      for (let c = 0; c < width; c++) values[at + c] = work.f[c * length + q];
    }
  }
}

interface Line {
  /** Lines one after another; each is overwritten by its transform. */
  f: Float64Array;
  out: Float64Array;
  /** Positions of the parabolas that are lowest somewhere, and where each starts to be. */
  apex: Int32Array;
  from: Float64Array;
}

function lowerEnvelope({ f, out, apex, from }: Line, start: number, length: number, spacing: number): void {
  const unit = 2 * spacing * spacing;
  let last = -1;
  for (let q = 0; q < length; q++) {
    const height = f[start + q];
    if (height === Infinity) continue;
    let meets = -Infinity;
    while (last >= 0) {
      const v = apex[last];
      meets = (q + v) / 2 + (height - f[start + v]) / (unit * (q - v));
      if (meets > from[last]) break;
      last--;
    }
    last++;
    apex[last] = q;
    from[last] = last === 0 ? -Infinity : meets;
  }
  if (last < 0) return; // no point in reach of this line yet
  from[last + 1] = Infinity;
  let k = 0;
  for (let q = 0; q < length; q++) {
    while (from[k + 1] < q) k++;
    out[q] = ((q - apex[k]) * spacing) ** 2 + f[start + apex[k]];
  }
  for (let q = 0; q < length; q++) f[start + q] = out[q];
}
