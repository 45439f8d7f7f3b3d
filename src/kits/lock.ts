// One run per folder: a file names the process that writes there; what a killed process left does not count.

import { readFileSync, rmSync } from "node:fs";
import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { object, shorten, text as anyText, whole } from "../structure.ts";
import { readJson } from "./json.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

const NAME = "run.lock";

/**
 * Takes the lock of a run folder, which is made if needed; the function returned gives it back. Throws DataError while
 * another process holds it.
 */
export async function lockRun(folder: string): Promise<() => void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, NAME);
  const mine: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  const text = JSON.stringify(mine);
  while (!(await create(path, text))) {
    const holder = await holderOf(path);
    if (holder && isAlive(holder))
      throw new DataError(
        `${folder} is in use by process ${holder.pid} on ${shorten(holder.host)} since ${shorten(holder.since)}; ` +
          `wait for it or choose another --out; if it is gone, delete ${path}`,
      );
    await rm(path, { force: true });
  }
  return () => {
    if (readText(path) === text) rmSync(path, { force: true });
  };
}

/** False if the file is there already. It appears with its text in it. */
async function create(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${process.pid}`;
  try {
    await writeFile(draft, text);
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new DataError(`${path}: cannot be written: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(draft, { force: true });
  }
}

/** Null for a file that went away or that a process was killed while writing. */
async function holderOf(path: string): Promise<Holder | null> {
  try {
    return await readJson<Holder>(path, lockFile);
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

/** True while a process of this machine has that number. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
