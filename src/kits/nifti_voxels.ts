// NIfTI-1 voxels out of a stream of bytes: converted and put in their axial place as they arrive, so a volume exists
// once, in its final type. The largest KiTS case is 2.2 GB as stored (float64) and 0.56 GB here.
import { DataError } from "../errors.ts";
import { claimedBytes } from "./nifti_header.ts";
import type { Datatype, NiftiHeader } from "./nifti_header.ts";
import { planesPerTile, tileToAxial } from "./transpose.ts";

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

/** The bytes of a NIfTI file, wherever they lie. */
export interface NiftiSource {
  /** Feeds the uncompressed bytes to `take`, one chunk at a time. Throws DataError where gzip finds them damaged. */
  unpack(take: (chunk: Uint8Array) => void): Promise<void>;
  /** The last four bytes: how long gzip says that the data are. */
  lastBytes(): Promise<Uint8Array>;
}

const AIR = -1024;
/** Bytes that are taken at a time. */
export const CHUNK = 1 << 18;
/** What gzip says of its length is believed below this, and beyond it of data that shrank no more than so many times. */
const BELIEVED = { bytes: 2 ** 30, ratio: 100 };

/**
 * A CT volume as axial slices: [S, H, W] int16, S to inferior, H to posterior, W to the patient's left. Throws DataError,
 * naming the file, when it is damaged, cut short or does not agree with its header; sizes are checked before memory is
 * taken.
 */
export async function imageFrom(header: NiftiHeader, source: NiftiSource): Promise<ImageVolume> {
  await checkSize(header, source);
  const data = allocated(Int16Array, header);
  let nonFinite = 0;
  await readVoxels(header, source, data, (values, tile, at) => {
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
 * A label volume as axial slices: [S, H, W] uint8 and the count of each label. Throws DataError as imageFrom, and for
 * values that are not whole numbers from 0 to 255.
 */
export async function labelsFrom(header: NiftiHeader, source: NiftiSource): Promise<LabelImage> {
  await checkSize(header, source);
  const data = allocated(Uint8Array, header);
  const counts = new Float64Array(256);
  await readVoxels(header, source, data, (values, tile, at) => {
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

/** The file's size, or the size that gzip recorded in its last four bytes, must be the one that the header implies. */
async function checkSize(header: NiftiHeader, source: NiftiSource): Promise<void> {
  const claimed = claimedBytes(header);
  if (!header.gzip) {
    if (header.fileBytes !== claimed) throw sizeError(header, header.fileBytes);
    return;
  }
  const recorded = await gzipLength(source);
  if (recorded === claimed && (claimed < BELIEVED.bytes || claimed < BELIEVED.ratio * header.fileBytes)) return;
  // Cut short, a wrong header, several gzip members in one file (only the last is recorded), 4 GiB or more (of which 32
  // bits are recorded), or next to nothing for what is claimed: counting tells, before memory is taken.
  let bytes = 0;
  await source.unpack((chunk) => void (bytes += chunk.length));
  if (bytes !== claimed) throw sizeError(header, bytes);
}

function sizeError(header: NiftiHeader, bytes: number): DataError {
  return new DataError(
    `${header.path}: the header claims [${header.dims}] ${header.datatype} voxels (${claimedBytes(header)} bytes), ` +
      `found ${bytes} bytes; download or convert the file again`,
  );
}

async function gzipLength(source: NiftiSource): Promise<number> {
  const { buffer, byteOffset } = await source.lastBytes();
  return new DataView(buffer, byteOffset, 4).getUint32(0, true);
}

type Convert = (values: Numbers, tile: Int16Array | Uint8Array, at: number) => void;

/** Streams the voxels through `convert` into a tile of file planes, and full tiles into `axial`. */
async function readVoxels(
  header: NiftiHeader,
  source: NiftiSource,
  axial: Int16Array | Uint8Array,
  convert: Convert,
): Promise<void> {
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
  await source.unpack((chunk) => {
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
  const buffer = new Uint8Array(CHUNK + 8);
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

function swapBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; size > 1 && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
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
