// rois.json: the regions that a stage looked at, and where each came from.

import { DataError } from "../errors.ts";
import { amount, count, fileName, listOf, nullable, number, object, oneOf, recordOf, that } from "../structure.ts";
import { writeJsonAtomic } from "./atomic.ts";
import { readJson } from "./json.ts";
import { ROI_SOURCES, type CaseRois, type SliceRoi } from "./roi.ts";

/** rois.json: the regions of every case of a stage, and how they were made. */
export interface RoisFile {
  margin: number;
  neighbours: number;
  cases: Record<string, CaseRois>;
}

/** Writes rois.json atomically. Throws DataError if it cannot be written. */
export async function saveRois(path: string, { margin, neighbours, cases }: RoisFile): Promise<void> {
  await writeJsonAtomic(path, { margin, neighbours, cases });
}

/**
 * Reads rois.json. `cases`: the cases whose regions are needed, with their numbers of slices (those of a CacheIndex
 * fit); further cases in the file are left alone. Throws DataError naming the file and the case if one is missing, has
 * another number of slices, or if there is anything else than regions.
 */
export async function loadRois(
  path: string,
  cases: readonly { id: string; slices: number }[],
  fix = "run the stage that makes it again",
): Promise<RoisFile> {
  const file = await readJson<RoisFile>(path, roisFile, fix);
  for (const { id, slices } of cases) {
    const found = Object.hasOwn(file.cases, id) ? file.cases[id].length : "none";
    if (found !== slices) {
      throw new DataError(`${path}: ${id} must have ${slices} regions, one per slice, found ${found}; ${fix}`);
    }
  }
  return file;
}

const side = that("a number above 0", (v) => Number.isFinite(v) && (v as number) > 0);
const sliceRoi = object<SliceRoi>({ y: number, x: number, side, source: oneOf(...ROI_SOURCES) });
const roisFile = object<RoisFile>({
  margin: amount,
  neighbours: count,
  cases: recordOf(listOf(nullable(sliceRoi)), fileName),
});
