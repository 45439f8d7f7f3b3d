// Which cases train, which choose the checkpoint, which are only ever scored. Always by case: slices of one patient
// never lie on two sides.
import { OptionError } from "../errors.ts";
import { Rng } from "../random.ts";
import { shorten } from "../structure.ts";
import { writeJsonAtomic } from "./atomic.ts";
import { testsOnValidation } from "./folds.ts";
import { readJson } from "./json.ts";
import { splitFile } from "./runFiles.ts";

/** splits.json. */
export interface Split {
  unit: "case";
  seed: number;
  /** Weights of train, val and test. */
  fractions: [number, number, number];
  /** True if train, val and test are the same cases: scores then show overfitting, not generalisation. */
  overfit: boolean;
  train: string[];
  val: string[];
  test: string[];
  /** The fold of a splits_final.json that the parts come from, if they were not drawn: seed and fractions play no part then. */
  origin?: { file: string; fold: number };
}

/** How cases are split. */
export interface SplitOptions {
  /** Default 0. */
  seed?: number;
  /** Weights of train, val and test; default 8:1:1. */
  fractions?: readonly [number, number, number];
  /** Put every case in all three parts. One or two cases always do so. */
  overfit?: boolean;
}

/**
 * Splits cases at random, repeatably: the order of `ids` does not matter. With three cases or more every part whose
 * fraction is not 0 gets at least one. Fewer cases cannot be split: they are train, val and test at once, flagged
 * `overfit`. Throws OptionError on duplicate ids, no ids, or fractions that are not at least 0 with a positive first.
 */
export function splitCases(ids: readonly string[], options: SplitOptions = {}): Split {
  const { seed = 0, fractions = [8, 1, 1], overfit = false } = options;
  checkArguments(ids, fractions);
  const sorted = [...ids].sort();
  const base = { unit: "case" as const, seed, fractions: [...fractions] as [number, number, number] };
  if (overfit || ids.length < 3) return { ...base, overfit: true, train: sorted, val: [...sorted], test: [...sorted] };
  const shuffled = new Rng(seed, "split").shuffle(sorted);
  const [train, val] = partSizes(ids.length, fractions);
  return {
    ...base,
    overfit: false,
    train: shuffled.slice(0, train).sort(),
    val: shuffled.slice(train, train + val).sort(),
    test: shuffled.slice(train + val).sort(),
  };
}

/** Writes splits.json, whole or not at all. */
export async function saveSplit(path: string, split: Split): Promise<void> {
  await writeJsonAtomic(path, split);
}

/**
 * Reads splits.json and checks it against the cases at hand. Throws DataError if it is unreadable or damaged, OptionError
 * if it names cases that are not there, or if a case is in two parts of a split that is not flagged `overfit` (but a fold may
 * be tested on its validation cases), or not in all parts of one that is.
 */
export async function loadSplit(path: string, ids: readonly string[]): Promise<Split> {
  const split = await readJson<Split>(path, splitFile, "delete it to split again");
  const known = new Set(ids);
  const named = [...split.train, ...split.val, ...split.test];
  const missing = named.filter((id) => !known.has(id));
  if (missing.length > 0) {
    throw new OptionError(
      `${path}: every case must be in the data, not found: ${missing
        .slice(0, 5)
        .map((id) => shorten(id))
        .join(", ")}; use the same --data or delete it`,
    );
  }
  const parts = testsOnValidation(split) ? [...split.train, ...split.val] : named;
  if (!split.overfit && new Set(parts).size !== parts.length) {
    throw new OptionError(`${path}: a case must be in one part only, found one in two; delete it to split again`);
  }
  const alike = [split.val, split.test].every((part) => [...part].sort().join() === [...split.train].sort().join());
  if (split.overfit && !alike)
    throw new OptionError(`${path}: the parts of an overfit split must be the same cases; delete it to split again`);
  if (split.train.length === 0 || split.test.length === 0)
    throw new OptionError(`${path}: there must be cases to train and to test with; delete it to split again`);
  return split;
}

function checkArguments(ids: readonly string[], fractions: readonly number[]): void {
  if (ids.length === 0) throw new OptionError("split: there must be at least one case, found none");
  if (new Set(ids).size !== ids.length) throw new OptionError("split: case ids must differ, found a duplicate");
  const valid = fractions.length === 3 && fractions.every((f) => Number.isFinite(f) && f >= 0) && fractions[0] > 0;
  if (!valid) {
    throw new OptionError(
      `split: fractions must be three numbers of at least 0, the first above 0, found ${fractions.join(":")}`,
    );
  }
}

/** Sizes of train and val; test is the rest. A part with a fraction gets at least one case. */
function partSizes(count: number, fractions: readonly [number, number, number]): [number, number] {
  const sum = fractions[0] + fractions[1] + fractions[2];
  const size = (part: number) => (fractions[part] === 0 ? 0 : Math.max(1, Math.round((count * fractions[part]) / sum)));
  let val = size(1);
  let test = size(2);
  // Large fractions on few cases may ask for everything; training keeps at least one.
  while (val + test > count - 1) {
    if (val >= test) val--;
    else test--;
  }
  return [count - val - test, val];
}
