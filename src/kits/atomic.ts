// Files and folders that are either the old one or the new one, never half of each: a run may be killed at any moment.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DataError, WgradError } from "../errors.ts";
import { hashString } from "../random.ts";
import { reason } from "./json.ts";
import { processExists } from "./lock.ts";

/** This machine and this process in the names of temporary files. */
const HERE = hashString(hostname()).toString(36);
const OWN = randomBytes(4).toString("hex");

/** A free name beside `path`, on the same file system, so that a rename is atomic. */
function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(
    dirname(whole),
    `.${basename(whole)}.${process.pid}-${HERE}-${OWN}-${randomBytes(4).toString("hex")}.tmp`,
  );
}

const TEMPORARY = /^\..+\.(\d+)-([0-9a-z]+)-([0-9a-f]{8})-[0-9a-f]{8}\.tmp$/;

/**
 * Removes what killed processes of this machine left half-written in a folder and below. What a living one, or another
 * machine, writes stays.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  const paths = await readdir(folder, { recursive: true }).catch(() => [] as string[]);
  for (const path of paths) {
    const [, pid, host, token] = TEMPORARY.exec(basename(path)) ?? [];
    if (host !== HERE || token === OWN) continue;
    if (Number(pid) === process.pid || !processExists(Number(pid)))
      // its number may have come round again
      await rm(join(folder, path), { recursive: true, force: true });
  }
}

/**
 * Calls `write` with a temporary file name, then renames that file to `path`, whose folder is made if needed. On failure
 * nothing is left behind and the old file is untouched. Throws DataError naming the file if it cannot be written.
 */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(temporary), { recursive: true });
    await write(temporary);
    const file = await open(temporary, "r+");
    await file.sync().finally(() => file.close()); // without it the rename can reach the disk before the bytes do
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    if (error instanceof WgradError) throw error;
    throw new DataError(
      `${path}: the file must be writable, found ${reason(error)}; check free space and permissions of ${dirname(path)}`,
      { cause: error },
    );
  }
  await syncFolder(dirname(path));
}

/** Calls `write` with a new empty folder, then puts it in the place of the folder `path`. A failure leaves `path` as it was. */
export async function replaceFolder(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await removeLeftovers(dirname(resolve(path)));
  const temporary = temporaryName(path);
  await mkdir(temporary, { recursive: true });
  try {
    await write(temporary);
    const old = temporaryName(path);
    const hadOld = await rename(path, old).then(() => true, ignoreMissing);
    await rename(temporary, path);
    if (hadOld) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code === "ENOENT") return false;
  throw error;
}

/** Writes `data` to `path` so that a reader, or a crash, sees the old file or the whole new one. Throws as replaceFile. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await replaceFile(path, (temporary) => writeFile(temporary, data, { flag: "wx" }));
}

/** Writes `value` as indented JSON with a final newline, atomically. NaN becomes null. Throws as writeFileAtomic. */
export async function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  const text = JSON.stringify(value, null, 2);
  if (text === undefined)
    throw new DataError(`${path}: the value must be JSON, found ${typeof value}; pass plain data`);
  await writeFileAtomic(path, text + "\n");
}

/** Makes the rename itself durable. Windows cannot open folders; there the file system's journal has to do. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // The data is safe already; a file system that refuses folder syncs is no reason to stop a run.
  }
}
