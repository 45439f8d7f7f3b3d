// What files of tests that train have in common: the GPU, a small phantom, and a folder for each test.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { close, init } from "../../src/index.ts";
import type { SliceCache } from "../../src/kits/cache.ts";
import { phantomCache } from "./phantomCache.ts";

/** The phantom's folder, and its slices. */
export let work: string;
export let cache: SliceCache;
/** Empty at the beginning of each test. */
export let folder: string;

/** Sets all three for the tests of the file that calls it: see phantomCache. */
export function usePhantom(slices: number, size: number): void {
  beforeAll(async () => {
    await init();
    ({ work, cache } = await phantomCache(slices, size));
  });
  beforeEach(newFolder);
  afterAll(() => {
    cache.close();
    close();
    rmSync(work, { recursive: true, force: true });
  });
}

/** Makes `folder` another empty one. */
export function newFolder(): void {
  folder = mkdtempSync(join(work, "run-"));
}
