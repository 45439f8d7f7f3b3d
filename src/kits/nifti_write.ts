// Writes NIfTI-1 files in the axis order and with the matrices of a source volume.
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { OptionError } from "../errors.ts";
import { replaceFile } from "./atomic.ts";
import type { Geometry } from "./geometry.ts";
import { niftiParts, type EncodeOptions } from "./nifti_encode.ts";

/**
 * Writes axial voxels as `.nii.gz` (or `.nii`), whole or not at all. `data`: [S, H, W], uint8 for labels or int16 for
 * images, as readImage and readLabels give it; `geometry`: the source volume's. The file has the source's axis order,
 * dims and matrix; both sform and qform are written. Throws ShapeError when sizes differ, OptionError on other endings.
 */
export async function writeNifti(
  path: string,
  data: Uint8Array | Int16Array,
  geometry: Geometry,
  { level = 6, ...options }: EncodeOptions & { level?: number } = {},
): Promise<void> {
  const parts = niftiParts(data, geometry, options);
  if (!/\.nii(\.gz)?$/.test(path)) {
    throw new OptionError(`writeNifti: the name must end in .nii or .nii.gz, found ${path}`);
  }
  await replaceFile(path, "the volume", async (temporary) => {
    const source = Readable.from(parts, { objectMode: false });
    const sink = createWriteStream(temporary);
    if (path.endsWith(".gz")) await pipeline(source, createGzip({ level }), sink);
    else await pipeline(source, sink);
  });
}
