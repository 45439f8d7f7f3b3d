// SHA-256 checksums of files in the form of `sha256sum`: those that a user gives, and those recorded beside a download.

import { appendFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { shorten } from "../../structure.ts";
import { writeError, writeFileAtomic } from "../atomic.ts";
import { readText } from "../json.ts";

/** Checksums in hexadecimal by the file's name below the case folders: case_00000/imaging.nii.gz. */
export type Checksums = ReadonlyMap<string, string>;

/** Reads a file of lines "checksum  path"; of a path the case folder and the file count. Throws DataError naming the line. */
export async function readChecksums(path: string): Promise<Checksums> {
  const text = await readText(path, "check --checksums; sha256sum writes such files");
  const found = new Map<string, string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const entry = parseLine(line);
    if (!entry)
      throw new DataError(
        `${path}, line ${i + 1}: must be 64 hexadecimal digits, two blanks and a path, as sha256sum writes it, found ${shorten(line)}`,
      );
    found.set(shortName(entry.path), entry.sum);
  }
  return found;
}

/** What was recorded of the files in a folder. */
export interface ChecksumRecord {
  readonly sums: Checksums;
  /** Notes a file that is whole. */
  add(name: string, sum: string): Promise<void>;
  /** Puts the record in order: each file once, sorted. */
  close(): Promise<void>;
}

const NAME = "SHA256SUMS";

/** Opens the record of a folder, `sha256sum -c` reads it too. A line that a killed process left torn does not count. */
export async function openRecord(folder: string): Promise<ChecksumRecord> {
  const path = join(folder, NAME);
  const text = existsSync(path) ? await readText(path, "delete it", false) : "";
  const sums = new Map<string, string>();
  for (const line of text.split("\n")) {
    const entry = parseLine(line);
    if (entry) sums.set(entry.path, entry.sum);
  }
  const lines = () => [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, sum]) => `${sum}  ${name}\n`);
  let torn = text !== "" && !text.endsWith("\n");
  return {
    sums,
    add: async (name, sum) => {
      if (sums.get(name) === sum) return;
      sums.set(name, sum);
      const line = `${torn ? "\n" : ""}${sum}  ${name}\n`;
      torn = false;
      await appendFile(path, line).catch(async (error) => {
        throw await writeError(path, "the record of checksums", error, "run again");
      });
    },
    close: async () => {
      const ordered = lines().join("");
      if (ordered !== text) await writeFileAtomic(path, ordered, "the record of checksums");
    },
  };
}

function parseLine(line: string): { sum: string; path: string } | null {
  const [, sum, path] = /^([0-9a-fA-F]{64}) [ *](.+?)\r?$/.exec(line) ?? [];
  return sum === undefined ? null : { sum: sum.toLowerCase(), path };
}

function shortName(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.slice(/^case_/.test(parts.at(-2) ?? "") ? -2 : -1).join("/");
}
