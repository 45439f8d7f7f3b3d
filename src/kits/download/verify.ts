// Whether a file on the disk is whole: its checksum where one is known, and what the file says of itself.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { DataError } from "../../errors.ts";
import { plain } from "../../structure.ts";
import { readJson } from "../json.ts";
import { checkBytes, readHeader } from "../nifti.ts";

/**
 * Reads all of a file and returns its SHA-256: a volume's gzip checksum must fit and its size be the one its header
 * states; others must be JSON. Throws DataError naming the file, also where `expected` is another checksum.
 */
export async function verifyFile(path: string, expected?: string): Promise<string> {
  const sum = await sha256Of(path);
  if (expected !== undefined && sum !== expected)
    throw new DataError(`${path}: must have the checksum ${expected}, found ${sum}; download it again`);
  if (isVolume(path)) await checkBytes(await readHeader(path), true);
  else await readJson(path, plain(20), "download it again");
  return sum;
}

/** The same at a glance: that a volume is not cut short. Throws DataError naming the file. */
export async function glanceAt(path: string): Promise<void> {
  if (isVolume(path)) await checkBytes(await readHeader(path), false);
}

function isVolume(path: string): boolean {
  return /\.nii(\.gz)?(\.part)?$/.test(path);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}
