// A volume under another name: linked where its bytes stay as they are, copied where they may not be shared.

import { createReadStream, createWriteStream } from "node:fs";
import { link, mkdir, realpath, rename, rm, symlink } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { replaceFile, writeError } from "../atomic.ts";
import { temporaryName } from "../temporary.ts";

/** "hard": the same file under two names, copied where that cannot be; "symbolic": a link; "copy": bytes of its own. */
export type Placing = "hard" | "symbolic" | "copy";

/** What a file system says of hard links that it cannot make: across systems, too many, none at all, not of others' files. */
const NO_HARD_LINK = ["EXDEV", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "EPERM"];

/**
 * Gives `source` the name `target`, whose folder is made if needed. Between .nii and .nii.gz it is packed or unpacked, and
 * so copied. Returns what was done. Throws DataError naming `target` where it cannot be written.
 */
export async function place(source: string, target: string, how: Placing): Promise<Placing> {
  const repack = source.endsWith(".gz") !== target.endsWith(".gz");
  if (how === "copy" || repack) {
    await copy(source, target, repack);
    return "copy";
  }
  const temporary = temporaryName(target);
  try {
    await mkdir(dirname(target), { recursive: true });
    const real = await realpath(source);
    await (how === "hard" ? link(real, temporary) : symlink(real, temporary));
    await rename(temporary, target);
    await rm(temporary, { force: true }); // rename leaves it where both names were one file already
    return how;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    if (how !== "hard" || !NO_HARD_LINK.includes((error as NodeJS.ErrnoException).code ?? ""))
      throw await writeError(target, "the link", error, "run again");
    await copy(source, target, false);
    return "copy";
  }
}

async function copy(source: string, target: string, repack: boolean): Promise<void> {
  await replaceFile(target, "the copy", async (temporary) => {
    const steps = repack ? [target.endsWith(".gz") ? createGzip() : createGunzip()] : [];
    await pipeline([createReadStream(source), ...steps, createWriteStream(temporary)]);
  });
}
