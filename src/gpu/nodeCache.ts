// Small files that Node keeps between runs, in the user's cache folder. Only loaded in Node.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** $XDG_CACHE_HOME/wgrad, by default ~/.cache/wgrad. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "wgrad");
}

/** The text of a file there, null if there is none. */
export function readCached(name: string): string | null {
  try {
    return readFileSync(join(cacheFolder(), name), "utf8");
  } catch {
    return null;
  }
}

/** Replaces a file there, whole or not at all. */
export function writeCached(name: string, text: string): void {
  mkdirSync(cacheFolder(), { recursive: true });
  const part = join(cacheFolder(), `${name}.part-${process.pid}`);
  writeFileSync(part, text);
  renameSync(part, join(cacheFolder(), name));
}
