// Files that are either the old one or the new one, never half of each: a run may be killed at any moment.

import { mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataError } from "../errors.ts";

let serial = 0; // two writes of one process to the same path must not share a temporary file

/**
 * Writes `data` to `path` so that a reader, or a crash, sees the old file or the whole new one.
 * Makes the folder if needed; the temporary file lies beside the target (a rename cannot cross file systems) and is
 * removed on failure. Throws DataError naming the file if it cannot be written; the old file is then untouched.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${serial++}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(data);
      await file.sync(); // without it the rename can reach the disk before the bytes do
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw new DataError(
      `${path}: the file must be writable, found ${reason(error)}; check free space and permissions of ${folder}`,
      { cause: error },
    );
  }
  await syncFolder(folder);
}

/** Writes `value` as indented JSON with a final newline, atomically. NaN becomes null. Throws as writeFileAtomic. */
export async function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  const text = JSON.stringify(value, null, 2);
  if (text === undefined)
    throw new DataError(`${path}: the value must be JSON, found ${typeof value}; pass plain data`);
  await writeFileAtomic(path, text + "\n");
}

/**
 * Reads a JSON file. `fix` ends the message when it is missing or damaged: say which command makes the file.
 * Throws DataError naming the file. The content is not checked against T.
 */
export async function readJson<T = unknown>(path: string, fix = "make it again or check the path"): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new DataError(`${path}: the file must be readable, found ${reason(error)}; ${fix}`, { cause: error });
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, "")) as T; // some editors put a byte order mark in front
  } catch (error) {
    const found = text.trim() === "" ? "an empty file" : (error as Error).message;
    throw new DataError(`${path}: the file must hold valid JSON, found ${found}; ${fix}`, { cause: error });
  }
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

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const words: Record<string, string> = {
    ENOENT: "no such file or folder",
    EACCES: "no permission",
    EISDIR: "a folder",
    ENOTDIR: "a file where a folder belongs",
    EROFS: "a read-only file system",
    ENOSPC: "no space left on the disk",
  };
  return code && words[code] ? `${words[code]} (${code})` : message;
}
