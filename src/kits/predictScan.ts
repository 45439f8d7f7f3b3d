// What predict:kits leaves of one scan: labels, probabilities, confidence, a preview; and its line in volumes.json.

import { join } from "node:path";
import { writeFileAtomic } from "./atomic.ts";
import type { ScanFile } from "./predictInputs.ts";
import { writeNifti, type ImageVolume } from "./nifti.ts";
import { encodePng } from "./picture.ts";
import { preview, type PreviewCase } from "./preview.ts";
import type { Bytes } from "./predict.ts";
import type { Segmentation } from "./segment.ts";
import { volumesMl } from "./volumes.ts";

/** What was found in a scan, as volumes.json has it. */
export interface ScanResult {
  readonly name: string;
  readonly input: string;
  /** Voxels, and mm of a voxel, along the axes of the file. */
  readonly dims: readonly number[];
  readonly spacing: readonly number[];
  /** Millilitres by class, without the background. */
  readonly ml: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** Path of a scan's labels. */
export function labelPath(folder: string, { name }: ScanFile): string {
  return join(folder, `${name}.nii.gz`);
}

/**
 * Writes NAME.nii.gz last, so that where it is, all is: NAME_<region>_probability.nii.gz and
 * NAME_<stage>_confidence.nii.gz, bytes that scl_slope makes 0 to 1, and NAME.png where the HU that it shows are given.
 * Throws DataError where one cannot be written.
 */
export async function writeScan(
  folder: string,
  file: ScanFile,
  scan: ImageVolume,
  found: Segmentation,
  { ml }: ScanResult,
  pictured: PreviewCase["window"] | null,
): Promise<void> {
  const { header } = scan;
  const like = header.raw;
  const maps = [...named(found.probabilities, "probability"), ...named(found.confidence, "confidence")];
  for (const [name, bytes] of maps)
    await writeNifti(join(folder, `${file.name}_${name}.nii.gz`), bytes, header, { like, slope: 1 / 255 });
  if (pictured) {
    const { shape, spacing, affineSource } = header;
    const shown = { name: file.name, image: scan.data, labels: found.labels, shape, spacing, ml, window: pictured };
    const drawn = preview({ ...shown, classes: found.classes, oriented: affineSource !== "pixdim" });
    await writeFileAtomic(join(folder, `${file.name}.png`), encodePng(drawn), "the preview");
  }
  await writeNifti(labelPath(folder, file), found.labels, header, { like });
}

function named(volumes: Readonly<Partial<Record<string, Bytes>>>, what: string): [string, Bytes][] {
  return Object.entries(volumes).flatMap(([name, bytes]) => (bytes ? [[`${name}_${what}`, bytes]] : []));
}

/** The line of a scan in volumes.json; `ml` of every class, background first. */
export function resultOf(
  { name, path }: ScanFile,
  { header }: ImageVolume,
  { labels, classes }: Segmentation,
  seconds: number,
): ScanResult {
  const ml = volumesMl(labels, header.spacing, classes.length);
  const spacing = header.axes.map((_, axis) => header.spacing[header.axes.indexOf(axis as 0 | 1 | 2)]);
  const byClass = classes.slice(1).map((label, k) => [label, Number(ml[k + 1].toFixed(3))] as const);
  return { name, input: path, dims: header.dims, spacing, ml: Object.fromEntries(byClass), seconds };
}
