// Files and folders that are either the old one or the new one, never half of each: a run may be killed at any moment.

import { mkdir, open, readdir, rename, rm, statfs, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DataError, WgradError } from "../errors.ts";
import { reason } from "./json.ts";
import { temporaryName } from "./temporary.ts";

/**
 * Calls `write` with a temporary file name, then renames that file to `path`, whose folder is made if needed. On failure
 * nothing is left behind and the old file is untouched. Throws DataError naming the file and `what` it is if it cannot
 * be written.
 */
export async function replaceFile(
  path: string,
  what: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(temporary), { recursive: true });
    await write(temporary);
    await putInPlace(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw await writeError(path, what, error);
  }
}

/** Gives a file that is complete its name, on the same file system, in the place of what had that name. */
export async function putInPlace(complete: string, path: string): Promise<void> {
  await syncFile(complete); // without it the rename can reach the disk before the bytes do
  await rename(complete, path);
  await syncFolder(dirname(path));
}

/**
 * Calls `write` with a new empty folder, then puts it in the place of the folder `path`. A failure leaves `path` as it
 * was and nothing else behind. Throws DataError naming the folder and `what` it holds if that cannot be written.
 */
export async function replaceFolder(
  path: string,
  what: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const [temporary, old] = [temporaryName(path), temporaryName(path)];
  try {
    await mkdir(temporary, { recursive: true });
    await write(temporary);
    await syncTree(temporary);
    const hadOld = await rename(path, old).then(() => true, ignoreMissing);
    await rename(temporary, path).catch(async (error) => {
      if (hadOld) await rename(old, path);
      throw error;
    });
    if (hadOld) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw await writeError(path, what, error);
  }
  await syncFolder(dirname(resolve(path)));
}

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code === "ENOENT") return false;
  throw error;
}

/** Writes `data` to `path` so that a reader, or a crash, sees the old file or the whole new one. Throws as replaceFile. */
export async function writeFileAtomic(path: string, data: string | Uint8Array, what = "the file"): Promise<void> {
  await replaceFile(path, what, (temporary) => writeFile(temporary, data, { flag: "wx" }));
}

/** Writes `value` as indented JSON with a final newline, atomically. NaN becomes null. Throws as writeFileAtomic. */
export async function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  const text = JSON.stringify(value, null, 2);
  if (text === undefined)
    throw new DataError(`${path}: the value must be JSON, found ${typeof value}; pass plain data`);
  await writeFileAtomic(path, text + "\n");
}

/** Brings a file's bytes to the disk. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  await file.sync().finally(() => file.close());
}

/** Brings all files of a folder, and of those in it, to the disk. */
async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    await (entry.isDirectory() ? syncTree(path) : syncFile(path));
  }
  await syncFolder(folder);
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

/** What running out of room is called: the disk, a user's share of it, the size of one file. */
const FULL = ["ENOSPC", "EDQUOT", "EFBIG"];

/**
 * The error for a write that the system refused: what was written where, why, and the fix, which ends in `again`. Others
 * stay as they are.
 */
export async function writeError(
  path: string,
  what: string,
  error: unknown,
  again = "run again, a run that has begun with --resume",
): Promise<unknown> {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof WgradError || code === undefined) return error;
  const folder = dirname(resolve(path));
  const full = FULL.includes(code);
  const free = full ? await freeBytes(folder) : null;
  const found = `${reason(error)}${free === null ? "" : `, ${(free / 2 ** 20).toFixed(2)} MiB free`}`;
  const fix = full ? `make room in ${folder} and ${again}` : `check free space and permissions of ${folder}`;
  return new DataError(`${path}: ${what} must be writable, found ${found}; ${fix}`, { cause: error });
}

/** Null where it cannot be told. */
async function freeBytes(folder: string): Promise<number | null> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => null,
  );
}
