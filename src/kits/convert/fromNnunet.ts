// nnU-Net's raw layout to a tree of KiTS: case_00000/imaging.nii.gz and segmentation.nii.gz.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { DataError } from "../../errors.ts";
import type { CaseFiles } from "../datasets/dataset.ts";
import { isNnunet, kitsValues, readNnunet } from "../datasets/nnunet.ts";
import { readLabels, writeNifti } from "../nifti.ts";
import { removeLeftovers } from "../temporary.ts";
import { place, type Placing } from "./place.ts";

/** What is read, and where it goes. */
export interface FromNnunetOptions {
  /** nnU-Net's DatasetXXX_Name folder. */
  readonly data: string;
  /** Folder of the case folders. */
  readonly out: string;
  readonly placing?: Placing;
  readonly onCase?: (done: number, total: number, id: string) => void;
}

/** What was written. */
export interface FromNnunetResult {
  readonly folder: string;
  readonly cases: number;
  /** Cases of imagesTs, which are among them. */
  readonly test: number;
  readonly copied: number;
}

/**
 * Writes a tree of KiTS. Volumes keep their bytes, but labels whose values mean other things than in KiTS are written anew. A
 * case that is not named case_... gets that in front. Throws DataError for another layout and where a case is there already.
 */
export async function fromNnunet(options: FromNnunetOptions): Promise<FromNnunetResult> {
  const { placing = "hard", onCase = () => undefined } = options;
  const [data, out] = [resolve(options.data), resolve(options.out)];
  if (!isNnunet(data))
    throw new DataError(
      `${data}: must hold dataset.json and imagesTr, found no such things; give nnU-Net's DatasetXXX_Name folder ` +
        `(a folder of its predictions needs no conversion: evaluate:kits reads it)`,
    );
  const tree = await readNnunet(data);
  const values = kitsValues(tree);
  const cases = [...tree.training, ...tree.test];
  const ids = caseNames(cases);
  const taken = ids.find((id) => existsSync(join(out, id)));
  if (taken !== undefined)
    throw new DataError(`${join(out, taken)}: is there already; choose another --out, or delete it`);
  await removeLeftovers(out);
  let copied = 0;
  for (const [i, { image, label }] of cases.entries()) {
    const target = (stem: string) => join(out, ids[i], `${stem}${tree.facts.file_ending}`);
    if (label !== null) copied += await putLabel(label, target("segmentation"), values, placing);
    if ((await place(image, target("imaging"), placing)) === "copy") copied++;
    onCase(i + 1, cases.length, ids[i]);
  }
  return { folder: out, cases: cases.length, test: tree.test.length, copied };
}

/** Names of the case folders. Throws DataError where two would be the same. */
function caseNames(cases: readonly CaseFiles[]): string[] {
  const ids = cases.map(({ id }) => (/^case_\w+$/.test(id) ? id : `case_${id.replace(/\W/g, "_")}`));
  const twice = ids.findIndex((id, i) => ids.indexOf(id) !== i);
  if (twice < 0) return ids;
  throw new DataError(`${cases[twice].id}: must have a name of its own, found a second ${ids[twice]}; rename one`);
}

/** Returns how many files were copied. */
async function putLabel(label: string, target: string, values: readonly number[], placing: Placing): Promise<number> {
  if (values.every((to, from) => to === from)) return (await place(label, target, placing)) === "copy" ? 1 : 0;
  const { header, data, counts } = await readLabels(label);
  const unknown = counts.findIndex((count, value) => count > 0 && values[value] === undefined);
  if (unknown >= 0)
    throw new DataError(`${label}: labels must be those of dataset.json, found ${unknown}; correct either`);
  await writeNifti(
    target,
    data.map((value) => values[value]),
    header,
  );
  return 1;
}
