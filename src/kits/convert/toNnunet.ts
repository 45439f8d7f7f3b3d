// A tree of KiTS to nnU-Net's raw layout: Dataset220_KiTS23/{imagesTr,labelsTr,imagesTs,dataset.json,splits_final.json}.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { writeJsonAtomic } from "../atomic.ts";
import type { CaseFiles, DatasetSpec } from "../datasets/dataset.ts";
import type { NnunetFacts } from "../datasets/nnunet.ts";
import { checkPair, openDataset } from "../datasets/open.ts";
import { saveFolds, type Fold } from "../folds.ts";
import { readHeader } from "../nifti.ts";
import { loadSplit } from "../split.ts";
import { removeLeftovers } from "../temporary.ts";
import { NNUNET_SEED, nnunetFolds } from "./nnunetFolds.ts";
import { place, type Placing } from "./place.ts";

/** What is read, and how the dataset is named and laid out. */
export interface ToNnunetOptions {
  readonly data: string;
  /** Name of the dataset where detection should not decide. */
  readonly dataset?: string;
  /** nnUNet_raw, in which the dataset's folder is made. */
  readonly out: string;
  /** 1 to 999; default 220. */
  readonly id?: number;
  /** Default the dataset's title. */
  readonly name?: string;
  /** "regions": kidney with its masses, masses, tumor, as the challenge scores them; "labels": each by itself. Default regions. */
  readonly targets?: "regions" | "labels";
  readonly placing?: Placing;
  /** splits.json of a run: its test cases become imagesTs and labelsTs, the others its one fold. */
  readonly split?: string;
  /** Folds of splits_final.json without `split`; default 5. */
  readonly folds?: number;
  /** Of the folds; default nnU-Net's own. */
  readonly seed?: number;
  readonly onCase?: (done: number, total: number, id: string) => void;
}

/** What was written. */
export interface ToNnunetResult {
  readonly folder: string;
  readonly training: number;
  readonly test: number;
  readonly folds: number;
  /** Volumes that were copied. */
  readonly copied: number;
}

/**
 * Writes a dataset for nnU-Net. Volumes keep their bytes. Cases without a label, and the test cases of `split`, go to
 * imagesTs (their labels to labelsTs). dataset.json is written last: a folder without it is not complete and is gone on with.
 * Throws OptionError for bad options, DataError where it is there already or a label does not lie on its image.
 */
export async function toNnunet(options: ToNnunetOptions): Promise<ToNnunetResult> {
  const { data, dataset, placing = "hard", onCase = () => undefined } = options;
  const { spec, cases } = await openDataset(data, { name: dataset, labels: "optional" });
  const folder = folderOf(options, spec);
  if (existsSync(join(folder, "dataset.json")))
    throw new DataError(`${folder}: is there already; choose another --id or --name, or delete it`);
  const labelled = cases.flatMap(({ id, label }) => (label === null ? [] : [id]));
  const { folds, test } = await foldsOf(options, labelled);
  await removeLeftovers(folder);
  let [copied, training] = [0, 0];
  const put = async (source: string, ...path: string[]) => {
    if ((await place(source, join(folder, ...path), placing)) === "copy") copied++;
  };
  for (const [i, one] of cases.entries()) {
    const { id, image, label } = one;
    await checkCase(one);
    const part = label === null || test.has(id) ? "Ts" : "Tr";
    if (part === "Tr") training++;
    await put(image, `images${part}`, `${id}_0000.nii.gz`);
    if (label !== null) await put(label, `labels${part}`, `${id}.nii.gz`);
    onCase(i + 1, cases.length, id);
  }
  await saveFolds(join(folder, "splits_final.json"), folds);
  await writeJsonAtomic(join(folder, "dataset.json"), datasetJson(spec, options.targets ?? "regions", training));
  return { folder, training, test: cases.length - training, folds: folds.length, copied };
}

function folderOf({ out, id = 220, name }: ToNnunetOptions, spec: DatasetSpec): string {
  const called = name ?? spec.title.replace(/[^A-Za-z0-9]+/g, "");
  if (!(Number.isInteger(id) && id >= 1 && id <= 999))
    throw new OptionError(`--id must be a whole number from 1 to 999, found ${id}`);
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(called))
    throw new OptionError(`--name must be letters, digits, - and _, found ${called}`);
  return join(resolve(out), `Dataset${String(id).padStart(3, "0")}_${called}`);
}

/** Folds of the cases for training, and those that are kept for testing. */
async function foldsOf(
  { split, folds, seed = NNUNET_SEED }: ToNnunetOptions,
  labelled: readonly string[],
): Promise<{ folds: Fold[]; test: ReadonlySet<string> }> {
  if (split === undefined) {
    if (labelled.length < 2)
      throw new DataError(`--data must hold two labelled cases at least, found ${labelled.length}`);
    const count = folds ?? Math.min(5, labelled.length);
    return { folds: nnunetFolds(labelled, count, seed), test: new Set() };
  }
  if (folds !== undefined) throw new OptionError("--split brings its own fold; leave out --folds");
  const { train, val, test, overfit } = await loadSplit(split, labelled);
  if (overfit)
    throw new OptionError(`${split}: is of an overfit check, whose parts are the same cases; leave out --split`);
  const named = new Set([...train, ...val]);
  const rest = labelled.filter((id) => !named.has(id));
  return { folds: [{ train, val }], test: new Set([...test, ...rest].filter((id) => !named.has(id))) };
}

/** nnU-Net wants a label on its image's grid. */
async function checkCase({ id, image, label }: CaseFiles): Promise<void> {
  const header = await readHeader(image);
  if (label !== null) checkPair(id, header, await readHeader(label));
}

/** What nnU-Net must know of the dataset. */
function datasetJson(
  spec: DatasetSpec,
  targets: "regions" | "labels",
  training: number,
): NnunetFacts & Record<string, unknown> {
  return {
    name: spec.title,
    licence: spec.license,
    channel_names: { 0: "CT" },
    ...(targets === "regions"
      ? regionsOf(spec)
      : { labels: Object.fromEntries(spec.labels.map((name, v) => [name, v])) }),
    numTraining: training,
    file_ending: ".nii.gz",
    overwrite_image_reader_writer: "NibabelIOWithReorient",
  };
}

/** Regions that hold each other, as nnU-Net's own converter of KiTS23 names them; the order is that in which values are written. */
function regionsOf({ labels }: DatasetSpec): Pick<NnunetFacts, "labels" | "regions_class_order"> {
  return labels.includes("cyst")
    ? { labels: { background: 0, kidney: [1, 2, 3], masses: [2, 3], tumor: 2 }, regions_class_order: [1, 3, 2] }
    : { labels: { background: 0, kidney: [1, 2], tumor: 2 }, regions_class_order: [1, 2] };
}
