// The built-in synthetic phantom: a KiTS-format tree drawn from analytic shapes, for trying everything without data.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OptionError } from "../errors.ts";
import { plain } from "../structure.ts";
import { replaceFolder, writeJsonAtomic } from "./atomic.ts";
import { readJson } from "./json.ts";
import { writeNifti } from "./nifti_write.ts";
import { drawPhantomCase, phantomDefaults, type PhantomOptions } from "./phantom_case.ts";
import { removeLeftovers } from "./temporary.ts";

export { drawPhantomCase, type PhantomCase, type PhantomOptions } from "./phantom_case.ts";

/** File whose presence says that a tree is the phantom. */
export const PHANTOM_MARK = "phantom.json";

/**
 * Writes the phantom as a tree in KiTS layout: case_00000/imaging.nii.gz and segmentation.nii.gz, README.md,
 * phantom.json. The tree appears when it is complete. Throws OptionError for sizes out of range.
 */
export async function writePhantom(folder: string, options: Partial<PhantomOptions> = {}): Promise<void> {
  const all = { ...phantomDefaults, ...options };
  checkOptions(all);
  await removeLeftovers(dirname(resolve(folder)));
  await replaceFolder(folder, "the phantom", async (temporary) => {
    for (let index = 0; index < all.cases; index++) {
      const { geometry, image, label } = drawPhantomCase(index, all);
      const place = join(temporary, `case_${String(index).padStart(5, "0")}`);
      await writeNifti(join(place, "imaging.nii.gz"), image, geometry, { level: 1 });
      await writeNifti(join(place, "segmentation.nii.gz"), label, geometry);
    }
    await writeFile(join(temporary, "README.md"), README);
    await writeJsonAtomic(join(temporary, PHANTOM_MARK), { synthetic: true, version: 1, ...all });
  });
}

/** Writes the phantom unless it is already there with the same options. Returns `folder`. */
export async function ensurePhantom(folder: string, options: Partial<PhantomOptions> = {}): Promise<string> {
  const all = { ...phantomDefaults, ...options };
  const mark = join(folder, PHANTOM_MARK);
  if (existsSync(folder) && !existsSync(mark)) {
    throw new OptionError(
      `phantom: ${folder} must be free or hold a phantom, found other files; choose another folder`,
    );
  }
  const wanted = { synthetic: true, version: 1, ...all };
  const found = existsSync(mark) ? await readJson(mark, plain(3)).catch(() => null) : null;
  if (JSON.stringify(found) !== JSON.stringify(wanted)) await writePhantom(folder, all);
  return folder;
}

function checkOptions({ cases, slices, size, noise }: PhantomOptions): void {
  const whole = (v: number, low: number, high: number) => Number.isInteger(v) && v >= low && v <= high;
  if (!whole(cases, 1, 99999)) {
    throw new OptionError(`phantom: cases must be a whole number from 1 to 99999, found ${cases}`);
  }
  if (!whole(slices, 1, 2000)) {
    throw new OptionError(`phantom: slices must be a whole number from 1 to 2000, found ${slices}`);
  }
  if (!whole(size, 16, 1024)) {
    throw new OptionError(`phantom: size must be a whole number from 16 to 1024, found ${size}`);
  }
  if (!(noise >= 0)) throw new OptionError(`phantom: noise must be at least 0 HU, found ${noise}`);
}

const README = `# Synthetic phantom

These volumes are SYNTHETIC. They are drawn from analytic shapes (ellipsoids with texture and noise) in the layout of KiTS:
case_XXXXX/imaging.nii.gz in Hounsfield units, case_XXXXX/segmentation.nii.gz with 1 kidney, 2 tumor, 3 cyst.
No patient's data is in them and no scanner made them. Scores on them say that the software works, nothing about medicine.
phantom.json holds the options: the same options give the same bytes.
`;
