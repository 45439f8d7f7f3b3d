import { join } from "node:path";
import { expect, it } from "vitest";
import { loadSplit, saveSplit, splitCases } from "../../src/kits/split.ts";
import { scratch } from "./craft.ts";

const folder = scratch();
const ids = (n: number) => Array.from({ length: n }, (_, i) => `case_${String(i).padStart(5, "0")}`);

it("8:1:1 by case, every case in exactly one part", () => {
  const split = splitCases(ids(300));
  expect([split.train.length, split.val.length, split.test.length]).toEqual([240, 30, 30]);
  expect([...split.train, ...split.val, ...split.test].sort()).toEqual(ids(300));
  expect(split.overfit).toBe(false);
});

it("no part is empty from three cases on, whatever the fractions", () => {
  for (let n = 3; n < 40; n++)
    for (const fractions of [[8, 1, 1], [1, 1, 1], [98, 1, 1], [0.1, 50, 50]] as const) {
      const { train, val, test } = splitCases(ids(n), { fractions });
      expect(Math.min(train.length, val.length, test.length)).toBeGreaterThan(0);
      expect(train.length + val.length + test.length).toBe(n);
    }
});

it("a fraction of 0 gives an empty part", () => {
  expect(splitCases(ids(10), { fractions: [9, 1, 0] }).test).toEqual([]);
});

it("the seed decides, the order of the cases does not", () => {
  expect(splitCases(ids(30).reverse(), { seed: 5 })).toEqual(splitCases(ids(30), { seed: 5 }));
  expect(splitCases(ids(30), { seed: 6 }).test).not.toEqual(splitCases(ids(30), { seed: 5 }).test);
});

it("one or two cases, or overfit: the same cases in all parts, flagged", () => {
  expect(splitCases(ids(1))).toMatchObject({ overfit: true, train: ids(1), val: ids(1), test: ids(1) });
  expect(splitCases(ids(2)).overfit).toBe(true);
  expect(splitCases(ids(3)).overfit).toBe(false);
  expect(splitCases(ids(9), { overfit: true }).test).toEqual(ids(9));
});

it("bad arguments are named", () => {
  expect(() => splitCases([])).toThrow("split: there must be at least one case, found none");
  expect(() => splitCases(["a", "a"])).toThrow("found a duplicate");
  expect(() => splitCases(ids(5), { fractions: [0, 1, 1] })).toThrow("the first above 0, found 0:1:1");
});

it("splits.json comes back the same and is checked against the data", async () => {
  const path = join(folder, "splits.json");
  const split = splitCases(ids(10), { seed: 3 });
  await saveSplit(path, split);
  expect(await loadSplit(path, ids(10))).toEqual(split);
  await expect(loadSplit(path, ids(9))).rejects.toThrow("every case must be in the data, not found: case_00009");
  await saveSplit(path, { ...split, val: [...split.train] });
  await expect(loadSplit(path, ids(10))).rejects.toThrow("a case must be in one part only");
});
