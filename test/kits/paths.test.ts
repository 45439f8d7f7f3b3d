// Names in files become paths. None may lead out of the run folder, and none out of the data folder.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { DataError } from "../../src/errors.ts";
import { openCache, type CacheIndex } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { readRun } from "../../src/kits/report/read.ts";
import { loadRois } from "../../src/kits/roisFile.ts";
import { loadFacts } from "../../src/kits/run.ts";
import { loadSplit } from "../../src/kits/split.ts";
import { craftCase, scratch } from "./craft.ts";
import { writeFixture } from "./report_fixture.ts";

const folder = scratch();
const astray = ["../../x", "..", "/etc/passwd", "a/b", "..\\x", "C:\\x", "a\0b", ".hidden", ""];
let run: string;

beforeAll(
  async () =>
    void (run = (await writeFixture(join(folder, "run"), { cases: 4, tests: 1, epochs: 1, ablation: true })).folder),
);

/** Reads with `path` changed by `change`, then puts the file back. */
async function refused(path: string, change: (value: never) => void, read: () => Promise<unknown>): Promise<void> {
  const before = readFileSync(path, "utf8");
  const value = JSON.parse(before) as never;
  change(value);
  writeFileSync(path, JSON.stringify(value));
  const error = await read().then(
    () => null,
    (e: unknown) => e,
  );
  writeFileSync(path, before);
  expect(error).toBeInstanceOf(DataError);
  expect((error as Error).message).toContain(path);
}

test.each(astray)("%j as a case's name is refused in every file of a run", async (name) => {
  const report = () => readRun(run);
  await report(); // as it is, it is read
  await refused(join(run, "metrics.json"), (m: { cases: { id: string }[] }) => (m.cases[0].id = name), report);
  await refused(join(run, "splits.json"), (s: { test: string[] }) => (s.test[0] = name), report);
  await refused(
    join(run, "ablation.json"),
    (a: { rows: { metrics: string }[] }) => (a.rows[0].metrics = `x/../${name}`),
    report,
  );
  const facts = () => loadFacts(run);
  await facts();
  await refused(join(run, "run.json"), (f: { split: { val: string[] } }) => (f.split.val[0] = name), facts);
  await refused(join(run, "run.json"), (f: { stages: string[] }) => (f.stages[0] = name), facts);
  await refused(join(run, "run.json"), (f: { trained: object }) => (f.trained = { [name]: "absent" }), facts);
  const splits = join(run, "splits.json");
  await refused(
    splits,
    (s: { train: string[] }) => (s.train[0] = name),
    () => loadSplit(splits, [name]),
  );
  const rois = join(run, "rois.json");
  writeFileSync(rois, JSON.stringify({ margin: 0, neighbours: 2, cases: {} }));
  await refused(
    rois,
    (r: { cases: object }) => (r.cases = { [name]: [] }),
    () => loadRois(rois, []),
  );
  const log = join(run, "log.jsonl");
  const [first, ...rest] = readFileSync(log, "utf8").split("\n");
  writeFileSync(log, [JSON.stringify({ ...(JSON.parse(first) as object), stage: name }), ...rest].join("\n"));
  await expect(report()).rejects.toThrow(/log\.jsonl, line 1: stage must be one of coarse/);
  writeFileSync(log, [first, ...rest].join("\n"));
});

test("a cache whose index names other files is neither opened nor used again", async () => {
  const data = join(folder, "data");
  for (const id of ["case_00000", "case_00001"]) craftCase(data, id, [2, 8, 8]);
  const dataset = await openDataset(data);
  const at = join(folder, "cache");
  const index = await preprocess(dataset, at, { size: 16 });
  for (const name of astray)
    await refused(
      join(at, "index.json"),
      (i: CacheIndex) => void (i.cases[1].id = name),
      () => openCache(at),
    );
  for (const image of ["/etc/passwd", "../x", `${data}/../../x`, "x\0"]) {
    await refused(
      join(at, "index.json"),
      (i: CacheIndex) => void (i.cases[1].image = image),
      () => openCache(at),
    );
  }
  // A whole index that says something else of the same data is made anew.
  const lies = structuredClone(index);
  lies.cases[0].image = index.cases[1].image;
  writeFileSync(join(at, "index.json"), JSON.stringify(lies));
  (await openCache(at)).close();
  expect((await preprocess(dataset, at, { size: 16 })).cases[0].image).toBe(index.cases[0].image);
});

test("case folders are only those named case_..., and links that lead nowhere are named", async () => {
  const data = join(folder, "odd");
  craftCase(data, "case_00000", [2, 8, 8]);
  for (const name of ["..x", "case_..", "case_a b", "case_0\\x"]) mkdirSync(join(data, name));
  expect((await openDataset(data)).cases.map(({ id }) => id)).toEqual(["case_00000"]);
  writeFileSync(join(data, "file"), "");
  symlinkSync(join(data, "file"), join(data, "case_0")); // before the real case: it is looked into first
  symlinkSync(join(data, "nowhere"), join(data, "case_00"));
  await expect(openDataset(data)).rejects.toThrow(/case_0: imaging\.nii\.gz is missing/);
  await expect(openDataset(data)).rejects.toThrow(DataError);
  rmSync(data, { recursive: true });
});
