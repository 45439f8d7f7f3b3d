// A browser has no files.

import { DataError } from "./errors.ts";

/** Throws DataError. */
export async function files(): Promise<never> {
  throw new DataError("a browser cannot open files by path: decode or encode their bytes instead");
}
