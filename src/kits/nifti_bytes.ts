// NIfTI-1 volumes out of bytes in memory, or a file that a page was given; and back. For browsers, and no less for Node.
import { DataError } from "../errors.ts";
import type { Geometry, Orientation } from "./geometry.ts";
import { niftiParts, type EncodeOptions } from "./nifti_encode.ts";
import { HEADER_BYTES, isGzip, parseHeader, type NiftiHeader } from "./nifti_header.ts";
import { CHUNK, imageFrom, labelsFrom, type ImageVolume, type LabelImage, type NiftiSource } from "./nifti_voxels.ts";

/** A whole `.nii` or `.nii.gz`, told apart by content: its bytes, or a Blob such as the File of an <input>. */
export type NiftiBytes = Uint8Array | Blob;

/** The CT volume in `bytes`, as readImage gives it. `name`: what errors call it. Throws as readImage. */
export async function parseImage(bytes: NiftiBytes, name: string, orientation?: Orientation): Promise<ImageVolume> {
  const blob = blobOf(bytes);
  const header = await headerOf(blob, name, orientation);
  return imageFrom(header, blobSource(blob, header));
}

/** The label volume in `bytes`, as readLabels gives it. `name`: what errors call it. Throws as readLabels. */
export async function parseLabels(bytes: NiftiBytes, name: string, orientation?: Orientation): Promise<LabelImage> {
  const blob = blobOf(bytes);
  const header = await headerOf(blob, name, orientation);
  return labelsFrom(header, blobSource(blob, header));
}

/** A `.nii.gz` of axial voxels [S, H, W], with the axis order and place of `geometry` (see niftiParts, which it throws as). */
export async function encodeNifti(
  data: Uint8Array | Int16Array,
  geometry: Geometry,
  options: EncodeOptions = {},
): Promise<Blob> {
  const parts = new Blob([...niftiParts(data, geometry, options)]);
  return new Response(parts.stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

function blobOf(bytes: NiftiBytes): Blob {
  return bytes instanceof Uint8Array ? new Blob([bytes as Uint8Array<ArrayBuffer>]) : bytes;
}

async function headerOf(blob: Blob, name: string, orientation?: Orientation): Promise<NiftiHeader> {
  const start = new Uint8Array(await blob.slice(0, CHUNK).arrayBuffer());
  const gzip = isGzip(start);
  const bytes = gzip ? await gunzipStart(blob, name) : start;
  return parseHeader(name, { bytes, gzip, fileBytes: blob.size }, orientation);
}

/** The first bytes of a gzip file. */
async function gunzipStart(blob: Blob, name: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  await eachChunk(blob, true, name, (chunk) => {
    parts.push(chunk);
    length += chunk.length;
    return length < HEADER_BYTES;
  });
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

function blobSource(blob: Blob, { gzip, path }: NiftiHeader): NiftiSource {
  return {
    unpack: (take) => eachChunk(blob, gzip, path, (chunk) => (take(chunk), true)),
    lastBytes: async () => new Uint8Array(await blob.slice(-4).arrayBuffer()),
  };
}

/** Shows the bytes, uncompressed, to `take` until it returns false. */
async function eachChunk(blob: Blob, gzip: boolean, name: string, take: (chunk: Uint8Array) => boolean): Promise<void> {
  const stream: ReadableStream<Uint8Array<ArrayBuffer>> = blob.stream();
  const reader = (gzip ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error: Error) => {
      throw new DataError(`${name}: the file is damaged or cut short (${error.message}); download it again`, {
        cause: error,
      });
    });
    if (done) return;
    if (!take(value)) return void reader.cancel().catch(() => undefined);
  }
}
