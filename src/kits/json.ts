// Reads JSON files: whole, in UTF-8, and made as they must be, or one error that names the file, the place and the fix.

import { readFile } from "node:fs/promises";
import { DataError } from "../errors.ts";
import { must, shorten, type Check } from "../structure.ts";

/**
 * Reads a JSON file that must be as `check` says. `fix` ends the message when it is missing or damaged: say which command
 * makes the file. Throws DataError naming the file, the field and what belongs there.
 */
export async function readJson<T>(path: string, check: Check, fix = "make it again or check the path"): Promise<T> {
  return parseJson<T>(await readText(path, fix), check, path, fix);
}

/** Reads a text file; with `fatal` only whole UTF-8. Throws as readJson. */
export async function readText(path: string, fix: string, fatal = true): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new DataError(`${path}: the file must be readable, found ${reason(error)}; ${fix}`, { cause: error });
  });
  try {
    return new TextDecoder("utf-8", { fatal }).decode(bytes); // without the byte order mark that some editors write
  } catch (error) {
    throw new DataError(`${path}: the file must be text in UTF-8, found other bytes; ${fix}`, { cause: error });
  }
}

/** The value of a JSON text that must be as `check` says. Throws as readJson, naming `where`. */
export function parseJson<T>(text: string, check: Check, where: string, fix: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const found = text.trim() === "" ? "an empty file" : shorten((error as Error).message, 200);
    throw new DataError(`${where}: the file must hold valid JSON, found ${found}; ${fix}`, { cause: error });
  }
  must(value, check, where, fix);
  return value as T;
}

/** Why a file could not be read or written, in words. */
export function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const words: Record<string, string> = {
    ENOENT: "no such file or folder",
    EACCES: "no permission",
    EEXIST: "a file of that name",
    EISDIR: "a folder",
    ENOTDIR: "a file where a folder belongs",
    EROFS: "a read-only file system",
    ENOSPC: "no space left on the disk",
    EDQUOT: "the disk quota used up",
    EFBIG: "more than the largest size of a file here",
  };
  return code && words[code] ? `${words[code]} (${code})` : message;
}
