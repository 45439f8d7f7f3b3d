// The first bytes of a NIfTI-1 file: what its voxels are, where they lie, and whether the file can hold them. Bytes only:
// files are read in nifti.ts, bytes in memory in nifti_bytes.ts.
import { readHeader as parse } from "nifti-reader-js";
import { DataError } from "../errors.ts";
import { columnLengths, orientationFromSpacing, orientationOf } from "./geometry.ts";
import type { Geometry, Orientation, Triple } from "./geometry.ts";

/** Storage types that are read. int64 and uint64 are exact up to 2^53. */
export type Datatype =
  "uint8" | "int8" | "int16" | "uint16" | "int32" | "uint32" | "float32" | "float64" | "int64" | "uint64";

/** Header of one NIfTI-1 file. */
export interface NiftiHeader extends Geometry {
  path: string;
  gzip: boolean;
  /** Size of the file on disk in bytes. */
  fileBytes: number;
  datatype: Datatype;
  bytesPerVoxel: number;
  littleEndian: boolean;
  /** First byte of the voxels in the uncompressed file. */
  voxOffset: number;
  /** Value = stored * slope + inter. */
  slope: number;
  inter: number;
  /** The header's bytes as they were read, for files that are to lie where this one does. */
  raw: Uint8Array<ArrayBuffer>;
}

const DATATYPES: Record<number, [Datatype, number]> = {
  2: ["uint8", 1],
  4: ["int16", 2],
  8: ["int32", 4],
  16: ["float32", 4],
  64: ["float64", 8],
  256: ["int8", 1],
  512: ["uint16", 2],
  768: ["uint32", 4],
  1024: ["int64", 8],
  1280: ["uint64", 8],
};

export const HEADER_BYTES = 348;
// Deflate cannot shrink data by more than 1032:1, so a gzip file bounds what it can hold.
const DEFLATE_LIMIT = 1032;

/** Bytes of the uncompressed file that the header claims. */
export function claimedBytes(header: NiftiHeader): number {
  return header.voxOffset + header.dims[0] * header.dims[1] * header.dims[2] * header.bytesPerVoxel;
}

/** The start of a file: its first uncompressed bytes, and of the file itself whether it is gzip and how long. */
export interface FileStart {
  readonly bytes: Uint8Array;
  readonly gzip: boolean;
  readonly fileBytes: number;
}

/**
 * The header in a file's first bytes. The matrix is the sform, else the qform, else the spacings alone. `path`: what the
 * file is called in errors. Throws DataError for anything that is not a readable 3-D volume, and for a header that claims
 * more voxels than the file can hold.
 */
export function parseHeader(path: string, start: FileStart, orientation?: Orientation): NiftiHeader {
  const { bytes, gzip, fileBytes } = start;
  if (bytes.length < HEADER_BYTES) {
    const pointer = String.fromCharCode(...bytes.subarray(0, 7)) === "version";
    const fix = pointer ? "it is a Git LFS pointer: run git lfs pull" : "download it again";
    throw new DataError(`${path}: must hold a 348-byte NIfTI header, found ${bytes.length} bytes; ${fix}`);
  }
  const header = { ...fieldsOf(path, bytes.subarray(0, HEADER_BYTES), orientation), gzip, fileBytes };
  checkCapacity(header);
  return header;
}

/** True for the first bytes of a gzip file. */
export function isGzip(start: Uint8Array): boolean {
  return start[0] === 0x1f && start[1] === 0x8b;
}

function fieldsOf(path: string, bytes: Uint8Array, orientation: Orientation | undefined) {
  const copy = new Uint8Array(bytes); // not bytes.slice(): on a Buffer that shares the pool
  const view = new DataView(copy.buffer);
  const raw = parseRaw(path, copy);
  const type = DATATYPES[raw.datatypeCode];
  if (!type) {
    throw new DataError(`${path}: voxel type code ${raw.datatypeCode} is not supported; save as int16 or float32`);
  }
  const dims = volumeDims(path, raw.dims);
  const pixdim: Triple = [1, 2, 3].map((i) => Math.abs(raw.pixDims[i])) as Triple;
  const { affine, affineSource } = chooseAffine(view, raw, pixdim);
  const lengths = columnLengths(affine);
  if (!lengths.every((v) => Number.isFinite(v) && v > 0)) {
    throw new DataError(`${path}: the spacing must be positive, found ${lengths.join(" x ")} mm; reconvert the file`);
  }
  const { axes, flips } =
    orientation ?? (affineSource === "pixdim" ? orientationFromSpacing(lengths, dims) : orientationOf(affine));
  const pick = (v: Triple): Triple => [v[axes[0]], v[axes[1]], v[axes[2]]];
  const voxOffset = raw.vox_offset;
  if (!(Number.isInteger(voxOffset) && voxOffset >= HEADER_BYTES)) {
    throw new DataError(
      `${path}: vox_offset must be a whole number of at least 348, found ${voxOffset}; reconvert the file`,
    );
  }
  // Slope 0 means "no scaling" in NIfTI; a non-finite one is treated the same, as other readers do.
  const scaled = Number.isFinite(raw.scl_slope) && raw.scl_slope !== 0 && Number.isFinite(raw.scl_inter);
  return {
    path,
    dims,
    affine,
    affineSource,
    sformCode: raw.sform_code,
    qformCode: raw.qform_code,
    axes,
    flips,
    shape: pick(dims),
    spacing: pick(lengths),
    datatype: type[0],
    bytesPerVoxel: type[1],
    littleEndian: raw.littleEndian,
    voxOffset,
    slope: scaled ? raw.scl_slope : 1,
    inter: scaled ? raw.scl_inter : 0,
    raw: copy,
  };
}

