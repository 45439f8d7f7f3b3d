// Reads NIfTI-1 files as a stream: bytes are unpacked and put in their place as they arrive (nifti_voxels.ts).
import { createReadStream } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { DataError } from "../errors.ts";
import type { Orientation } from "./geometry.ts";
import { HEADER_BYTES, isGzip, parseHeader, type FileStart, type NiftiHeader } from "./nifti_header.ts";
import { CHUNK, imageFrom, labelsFrom, type ImageVolume, type LabelImage, type NiftiSource } from "./nifti_voxels.ts";

export type { NiftiHeader } from "./nifti_header.ts";
export type { ImageVolume, LabelImage } from "./nifti_voxels.ts";
export { writeNifti } from "./nifti_write.ts";

/**
 * Reads a CT volume as axial slices. `orientation` overrides axes and flips. Returns [S, H, W] int16, S to inferior,
 * H to posterior, W to the patient's left. Throws DataError, naming the file, when it is damaged, cut short or does not
 * agree with its header; sizes are checked before memory is taken.
 */
export async function readImage(path: string, orientation?: Orientation): Promise<ImageVolume> {
  const header = await readHeader(path, orientation);
  return imageFrom(header, fileSource(header));
}

/**
 * Reads a label volume as axial slices, in the orientation of its image. Returns [S, H, W] uint8 and the count of each
 * label. Throws DataError as readImage, and for values that are not whole numbers from 0 to 255.
 */
export async function readLabels(path: string, orientation?: Orientation): Promise<LabelImage> {
  const header = await readHeader(path, orientation);
  return labelsFrom(header, fileSource(header));
}

/**
 * Reads the header of a NIfTI-1 file (`.nii` or `.nii.gz`, told apart by content) from its first bytes.
 * The matrix is the sform, else the qform, else the spacings alone. `orientation` overrides axes and flips: a label is
 * read with its image's. Throws DataError, naming the file, for anything that is not a readable 3-D volume, and for a
 * header that claims more voxels than the file can hold.
 */
export async function readHeader(path: string, orientation?: Orientation): Promise<NiftiHeader> {
  return parseHeader(path, await firstBytes(path), orientation);
}

async function firstBytes(path: string): Promise<FileStart> {
  const info = await stat(path).catch((error: unknown) => cannotOpen(path, error));
  if (!info.isFile()) throw new DataError(`${path}: must be a file, found a folder`);
  const file = await openFile(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(65536), 0, 65536, 0);
    const start = buffer.subarray(0, bytesRead);
    const gzip = isGzip(start);
    return { bytes: gzip ? await gunzipStart(path, start) : start, gzip, fileBytes: info.size };
  } finally {
    await file.close();
  }
}

function openFile(path: string): Promise<FileHandle> {
  return open(path).catch((error: unknown) => cannotOpen(path, error));
}

function cannotOpen(path: string, error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException;
  throw new DataError(`${path}: cannot be opened (${code ?? message}); check the path`, { cause: error });
}

/** The first bytes of a gzip file; the stream is expected to stop in the middle. */
function gunzipStart(path: string, start: Buffer): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const gunzip = createGunzip({ chunkSize: 4096 });
    const parts: Buffer[] = [];
    let length = 0;
    const finish = () => resolve(Buffer.concat(parts));
    gunzip.on("data", (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length < HEADER_BYTES) return;
      finish();
      gunzip.destroy();
    });
    gunzip.on("end", finish);
    gunzip.on("error", (error: NodeJS.ErrnoException) => {
      // Cut short on purpose here; a file that really is too short is reported by its length.
      if (error.code === "Z_BUF_ERROR") finish();
      else reject(new DataError(`${path}: the gzip data is damaged (${error.message}); download the file again`));
    });
    gunzip.end(start);
  });
}

/** The bytes of a file on the disk. */
function fileSource(header: NiftiHeader): NiftiSource {
  return { unpack: (take) => unpack(header, take), lastBytes: () => lastBytes(header) };
}

async function lastBytes({ path, fileBytes }: NiftiHeader): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    return (await file.read(Buffer.alloc(4), 0, 4, Math.max(0, fileBytes - 4))).buffer;
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
