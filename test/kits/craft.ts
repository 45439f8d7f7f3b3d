// Hand-made NIfTI-1 files and cases on disk.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll } from "vitest";
import { kitsMatrix, niftiBytes, type Craft } from "./niftiBytes.ts";

export * from "./niftiBytes.ts";

/** A temporary folder that goes away with the test file. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-kits-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes bytes, gzipped when the name ends in .gz. */
export function putFile(path: string, bytes: Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, path.endsWith(".gz") ? gzipSync(bytes) : bytes);
  return path;
}

export const craftFile = (path: string, craft: Craft) => putFile(path, niftiBytes(craft));

/** A small case in KiTS layout: dims (s, h, w), image = file index, label from `labelOf`. */
export function craftCase(root: string, id: string, dims: number[], labelOf: (i: number) => number = () => 0): void {
  const count = dims[0] * dims[1] * dims[2];
  const sform = kitsMatrix(3, 1, 1);
  const pixdim = [3, 1, 1];
  const values = Array.from({ length: count }, (_, i) => (i % 540) - 130);
  craftFile(join(root, id, "imaging.nii.gz"), { dims, values, sform, pixdim });
  const labels = Array.from({ length: count }, (_, i) => labelOf(i));
  craftFile(join(root, id, "segmentation.nii.gz"), { dims, values: labels, type: "uint8", sform, pixdim });
}
