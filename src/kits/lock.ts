// One run per folder: a lock names the process that writes there; what a killed process left does not count.

import { randomUUID } from "node:crypto";
import { rmSync, rmdirSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { object, shorten, text as anyText, whole } from "../structure.ts";
import { writeError } from "./atomic.ts";
import { readJson, reason } from "./json.ts";
import { processExists, temporaryName } from "./temporary.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

/**
 * A folder with one file, which says who holds it and is named as no other ever was. A rename puts both in place, only
 * where nothing or an empty folder is: of many processes one wins. What dead processes left is removed by its name, so
 * that what a living one has put there meanwhile stays.
 */
const NAME = "run.lock";

/**
 * Takes the lock of a run folder, which is made if needed; the function returned gives it back. Throws DataError where it
 * cannot be made, and while another process holds it.
 */
export async function lockRun(folder: string): Promise<() => void> {
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw new DataError(
      `${folder}: must be a folder that can be written, found ${reason(error)}; choose another folder`,
      { cause: error },
    );
  });
  const path = join(folder, NAME);
  const draft = temporaryName(path);
  const name = randomUUID();
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  try {
    await mkdir(draft);
    await writeFile(join(draft, name), JSON.stringify(holder));
    while (!(await put(draft, path))) await removeDead(folder, path);
  } catch (error) {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    throw await writeError(path, "the lock", error);
  }
  return () => {
    rmSync(join(path, name), { force: true });
    try {
      rmdirSync(path);
    } catch {
      // another process has it already
    }
  };
}

/** False if a lock is there. */
async function put(draft: string, path: string): Promise<boolean> {
  await rmdir(path).catch(() => undefined); // Windows renames over nothing, not even over an empty folder
  try {
    await rename(draft, path);
    return true;
  } catch (error) {
    const taken = ["ENOTEMPTY", "EEXIST", ...(process.platform === "win32" ? ["EPERM", "EACCES"] : [])];
    if (taken.includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** Removes what dead processes hold. Throws DataError if one lives. */
async function removeDead(folder: string, path: string): Promise<void> {
  for (const name of await readdir(path).catch(() => [])) {
    const file = join(path, name);
    const holder = await holderOf(file);
    if (holder && isAlive(holder))
      throw new DataError(
        `${folder} is in use by process ${holder.pid} on ${shorten(holder.host)} since ${shorten(holder.since)}; ` +
          `wait for it or choose another --out; if it is gone, delete ${path}`,
      );
    await rm(file, { force: true });
  }
}

/** Null for a file that went away or that the power failed before. */
async function holderOf(file: string): Promise<Holder | null> {
  try {
    return await readJson<Holder>(file, lockFile);
  } catch {
    return null;
  }
}

const lockFile = object<Holder>({ pid: whole(1, 2 ** 31 - 1), host: anyText, since: anyText });

/** A process of another machine cannot be asked, so it counts as alive. */
function isAlive({ pid, host }: Holder): boolean {
  if (host !== hostname()) return true;
  return pid !== process.pid && processExists(pid); // its number may have come round again
}
