// Names of files and folders that are being written, and the removal of those that killed processes left.

import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { hashString } from "../random.ts";

/** This machine and this process in the names of temporary files. */
const HERE = hashString(hostname()).toString(36);
const OWN = randomBytes(4).toString("hex");

/** A free name beside `path`, on the same file system, so that a rename is atomic. */
export function temporaryName(path: string): string {
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

/** True while a process of this machine has that number. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
