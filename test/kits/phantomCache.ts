// A small phantom on the disk and its slices, for tests that train.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCache, type SliceCache } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { preprocess } from "../../src/kits/preprocess.ts";

/** Three cases of so many slices, cached at `size`, in a temporary folder `work` that the caller removes. */
export async function phantomCache(slices: number, size: number): Promise<{ work: string; cache: SliceCache }> {
  const work = mkdtempSync(join(tmpdir(), "wgrad-phantom-"));
  await writePhantom(join(work, "data"), { cases: 3, slices, size: 32 });
  await preprocess(await openDataset(join(work, "data")), join(work, "cache"), { size });
  return { work, cache: await openCache(join(work, "cache")) };
}
