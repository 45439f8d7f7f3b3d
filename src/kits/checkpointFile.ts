// Files of weights and training states: safetensors, which any reader of that format opens, with a checksum of values and
// metadata among the metadata.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { DataError } from "../errors.ts";
import { decodeSafetensors, encodeSafetensors, type Checkpoint, type StateDict } from "../nn/index.ts";
import { writeFileAtomic } from "./atomic.ts";
import type { NetworkWeights } from "./trainedNetwork.ts";

/** Writes a file that appears whole or not at all. Throws DataError naming it and `what` it is where it cannot be written. */
export async function saveCheckpoint(
  path: string,
  tensors: StateDict,
  metadata: Readonly<Record<string, string>>,
  what = "the weights",
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(tensors, { ...metadata, crc32: checksum(tensors, metadata) }), what);
}

/**
 * Reads a file that saveCheckpoint wrote. Throws DataError naming it and the fault: unreadable, no safetensors, or a
 * checksum that is missing or does not fit.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new DataError(`${path}: cannot be read: ${error.message}`, { cause: error });
  });
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  const { crc32: expected, ...rest } = metadata;
  if (expected === undefined)
    throw new DataError(`${path}: it has no checksum; the file is damaged, or not a checkpoint of a run`);
  if (expected !== checksum(tensors, rest))
    throw new DataError(`${path}: the checksum does not fit; the file is damaged`);
  return { tensors, metadata: rest };
}

/** A stage's best weights in a run folder, with `judged` those of its discriminators too. Throws as loadCheckpoint. */
export async function loadWeights(folder: string, stage: string, judged: boolean): Promise<NetworkWeights> {
  const best = join(folder, "checkpoints", stage, "best");
  const { tensors: model } = await loadCheckpoint(`${best}.safetensors`);
  if (!judged) return { model };
  return { model, discriminators: (await loadCheckpoint(`${best}.discriminators.safetensors`)).tensors };
}

/** What a file's metadata say under `crc32`: over names, types, shapes, values as they are read, and the other metadata. */
export function checksum(tensors: StateDict, metadata: Readonly<Record<string, string>> = {}): string {
  const entries = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  let crc = crc32(JSON.stringify(entries));
  for (const [name, { shape, dtype, data }] of Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const stored = dtype === "f16" ? "f32" : dtype; // as files have it
    crc = crc32(JSON.stringify([name, stored, shape]), crc);
    // Without bytes zlib begins anew, and nothing before would count.
    if (data.length > 0) crc = crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), crc);
  }
  return crc.toString(16).padStart(8, "0");
}
