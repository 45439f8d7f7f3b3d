// One file of a dataset: asked for until it is here and whole, then given its name.

import { setTimeout as pause } from "node:timers/promises";
import { stat } from "node:fs/promises";
import { DataError } from "../../errors.ts";
import { putInPlace, writeError } from "../atomic.ts";
import { told } from "../doctor.ts";
import { attempt, AttemptError, removePart, type AttemptOptions } from "./attempt.ts";
import { verifyFile } from "./verify.ts";

/** One file: where it is published, where it goes. */
export interface WantedFile {
  /** Below the case folders: case_00000/imaging.nii.gz. */
  readonly name: string;
  readonly path: string;
  readonly url: string;
}

/** A file that could not be had; others may. */
export class FileError extends DataError {}

export interface FetchOptions extends AttemptOptions {
  /** Requests in a row that bring nothing new before a file is given up. */
  readonly tries: number;
  /** Seconds before the second of them; each later one waits twice as long, at most 60 s. */
  readonly waitSeconds: number;
}

const LONGEST_WAIT = 60;
/** Damaged downloads of a file after which it is given up: the server's own copy must be damaged. */
const DAMAGED = 2;

/**
 * Fetches a file and returns its SHA-256. `expected`: the one it must have; otherwise that which the server publishes, if
 * any. Throws FileError with the file, its address, what is wrong and the fix; DataError where it cannot be written.
 */
export async function fetchFile(
  { path, url }: WantedFile,
  expected: string | undefined,
  options: FetchOptions,
): Promise<string> {
  const part = `${path}.part`;
  let [furthest, failed, damaged] = [0, 0, 0];
  for (;;) {
    try {
      const { sha256 } = await attempt(url, part, options);
      const sum = await verified(part, expected ?? sha256 ?? undefined);
      await putInPlace(part, path).catch(async (error) => {
        throw await writeError(path, "the download", error, "run again");
      });
      await removePart(part);
      return sum;
    } catch (error) {
      if (!(error instanceof AttemptError)) throw error;
      const held = await stat(part).then(
        ({ size }) => size,
        () => 0,
      );
      if (error instanceof DamagedError) damaged++;
      failed = held > furthest ? 1 : failed + 1;
      furthest = Math.max(furthest, held);
      if (!error.again || failed >= options.tries || damaged >= DAMAGED) throw fileError(path, url, error);
      const wait = Math.min(LONGEST_WAIT, options.waitSeconds * 2 ** (failed - 1));
      await pause(1000 * Math.max(wait, error.after), undefined, { signal: options.signal });
    }
  }
}

class DamagedError extends AttemptError {}

/** The part's checksum. A part that is not whole is removed: nothing of it can be trusted. */
async function verified(part: string, expected: string | undefined): Promise<string> {
  try {
    return await verifyFile(part, expected);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    await removePart(part);
    const { problem } = told(error.message, part);
    throw new DamagedError(`arrived damaged: ${problem}`, "the server's copy may be damaged: try --base-url or later", {
      again: true,
    });
  }
}

function fileError(path: string, url: string, { message, fix }: AttemptError): FileError {
  return new FileError(`${path}: ${url} ${message}; ${fix}`);
}
