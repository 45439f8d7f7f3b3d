// The scans that predict:kits is given: one file, a folder of files, or a KiTS tree.

import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DataError, OptionError } from "../errors.ts";
import { listCases } from "./datasets/open.ts";

/** One scan. Files made of it begin with `name`. */
export interface ScanFile {
  readonly name: string;
  readonly path: string;
}

const NIFTI = /\.nii(\.gz)?$/i;
/** Names of the image in a case folder of KiTS. */
const IMAGES = ["imaging.nii.gz", "imaging.nii"];

/**
 * The scans of a file or folder, by name. A KiTS tree gives its cases' images, whether they have labels or not; another
 * folder each NIfTI in it. nnU-Net's channel number (`_0000`) is no part of the name. Throws OptionError where
 * there is none, or two have one name.
 */
export async function findScans(input: string): Promise<ScanFile[]> {
  const path = resolve(input);
  const info = await stat(path).catch(() => null);
  if (!info) throw new OptionError(`--input ${input}: must be a NIfTI file or a folder of them, found nothing there`);
  const scans = info.isFile() ? [scanOf(path)] : await scansIn(path, input);
  const twice = scans.find(({ name }, i) => scans.findIndex((other) => other.name === name) < i);
  if (twice)
    throw new OptionError(`--input ${input}: every scan must have a name of its own, found two named ${twice.name}`);
  return scans;
}

function scanOf(path: string): ScanFile {
  const file = basename(path);
  if (IMAGES.includes(file)) return { name: basename(dirname(path)), path };
  return { name: file.replace(NIFTI, "").replace(/_0000$/, ""), path };
}

async function scansIn(folder: string, input: string): Promise<ScanFile[]> {
  const image = IMAGES.find((name) => existsSync(join(folder, name)));
  if (image) return [scanOf(join(folder, image))]; // one case, its labels beside it
  const files = (await readdir(folder)).filter((name) => NIFTI.test(name) && !name.startsWith("."));
  if (files.length > 0) return files.sort().map((name) => scanOf(join(folder, name)));
  const tree = await listCases(folder, { labels: "optional" }).catch((error: unknown) => {
    if (error instanceof DataError) return null;
    throw error;
  });
  if (!tree)
    throw new OptionError(
      `--input ${input}: must hold NIfTI files (*.nii.gz) or KiTS cases (case_00000/imaging.nii.gz), found neither`,
    );
  const there = tree.cases.map(({ id, image: path }) => ({ name: id, path }));
  // Those without an image are given too: it will be said of each that its file is not there.
  const missing = tree.missing.map(({ id, file }) => ({ name: id, path: join(tree.folder, id, file) }));
  return [...there, ...missing].sort((a, b) => (a.name < b.name ? -1 : 1));
}
