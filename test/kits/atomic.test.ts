import { mkdtemp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { writeFileAtomic, writeJsonAtomic } from "../../src/kits/atomic.ts";
import { readJson } from "../../src/kits/json.ts";
import { plain } from "../../src/structure.ts";

const anything = plain(9);

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
