import { mkdtemp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DataError } from "../../src/errors.ts";
import { replaceFolder, writeFileAtomic, writeJsonAtomic } from "../../src/kits/atomic.ts";
import { readJson } from "../../src/kits/json.ts";
import { logLine } from "../../src/kits/run.ts";
import { plain } from "../../src/structure.ts";

const anything = plain(9);

/** What reaches the disk and which names change, in order. */
const events: string[] = [];
/** Names that the disk refuses once. */
const refused = new Set<string>();
vi.mock("node:fs/promises", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs/promises")>();
  return {
    ...fs,
    open: async (path: string, flags: string) => {
      const file = await fs.open(path, flags);
      const sync = file.sync.bind(file);
      return Object.assign(file, { sync: () => (events.push(`sync ${basename(path)}`), sync()) });
    },
    rename: async (from: string, to: string) => {
      events.push(`rename to ${basename(to)}`);
      if (refused.delete(to)) throw Object.assign(new Error("refused"), { code: "ENOSPC" });
      await fs.rename(from, to);
    },
  };
});

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wgrad-atomic-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("writeFileAtomic", () => {
  it("writes text and bytes, makes folders, replaces, and leaves nothing else behind", async () => {
    const path = join(folder, "a", "b", "state.bin");
    await writeFileAtomic(path, "old");
    await writeFileAtomic(path, Uint8Array.of(1, 2, 255));
    expect([...(await readFile(path))]).toEqual([1, 2, 255]);
    expect(await readdir(join(folder, "a", "b"))).toEqual(["state.bin"]);
  });

  it("survives many writers of one file: it is always one of them, whole", async () => {
    const path = join(folder, "many.txt");
    const texts = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(50_000));
    await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
    expect(texts).toContain(await readFile(path, "utf8"));
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("names the file when it cannot be written, and removes its temporary file", async () => {
    const taken = join(folder, "taken");
    await mkdir(join(taken, "inside"), { recursive: true });
    const failed = await writeFileAtomic(taken, "x").catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(DataError);
    expect((failed as Error).message).toContain(`${taken}: the file must be writable, found a folder (EISDIR)`);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("before a name appears, what it names is on the disk", () => {
  it("every file of a folder", async () => {
    const path = join(folder, "cache");
    events.length = 0;
    await replaceFolder(path, "the slices", async (temporary) => {
      await mkdir(join(temporary, "png"));
      for (const name of ["images.u8", "index.json", "png/1.png"]) await writeFile(join(temporary, name), name);
    });
    const [last, ...before] = events.slice(0, events.indexOf("rename to cache") + 1).toReversed();
    expect(last).toBe("rename to cache");
    for (const name of ["images.u8", "index.json", "1.png", "png"]) expect(before).toContain(`sync ${name}`);
    expect(events.at(-1)).toBe(`sync ${basename(folder)}`); // the rename itself
  });

  it("a file, and a line of the log", async () => {
    events.length = 0;
    await writeFileAtomic(join(folder, "state"), "x");
    await logLine(folder, { epoch: 1 });
    expect(events.map((event) => event.replace(/\.state\..*tmp/, "temporary"))).toEqual([
      "sync temporary",
      "rename to state",
      `sync ${basename(folder)}`,
      "sync log.jsonl",
    ]);
  });

  it("a folder that cannot take its place leaves the old one there", async () => {
    const path = join(folder, "old");
    await mkdir(path);
    await writeFile(join(path, "kept"), "");
    refused.add(path);
    const failed = replaceFolder(path, "the slices", (temporary) => writeFile(join(temporary, "new"), ""));
    await expect(failed).rejects.toThrow(
      /old: the slices must be writable, found no space left .*\d MiB free; make room/,
    );
    expect(await readdir(path)).toEqual(["kept"]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});

describe("JSON", () => {
  it("goes and comes back; NaN becomes null", async () => {
    const path = join(folder, "value.json");
    await writeJsonAtomic(path, { dice: NaN, id: "case_00000", list: [1, 2] });
    expect(await readJson(path, anything)).toEqual({ dice: null, id: "case_00000", list: [1, 2] });
    expect((await readFile(path, "utf8")).endsWith("}\n")).toBe(true);
  });

  it("reads files that an editor began with a byte order mark", async () => {
    const path = join(folder, "bom.json");
    await writeFile(path, '\uFEFF{"a":1}');
    expect(await readJson(path, anything)).toEqual({ a: 1 });
  });

  it("says which file is missing, and the fix", async () => {
    const path = join(folder, "none.json");
    const failed = readJson(path, anything, "run npm run train:kits first");
    await expect(failed).rejects.toThrow(DataError);
    await expect(failed).rejects.toThrow(
      `${path}: the file must be readable, found no such file or folder (ENOENT); run npm run train:kits first`,
    );
  });

  it("says which file is damaged or empty", async () => {
    const path = join(folder, "half.json");
    await writeFile(path, '{"step": 12, "lo');
    await expect(readJson(path, anything)).rejects.toThrow(`${path}: the file must hold valid JSON, found`);
    await writeFile(path, "");
    await expect(readJson(path, anything)).rejects.toThrow(
      `${path}: the file must hold valid JSON, found an empty file; make it again`,
    );
  });

  it("refuses values that are not JSON", async () => {
    await expect(writeJsonAtomic(join(folder, "u.json"), undefined)).rejects.toThrow(
      "the value must be JSON, found undefined",
    );
  });
});
