// Training on a fold of nnU-Net's splits_final.json, from nnU-Net's own folder: the command, its scores, and resuming.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toNnunet } from "../../src/kits/convert/toNnunet.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { runTiny } from "./tinyRun.ts";

const work = mkdtempSync(join(tmpdir(), "wgrad-fold-"));
const at = (...path: string[]) => join(work, ...path);
const json = (...path: string[]) => JSON.parse(readFileSync(at(...path), "utf8"));
let raw = "";
let folds = "";

beforeAll(async () => {
  await writePhantom(at("tree"), { cases: 5, slices: 6, size: 48 });
  raw = (await toNnunet({ data: at("tree"), out: at("raw"), name: "Phantom", folds: 2 })).folder;
  folds = join(raw, "splits_final.json");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const run = (out: string, ...args: string[]) => runTiny(raw, at(out), args);

test("a fold that names all cases: its validation cases are scored, and the scores say so", async () => {
  const { status, err } = await run("a/run", "--split-file", folds, "--fold", "1", "--stages", "coarse");
  expect(err).toContain(`(fold 1 of ${folds}; tests on its validation cases)`);
  expect(status).toBe(0);
  const { train, val } = JSON.parse(readFileSync(folds, "utf8"))[1];
  expect(json("a/run/splits.json")).toMatchObject({ train, val, test: val, origin: { file: folds, fold: 1 } });
  const { split, cases } = json("a/run/stages/coarse/metrics.json");
  expect([split, cases.map(({ id }: { id: string }) => id)]).toEqual(["validation", val]);
});

test("a fold that names some: the others are the test cases; the run keeps its split when it goes on", async () => {
  const [first] = JSON.parse(readFileSync(folds, "utf8"));
  const some = at("some.json");
  writeFileSync(some, JSON.stringify([{ train: first.val.slice(0, 2), val: first.val.slice(2) }]));
  const begun = await run("b/run", "--split-file", some, "--stages", "coarse");
  expect(begun.err).toContain("the cases that it does not name test");
  expect(begun.status).toBe(0);
  const split = json("b/run/splits.json");
  expect(split.test).toEqual([...first.train].sort());
  writeFileSync(some, JSON.stringify([first])); // whoever changes the file does not change the run
  for (const again of [["--resume"], ["--stages", "coarse"]]) {
    const { status } = await run("b/run", "--split-file", some, ...again);
    expect(status).toBe(0);
    expect(json("b/run/splits.json")).toEqual(split);
  }
  const other = await run("b/run", "--stages", "masses", "--split-file", folds, "--fold", "0");
  expect(other.err).toMatch(
    /b\/run keeps its split, fold 0 of .*some\.json; ask for the same, or choose another --out/,
  );
  const drawn = await run("b/run", "--stages", "masses", "--split-seed", "3");
  expect(drawn.err).toContain("ask for the same");
  expect([other.status, drawn.status]).toEqual([1, 1]);
});

test("what is wrong is said before slices are made", async () => {
  for (const [args, message] of [
    [["--split-file", folds], "--fold must be from 0 to 1"],
    [["--split-file", folds, "--fold", "2"], "--fold must be from 0 to 1 for"],
    [["--split-file", folds, "--fold", "0", "--fractions", "8:1:1"], "leave out --fractions"],
    [["--split-file", folds, "--fold", "0", "--overfit"], "leave out --overfit"],
    [["--fold", "0"], "--fold needs --split-file"],
  ] as const) {
    const { err, status } = await run("c/run", ...args);
    expect(err).toContain(message);
    expect(err).not.toContain("preprocess");
    expect(status).toBe(1);
  }
});
