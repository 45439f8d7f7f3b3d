// Streams and whole folders that are complete or absent: written beside their place, renamed at the end.
// Small files go through atomic.ts.
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

/** A free name beside `path`, on the same file system, so that a rename is atomic. */
function temporaryName(path: string): string {
  const whole = resolve(path);
  return join(dirname(whole), `.${basename(whole)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`);
}

/** Calls `write` with a temporary file name, then renames it to `path`. A failure leaves no file behind. */
export async function replaceFile(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  await mkdir(dirname(temporary), { recursive: true });
  try {
    await write(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Calls `write` with a new empty folder, then puts it in the place of the folder `path`. A failure leaves `path` as it
 * was.
 */
export async function replaceFolder(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
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
