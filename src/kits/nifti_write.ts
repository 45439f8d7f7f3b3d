// Writes NIfTI-1 files in the axis order and with the matrices of a source volume.
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { NIFTI1 } from "nifti-reader-js";
import { OptionError, ShapeError } from "../errors.ts";
import { replaceFile } from "./atomic.ts";
import { columnLengths } from "./geometry.ts";
import type { Geometry } from "./geometry.ts";
import { axialToTile, planesPerTile } from "./transpose.ts";

/**
 * Writes axial voxels as `.nii.gz` (or `.nii`), whole or not at all. `data`: [S, H, W], uint8 for labels or int16 for
 * images, as readImage and readLabels give it; `geometry`: the source volume's. The file has the source's axis order,
 * dims and matrix; both sform and qform are written. Throws ShapeError when sizes differ, OptionError on other endings.
 */
export async function writeNifti(
  path: string,
  data: Uint8Array | Int16Array,
  geometry: Geometry,
  options: { level?: number } = {},
): Promise<void> {
  const [S, H, W] = geometry.shape;
  if (data.length !== S * H * W) {
    throw new ShapeError(`writeNifti: data must hold [${S}, ${H}, ${W}] = ${S * H * W} voxels, found ${data.length}`);
  }
  if (!/\.nii(\.gz)?$/.test(path)) {
    throw new OptionError(`writeNifti: the name must end in .nii or .nii.gz, found ${path}`);
  }
  await replaceFile(path, "the volume", async (temporary) => {
    const source = Readable.from(fileBytes(data, geometry), { objectMode: false });
    const sink = createWriteStream(temporary);
    if (path.endsWith(".gz")) await pipeline(source, createGzip({ level: options.level ?? 6 }), sink);
    else await pipeline(source, sink);
  });
}

function* fileBytes(data: Uint8Array | Int16Array, geometry: Geometry): Generator<Uint8Array> {
  yield header(geometry, data instanceof Int16Array);
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

function header(geometry: Geometry, isInt16: boolean): Uint8Array {
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
  floats(108, [352, 1, 0]); // vox_offset, scl_slope, scl_inter
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
  return bytes;
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
