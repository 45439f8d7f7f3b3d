// Real label volumes are not part of the project (their licence does not allow it). Tests that want them look here.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Folder with the data that only some machines have. */
export const sharedFolder = process.env.WGRAD_SHARED ?? "../shared";

/** A path below it, and the reason to skip a test if it is not there. */
export function shared(...parts: string[]): { path: string; missing: string | undefined } {
  const path = join(sharedFolder, ...parts);
  return { path, missing: existsSync(path) ? undefined : `${path} is not on this machine (set WGRAD_SHARED)` };
}
