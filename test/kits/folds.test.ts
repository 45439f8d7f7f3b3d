// splits_final.json: read, written, drawn as nnU-Net draws it, and what is wrong with it said.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { nnunetFolds } from "../../src/kits/convert/nnunetFolds.ts";
import { foldChoice, readFolds, saveFolds, splitOfFold, testsOnValidation } from "../../src/kits/folds.ts";
import { loadSplit, saveSplit, splitCases } from "../../src/kits/split.ts";
import { scratch } from "./craft.ts";

const folder = scratch();
const path = join(folder, "splits_final.json");
const id = (i: number) => `case_${String(i).padStart(5, "0")}`;
const ids = (n: number) => Array.from({ length: n }, (_, i) => id(i));
const base = { seed: 0, fractions: [8, 1, 1] as [number, number, number] };
const numbers = (names: readonly string[]) => names.map((name) => Number(name.slice(5)));

describe("nnunetFolds", () => {
  it("are those of scikit-learn's KFold with numpy.random.RandomState (values from NumPy 1.24)", () => {
    const val = (n: number, k: number, seed?: number) => nnunetFolds(ids(n), k, seed).map((fold) => numbers(fold.val));
    expect(val(12, 5)).toEqual([
      [0, 3, 8],
      [7, 10, 11],
      [6, 9],
      [1, 4],
      [2, 5],
    ]);
    expect(val(489, 5)[0].slice(0, 12)).toEqual([9, 10, 11, 17, 19, 27, 28, 33, 40, 41, 48, 52]);
    expect(val(489, 5)[4].slice(-5)).toEqual([460, 479, 480, 482, 485]);
    expect(val(1000, 3, 7)[1].slice(0, 6)).toEqual([0, 2, 3, 4, 7, 10]);
    expect(val(5, 5, 4294967295)).toEqual([[4], [1], [0], [2], [3]]);
  });

  it("validate each case once and train on the rest, whatever the order of the cases", () => {
    const folds = nnunetFolds(ids(23).reverse());
    expect(folds).toEqual(nnunetFolds(ids(23)));
    expect(folds.flatMap(({ val }) => val).sort()).toEqual(ids(23));
    for (const { train, val } of folds) expect([...train, ...val].sort()).toEqual(ids(23));
    expect(() => nnunetFolds(ids(4))).toThrow("folds must be from 2 to the number of cases, 4, found 5");
    expect(() => nnunetFolds(ids(9), 5, -1)).toThrow("seed of folds");
  });
});

describe("a fold as a split", () => {
  it("tests on the cases that it does not name, and comes back from splits.json", async () => {
    await saveFolds(path, nnunetFolds(ids(10)));
    expect(await readFolds(path)).toEqual(nnunetFolds(ids(10)));
    const split = await splitOfFold({ file: path, fold: 1 }, ids(13), base);
    expect(split).toMatchObject({ overfit: false, test: [id(10), id(11), id(12)], origin: { file: path, fold: 1 } });
    expect([...split.train, ...split.val].sort()).toEqual(ids(10));
    expect(testsOnValidation(split)).toBe(false);
    await saveSplit(join(folder, "splits.json"), split);
    expect(await loadSplit(join(folder, "splits.json"), ids(13))).toEqual(split);
  });

  it("tests on its validation cases where it names all, and comes back too", async () => {
    await saveFolds(path, nnunetFolds(ids(10)));
    const split = await splitOfFold({ file: path, fold: 4 }, ids(10), base);
    expect(split.test).toEqual(split.val);
    expect(testsOnValidation(split)).toBe(true);
    await saveSplit(join(folder, "splits.json"), split);
    expect(await loadSplit(join(folder, "splits.json"), ids(10))).toEqual(split);
    // A drawn split must not: its test cases are new to it.
    const { origin: _, ...drawn } = split;
    await saveSplit(join(folder, "splits.json"), drawn);
    await expect(loadSplit(join(folder, "splits.json"), ids(10))).rejects.toThrow("a case must be in one part only");
    await saveSplit(join(folder, "splits.json"), { ...split, test: [split.train[0]] });
    await expect(loadSplit(join(folder, "splits.json"), ids(10))).rejects.toThrow("a case must be in one part only");
  });

  it("a drawn split has no origin", () => {
    expect(Object.keys(splitCases(ids(10)))).not.toContain("origin");
  });

  it("what is wrong with the file is named with its fold", async () => {
    const wrong = async (folds: unknown, message: string | RegExp, fold?: number) => {
      writeFileSync(path, JSON.stringify(folds));
      await expect(splitOfFold({ file: path, fold }, ids(10), base)).rejects.toThrow(message);
    };
    const good = { train: [id(0), id(1)], val: [id(2)] };
    expect(
      (await (writeFileSync(path, JSON.stringify([good])), splitOfFold({ file: path }, ids(10), base))).val,
    ).toEqual([id(2)]);
    await wrong([good, good], /--fold must be from 0 to 1 for .*splits_final\.json, left out/);
    await wrong([good], /--fold must be from 0 to 0 for .*, found 1/, 1);
    await wrong([], "must hold at least one fold, found none");
    await wrong(
      [good, { train: [id(0), id(1)], val: [id(1)] }],
      "fold 1 must have each case once, found case_00001 in train and in val",
      0,
    );
    await wrong([{ train: [id(0), id(0)], val: [id(1)] }], "fold 0 must have each case once, found case_00000 twice");
    await wrong([{ train: [id(0)], val: [] }], "fold 0 must have cases to train and to validate with");
    await wrong(
      [{ train: [id(0), "case_00099"], val: [id(1)] }],
      /fold 0 must name cases of the data, 1 are not there with a label: case_00099/,
    );
    await wrong([{ train: ["../x"], val: [id(1)] }], "[0].train[0] must be a file name");
    await wrong({ train: [] }, "must be a list, found an object");
    await expect(readFolds(join(folder, "none.json"))).rejects.toThrow("no such file");
  });

  it("flags that do not go together are named", () => {
    expect(foldChoice(undefined, undefined, true)).toBe(undefined);
    expect(foldChoice("f", "3", false)).toEqual({ file: resolve("f"), fold: 3 });
    expect(() => foldChoice(undefined, "3", false)).toThrow("--fold needs --split-file");
    expect(() => foldChoice("f", "3", true)).toThrow("leave out --fractions and --split-seed");
    expect(() => foldChoice("f", "x", false)).toThrow("--fold must be a whole number from 0, found x");
  });
});
