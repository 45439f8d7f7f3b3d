// Reads NIfTI-1 voxels as a stream: bytes are unpacked, converted and put in their axial place as they arrive, so a
// volume exists once, in its final type. The largest KiTS case is 2.2 GB as stored (float64) and 0.56 GB here.
import { createReadStream } from "node:fs";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { DataError } from "../errors.ts";
import type { Orientation } from "./geometry.ts";
import { claimedBytes, openFile, readHeader } from "./nifti_header.ts";
import type { Datatype, NiftiHeader } from "./nifti_header.ts";
import { planesPerTile, tileToAxial } from "./transpose.ts";

export { readHeader } from "./nifti_header.ts";
export type { NiftiHeader } from "./nifti_header.ts";
export { writeNifti } from "./nifti_write.ts";

/** A CT volume. `data`: [S, H, W] Hounsfield units, rounded and kept within int16. */
export interface ImageVolume {
  header: NiftiHeader;
  data: Int16Array<ArrayBuffer>;
  /** Voxels that were NaN or infinite; they read as air, -1024. */
  nonFinite: number;
}

/** A label volume. `data`: [S, H, W]. */
export interface LabelImage {
  header: NiftiHeader;
  data: Uint8Array<ArrayBuffer>;
  /** Voxels per label value, 256 entries. */
  counts: Float64Array<ArrayBuffer>;
}

const AIR = -1024;
const CHUNK = 1 << 18;
/** What gzip says of its length is believed below this, and beyond it of data that shrank no more than so many times. */
const BELIEVED = { bytes: 2 ** 30, ratio: 100 };

/**
 * Reads a CT volume as axial slices. `orientation` overrides axes and flips. Returns [S, H, W] int16, S to inferior,
 * H to posterior, W to the patient's left. Throws DataError, naming the file, when it is damaged, cut short or does not
 * agree with its header; sizes are checked before memory is taken.
 */
export async function readImage(path: string, orientation?: Orientation): Promise<ImageVolume> {
  const header = await readHeader(path, orientation);
  await checkSize(header);
  const data = allocated(Int16Array, header);
  let nonFinite = 0;
  await readVoxels(header, data, (values, tile, at) => {
    const { slope, inter } = header;
    for (let i = 0; i < values.length; i++) {
      const v = Math.round(values[i] * slope + inter);
      if (v - v !== 0) {
        nonFinite++;
        tile[at + i] = AIR;
      } else {
        tile[at + i] = v < -32768 ? -32768 : v > 32767 ? 32767 : v;
      }
    }
  });
  return { header, data, nonFinite };
}

/**
 * Reads a label volume as axial slices, in the orientation of its image. Returns [S, H, W] uint8 and the count of each
 * label. Throws DataError as readImage, and for values that are not whole numbers from 0 to 255.
 */
export async function readLabels(path: string, orientation?: Orientation): Promise<LabelImage> {
  const header = await readHeader(path, orientation);
  await checkSize(header);
  const data = allocated(Uint8Array, header);
  const counts = new Float64Array(256);
  await readVoxels(header, data, (values, tile, at) => {
    const { slope, inter } = header;
    if (values instanceof Uint8Array && slope === 1 && inter === 0) {
      for (const label of values) counts[label]++; // nearly every label file; nothing can be out of range
      (tile as Uint8Array).set(values, at);
      return;
    }
    for (let i = 0; i < values.length; i++) {
      const v = values[i] * slope + inter;
      const label = Math.round(v);
      // 1e-3: labels that went through a float32 scale factor are not exact.
      if (!(Math.abs(v - label) < 1e-3 && label >= 0 && label <= 255)) throw notALabel(header, v);
      counts[label]++;
      tile[at + i] = label;
    }
  });
  return { header, data, counts };
}

/** Memory for all voxels. */
function allocated<T>(type: new (length: number) => T, header: NiftiHeader): T {
  try {
    return new type(voxelCount(header));
  } catch (error) {
    throw new DataError(
      `${header.path}: there must be memory for ${voxelCount(header)} voxels, found too little; cut the volume or close other programs`,
      { cause: error },
    );
  }
}

function notALabel(header: NiftiHeader, value: number): DataError {
  return new DataError(
    `${header.path}: labels must be whole numbers from 0 to 255, found ${value}; is this an image instead of a segmentation?`,
  );
}

function voxelCount(header: NiftiHeader): number {
  return header.dims[0] * header.dims[1] * header.dims[2];
}

/**
 * The file's size, or the size that gzip recorded in its last four bytes, must be the one that the header implies.
 * Throws DataError naming the file.
 */
export async function checkSize(header: NiftiHeader): Promise<void> {
  const claimed = claimedBytes(header);
  if (!header.gzip) {
    if (header.fileBytes !== claimed) throw sizeError(header, header.fileBytes);
    return;
  }
  const recorded = await gzipLength(header.path, header.fileBytes);
  if (recorded === claimed && (claimed < BELIEVED.bytes || claimed < BELIEVED.ratio * header.fileBytes)) return;
  // Cut short, a wrong header, several gzip members in one file (only the last is recorded), 4 GiB or more (of which 32
  // bits are recorded), or next to nothing for what is claimed: counting tells, before memory is taken.
  await countBytes(header);
}

