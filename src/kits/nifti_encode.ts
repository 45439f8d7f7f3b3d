// The bytes of NIfTI-1 files in the axis order and with the matrices of a source volume.
import { NIFTI1 } from "nifti-reader-js";
import { ShapeError } from "../errors.ts";
import { columnLengths } from "./geometry.ts";
import type { Geometry } from "./geometry.ts";
import { axialToTile, planesPerTile } from "./transpose.ts";

/** Settings of a NIfTI file that is made. */
export interface EncodeOptions {
  /**
   * The header (NiftiHeader.raw) of a file on the same grid: units, spacing and both matrices are then its own to the last
   * bit. Left out, both matrices say what `geometry` says.
   */
  like?: Uint8Array;
  /** Value of a step of the stored numbers (scl_slope); default 1. */
  slope?: number;
}

/**
 * The bytes of a `.nii` file, part by part. `data`: [S, H, W], uint8 for labels or int16 for images, as readImage and
 * readLabels give it; `geometry`: the source volume's, whose axis order, dims and matrix the file has. Throws ShapeError when sizes differ.
 */
export function niftiParts(
  data: Uint8Array | Int16Array,
  geometry: Geometry,
  options: EncodeOptions = {},
): Generator<Uint8Array<ArrayBuffer>> {
  const [S, H, W] = geometry.shape;
  if (data.length !== S * H * W) {
    throw new ShapeError(`writeNifti: data must hold [${S}, ${H}, ${W}] = ${S * H * W} voxels, found ${data.length}`);
  }
  return partsOf(data, geometry, options);
}

function* partsOf(
  data: Uint8Array | Int16Array,
  geometry: Geometry,
  options: EncodeOptions,
): Generator<Uint8Array<ArrayBuffer>> {
  yield header(geometry, data instanceof Int16Array, options);
  const plane = geometry.dims[0] * geometry.dims[1];
  const planes = planesPerTile(geometry);
  for (let first = 0; first < geometry.dims[2]; first += planes) {
    const count = Math.min(planes, geometry.dims[2] - first);
    // A new array each time: the stream may still hold the previous one.
    const tile = data instanceof Int16Array ? new Int16Array(plane * count) : new Uint8Array(plane * count);
    axialToTile(data, tile, geometry, first, count);
    yield new Uint8Array(tile.buffer);
  }
}

function header(geometry: Geometry, isInt16: boolean, { like, slope = 1 }: EncodeOptions): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(352);
  const view = new DataView(bytes.buffer);
  const floats = (at: number, values: readonly number[]) =>
    values.forEach((v, i) => view.setFloat32(at + 4 * i, v, true));
  const lengths = columnLengths(geometry.affine);
  const { quaternion, qfac } = quaternionOf(geometry.affine);
  const known = geometry.affineSource !== "pixdim";
  view.setInt32(0, 348, true);
  [3, ...geometry.dims, 1, 1, 1, 1].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, isInt16 ? NIFTI1.TYPE_INT16 : NIFTI1.TYPE_UINT8, true);
  view.setInt16(72, isInt16 ? 16 : 8, true);
  floats(76, [qfac, ...lengths, 1, 1, 1, 1]);
  floats(108, [352, slope, 0]); // vox_offset, scl_slope, scl_inter
  view.setUint8(123, NIFTI1.UNITS_MM);
  bytes.set(new TextEncoder().encode("wgrad"), 148);
  // Both matrices say the same thing, so both take the code of the one that was read.
  const code = known ? (geometry.affineSource === "sform" ? geometry.sformCode : geometry.qformCode) : 0;
  view.setInt16(252, code, true);
  view.setInt16(254, code, true);
  floats(256, quaternion);
  floats(
    268,
    geometry.affine.map((row) => row[3]),
  );
  geometry.affine.forEach((row, r) => floats(280 + 16 * r, row));
  bytes.set([0x6e, 0x2b, 0x31, 0], 344); // "n+1"
  if (like) copyPlace(like, view);
  return bytes;
}

/** Copies what says where voxels lie: spacing, units, both codes, quaternion and offsets, the rows of the matrix. */
function copyPlace(like: Uint8Array, to: DataView): void {
  const from = new DataView(like.buffer, like.byteOffset, like.byteLength);
  const little = from.getInt32(0, true) === 348;
  to.setUint8(123, from.getUint8(123));
  for (const at of [252, 254]) to.setInt16(at, from.getInt16(at, little), true);
  const floats = [...range(76, 108), ...range(256, 328)];
  for (const at of floats) to.setUint32(at, from.getUint32(at, little), true); // bits: a NaN stays the one it was
}

/** Offsets of floats from `start` to before `end`. */
function range(start: number, end: number): number[] {
  return Array.from({ length: (end - start) / 4 }, (_, i) => start + 4 * i);
}

/**
 * The rotation of a matrix as the NIfTI quaternion (b, c, d) with a >= 0, and qfac = -1 for a left-handed grid.
 * A sheared matrix has no such form; its columns are made orthogonal, and the sform keeps the exact values.
 */
export function quaternionOf(affine: readonly (readonly number[])[]): { quaternion: number[]; qfac: 1 | -1 } {
  const column = (c: number) => [affine[0][c], affine[1][c], affine[2][c]];
  const i = unit(column(0));
  const along = dot(column(1), i);
  const j = unit(column(1).map((v, n) => v - along * i[n]));
  const k = [i[1] * j[2] - i[2] * j[1], i[2] * j[0] - i[0] * j[2], i[0] * j[1] - i[1] * j[0]];
  const qfac = dot(k, column(2)) < 0 ? -1 : 1;
  return { quaternion: fromRotation([i[0], j[0], k[0], i[1], j[1], k[1], i[2], j[2], k[2]]), qfac };
}

/**
 * Quaternion of a rotation matrix (rows). The largest component is found first, so no division is by a small number.
 */
function fromRotation([xx, xy, xz, yx, yy, yz, zx, zy, zz]: number[]): number[] {
  const squares = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz];
  const largest = squares.indexOf(Math.max(...squares));
  const s = 2 * Math.sqrt(squares[largest]); // 4 times the largest component
  const all = [
    [s / 4, (zy - yz) / s, (xz - zx) / s, (yx - xy) / s],
    [(zy - yz) / s, s / 4, (xy + yx) / s, (xz + zx) / s],
    [(xz - zx) / s, (xy + yx) / s, s / 4, (yz + zy) / s],
    [(yx - xy) / s, (xz + zx) / s, (yz + zy) / s, s / 4],
  ][largest];
  return all.slice(1).map((v) => (all[0] < 0 ? -v : v));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function unit(v: number[]): number[] {
  const length = Math.hypot(v[0], v[1], v[2]);
  return v.map((x) => x / length);
}
