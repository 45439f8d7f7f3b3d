// splits_final.json, nnU-Net's file of folds: read for training on one of them, written for nnU-Net.

import { resolve } from "node:path";
import { DataError, OptionError } from "../errors.ts";
import { fileName, listOf, object, shorten } from "../structure.ts";
import { writeJsonAtomic } from "./atomic.ts";
import { readJson } from "./json.ts";
import type { Split } from "./split.ts";

/** One fold: the cases to train and to validate with. */
export interface Fold {
  train: string[];
  val: string[];
}

const foldsFile = listOf(object<Fold>({ train: listOf(fileName), val: listOf(fileName) }));

/** Writes splits_final.json, whole or not at all. */
export async function saveFolds(path: string, folds: readonly Fold[]): Promise<void> {
  await writeJsonAtomic(path, folds);
}

/**
 * Reads splits_final.json. Throws DataError if it is damaged, and where a fold has no cases or one case twice, naming the
 * fold and the case.
 */
export async function readFolds(path: string): Promise<Fold[]> {
  const fix = 'it must be nnU-Net\'s: a list of {"train": [...], "val": [...]}';
  const folds = await readJson<Fold[]>(path, foldsFile, fix);
  if (folds.length === 0) throw new DataError(`${path}: must hold at least one fold, found none; ${fix}`);
  for (const [k, { train, val }] of folds.entries()) {
    const where = `${path}: fold ${k}`;
    if (train.length === 0 || val.length === 0)
      throw new DataError(`${where} must have cases to train and to validate with, found none; add some`);
    const twice = firstTwice([...train, ...val]);
    if (twice === undefined) continue;
    const sides = train.includes(twice) && val.includes(twice) ? "in train and in val" : "twice";
    throw new DataError(`${where} must have each case once, found ${shorten(twice)} ${sides}; remove one`);
  }
  return folds;
}

/** A fold of a file, as the command line names it. */
export interface FoldChoice {
  readonly file: string;
  /** From 0; may be left out where the file has only one. */
  readonly fold?: number;
}

/**
 * The fold that --split-file and --fold name; `drawn` if the command line says how to draw a split. Throws OptionError for
 * flags that do not go together.
 */
export function foldChoice(file: string | undefined, fold: string | undefined, drawn: boolean): FoldChoice | undefined {
  if (file === undefined && fold !== undefined) throw new OptionError("--fold needs --split-file");
  if (file !== undefined && drawn)
    throw new OptionError("--split-file says which cases train; leave out --fractions and --split-seed");
  if (fold !== undefined && !/^\d{1,4}$/.test(fold))
    throw new OptionError(`--fold must be a whole number from 0, found ${fold}`);
  return file === undefined ? undefined : { file: resolve(file), fold: fold === undefined ? undefined : Number(fold) };
}

/**
 * The split of one fold: train and val are the fold's. Labelled cases that the fold does not name are held out: they are
 * the test cases. Where it names all, its validation cases are the test cases too, as in a cross-validation.
 * `ids`: the labelled cases; `base`: seed and fractions, which play no part. Throws OptionError for a fold that is not there and for
 * cases that are not in the data.
 */
export async function splitOfFold(
  { file, fold }: FoldChoice,
  ids: readonly string[],
  base: Pick<Split, "seed" | "fractions">,
): Promise<Split> {
  const folds = await readFolds(file);
  const k = fold ?? (folds.length === 1 ? 0 : undefined);
  if (k === undefined || !(k in folds))
    throw new OptionError(
      `--fold must be from 0 to ${folds.length - 1} for ${file}, ${k === undefined ? "left out" : `found ${k}`}`,
    );
  const { train, val } = folds[k];
  const known = new Set(ids);
  const unknown = [...train, ...val].filter((id) => !known.has(id));
  if (unknown.length > 0)
    throw new OptionError(
      `${file}: fold ${k} must name cases of the data, ${unknown.length} are not there with a label: ` +
        `${unknown
          .slice(0, 5)
          .map((id) => shorten(id))
          .join(", ")}; use the --data that it was made for`,
    );
  const named = new Set([...train, ...val]);
  const heldOut = ids.filter((id) => !named.has(id));
  const test = heldOut.length > 0 ? heldOut : val;
  const { seed, fractions } = base;
  const parts = { train: [...train].sort(), val: [...val].sort(), test: [...test].sort() };
  return { unit: "case", seed, fractions, overfit: false, ...parts, origin: { file, fold: k } };
}

/** True where the test cases are the validation cases of a fold, which also chose the checkpoints. */
export function testsOnValidation({ origin, val, test }: Split): boolean {
  return origin !== undefined && [...test].sort().join() === [...val].sort().join();
}

function firstTwice(ids: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return ids.find((id) => seen.size === seen.add(id).size);
}