/** Unpacks the whole file, whose length must be the one that the header implies and whose gzip checksum must fit. Throws as checkSize. */
export async function countBytes(header: NiftiHeader): Promise<void> {
  let bytes = 0;
  await unpack(header, (chunk) => void (bytes += chunk.length));
  if (bytes !== claimedBytes(header)) throw sizeError(header, bytes);
}

function sizeError(header: NiftiHeader, bytes: number): DataError {
  return new DataError(
    `${header.path}: the header claims [${header.dims}] ${header.datatype} voxels (${claimedBytes(header)} bytes), ` +
      `found ${bytes} bytes; download or convert the file again`,
  );
}

async function gzipLength(path: string, fileBytes: number): Promise<number> {
  const file = await openFile(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, Math.max(0, fileBytes - 4));
    return buffer.readUInt32LE(0);
  } finally {
    await file.close();
  }
}

/** Feeds the uncompressed bytes of the file to `take`, one chunk at a time. */
async function unpack(header: NiftiHeader, take: (chunk: Buffer) => void): Promise<void> {
  let failure: unknown;
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        take(chunk);
        done();
      } catch (error) {
        failure = error;
        done(error as Error);
      }
    },
  });
  const source = createReadStream(header.path, { highWaterMark: CHUNK });
  try {
    if (header.gzip) await pipeline(source, createGunzip({ chunkSize: CHUNK }), sink);
    else await pipeline(source, sink);
  } catch (error) {
    if (failure !== undefined) throw failure;
    throw damaged(header, error as NodeJS.ErrnoException);
  }
}

function damaged(header: NiftiHeader, error: NodeJS.ErrnoException): DataError {
  const what = error.code === "Z_BUF_ERROR" ? "is cut short" : "is damaged";
  return new DataError(`${header.path}: the file ${what} (${error.message}); download it again`, { cause: error });
}

type Convert = (values: Numbers, tile: Int16Array | Uint8Array, at: number) => void;

/** Streams the voxels through `convert` into a tile of file planes, and full tiles into `axial`. */
async function readVoxels(header: NiftiHeader, axial: Int16Array | Uint8Array, convert: Convert): Promise<void> {
  const plane = header.dims[0] * header.dims[1];
  const total = voxelCount(header);
  const perTile = planesPerTile(header) * plane;
  const tile = axial instanceof Int16Array ? new Int16Array(perTile) : new Uint8Array(perTile);
  let inTile = 0;
  let done = 0; // voxels already in `axial`
  const flush = () => {
    tileToAxial(tile, axial, header, done / plane, inTile / plane);
    done += inTile;
    inTile = 0;
  };
  let skip = header.voxOffset;
  let extra = 0;
  const elements = elementReader(header.datatype, header.bytesPerVoxel, header.littleEndian, (values) => {
    let from = 0;
    while (from < values.length && done + inTile < total) {
      const count = Math.min(values.length - from, perTile - inTile, total - done - inTile);
      convert(values.subarray(from, from + count), tile, inTile);
      inTile += count;
      from += count;
      if (inTile === perTile || done + inTile === total) flush();
    }
    extra += values.length - from;
  });
  await unpack(header, (chunk) => {
    const start = Math.min(skip, chunk.length);
    skip -= start;
    elements(chunk.subarray(start));
  });
  if (done !== total || extra > 0)
    throw sizeError(header, header.voxOffset + (done + inTile + extra) * header.bytesPerVoxel);
}

type Numbers =
  Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** Turns bytes, cut anywhere, into arrays of whole elements in this machine's byte order. */
function elementReader(
  datatype: Datatype,
  size: number,
  littleEndian: boolean,
  take: (values: Numbers) => void,
): (bytes: Uint8Array) => void {
  const buffer = Buffer.from(new ArrayBuffer(CHUNK + 8));
  let held = 0;
  return (bytes) => {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, buffer.length - held);
      buffer.set(bytes.subarray(at, at + count), held);
      held += count;
      at += count;
      const whole = held - (held % size);
      if (whole === 0) continue;
      if (!littleEndian) swapBytes(buffer.subarray(0, whole), size);
      take(viewOf(datatype, buffer.buffer, whole / size));
      buffer.copyWithin(0, whole, held);
      held -= whole;
    }
  };
}

function swapBytes(bytes: Buffer, size: number): void {
  if (size === 2) bytes.swap16();
  if (size === 4) bytes.swap32();
  if (size === 8) bytes.swap64();
}

// Typed arrays have the machine's byte order; every platform Node and WebGPU run on is little-endian.
function viewOf(datatype: Datatype, buffer: ArrayBuffer, length: number): Numbers {
  switch (datatype) {
    case "uint8":
      return new Uint8Array(buffer, 0, length);
    case "int8":
      return new Int8Array(buffer, 0, length);
    case "int16":
      return new Int16Array(buffer, 0, length);
    case "uint16":
      return new Uint16Array(buffer, 0, length);
    case "int32":
      return new Int32Array(buffer, 0, length);
    case "uint32":
      return new Uint32Array(buffer, 0, length);
    case "float32":
      return new Float32Array(buffer, 0, length);
    case "float64":
      return new Float64Array(buffer, 0, length);
    case "int64":
      return Float64Array.from(new BigInt64Array(buffer, 0, length), Number);
    case "uint64":
      return Float64Array.from(new BigUint64Array(buffer, 0, length), Number);
  }
}