type RawHeader = ReturnType<typeof parse>;

function parseRaw(path: string, bytes: Uint8Array<ArrayBuffer>): RawHeader {
  const magic = String.fromCharCode(...bytes.subarray(344, 347));
  const nifti2 = String.fromCharCode(...bytes.subarray(4, 7)) === "n+2";
  if (nifti2) throw new DataError(`${path}: is a NIfTI-2 file; save it as NIfTI-1`);
  if (magic === "ni1") throw new DataError(`${path}: is the header of a .hdr/.img pair; save it as one .nii.gz file`);
  if (magic !== "n+1") throw new DataError(`${path}: is not a NIfTI file (no "n+1" mark); check the download`);
  const view = new DataView(bytes.buffer);
  // Asked here already: what begins in another way may be unpacked by the parser as gzip, of any size.
  if (![true, false].some((little) => view.getInt32(0, little) === HEADER_BYTES))
    throw new DataError(`${path}: the NIfTI header must begin with its size, 348; download the file again`);
  try {
    return parse(bytes.buffer);
  } catch (error) {
    throw new DataError(
      `${path}: the NIfTI header does not parse (${(error as Error).message}); download the file again`,
    );
  }
}

function volumeDims(path: string, dim: number[]): Triple {
  const count = dim[0];
  const sizes = dim.slice(1, Math.min(count, 7) + 1);
  const valid = count >= 2 && count <= 7 && sizes.every((n) => n >= 1) && sizes.slice(3).every((n) => n === 1);
  if (!valid) throw new DataError(`${path}: must be one 3-D volume, found dims [${sizes}]; split or reconvert it`);
  return [sizes[0], sizes[1], sizes[2] ?? 1];
}

function chooseAffine(view: DataView, raw: RawHeader, pixdim: Triple) {
  const sform = [0, 1, 2].map((r) => [0, 1, 2, 3].map((c) => view.getFloat32(280 + 16 * r + 4 * c, raw.littleEndian)));
  if (raw.sform_code > 0 && isRegular(sform)) return { affine: sform, affineSource: "sform" as const };
  const qform = affineFromQuaternion(view, raw.littleEndian, pixdim);
  if (raw.qform_code > 0 && isRegular(qform)) return { affine: qform, affineSource: "qform" as const };
  const diagonal = [
    [pixdim[0], 0, 0, 0],
    [0, pixdim[1], 0, 0],
    [0, 0, pixdim[2], 0],
  ];
  return { affine: diagonal, affineSource: "pixdim" as const };
}

/** The NIfTI-1 quaternion form ("method 2" of nifti1.h). */
function affineFromQuaternion(view: DataView, littleEndian: boolean, pixdim: Triple): number[][] {
  const [qb, qc, qd, x, y, z] = [256, 260, 264, 268, 272, 276].map((at) => view.getFloat32(at, littleEndian));
  // a = sqrt(1 - |bcd|^2) magnifies float32 rounding near a half turn, where KiTS files lie: 3e-7 is that rounding.
  const square = qb * qb + qc * qc + qd * qd;
  const half = square > 1 - 3e-7;
  const a = half ? 0 : Math.sqrt(1 - square);
  const [b, c, d] = half ? [qb, qc, qd].map((v) => v / Math.sqrt(square)) : [qb, qc, qd];
  const sx = pixdim[0];
  const sy = pixdim[1];
  const sz = view.getFloat32(76, littleEndian) < 0 ? -pixdim[2] : pixdim[2];
  return [
    [(a * a + b * b - c * c - d * d) * sx, 2 * (b * c - a * d) * sy, 2 * (b * d + a * c) * sz, x],
    [2 * (b * c + a * d) * sx, (a * a + c * c - b * b - d * d) * sy, 2 * (c * d - a * b) * sz, y],
    [2 * (b * d - a * c) * sx, 2 * (c * d + a * b) * sy, (a * a + d * d - b * b - c * c) * sz, z],
  ];
}

function isRegular(m: number[][]): boolean {
  const [[a, b, c], [d, e, f], [g, h, i]] = m;
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return m.flat().every(Number.isFinite) && Math.abs(determinant) > 1e-12;
}

function checkCapacity(header: NiftiHeader): void {
  const { path, dims, fileBytes, gzip } = header;
  const claimed = claimedBytes(header);
  const limit = gzip ? fileBytes * DEFLATE_LIMIT : fileBytes;
  if (claimed > limit) {
    throw new DataError(
      `${path}: the header claims [${dims}] ${header.datatype} voxels (${claimed} bytes) but the file of ${fileBytes} bytes ` +
        `cannot hold more than ${limit}; the file is cut short or its header is wrong: download it again`,
    );
  }
}
