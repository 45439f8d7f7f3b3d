// The regression check of the bench: shares of the ceiling, not times.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lastRecorded, slowerThan } from "../../bench/regression.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "wgrad-results-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (adapter: string, date: string, ofCeiling: number) => ({
  adapter: { name: adapter },
  date,
  rows: [
    { name: "conv", ofCeiling },
    { name: "gone", ofCeiling: 1 },
  ],
});

test("a case that has less of the ceiling than recorded is slower; others and new ones are not", () => {
  const recorded = run("cpu", "2026-01-01", 0.6);
  const rows = (conv: number) => [
    { name: "conv", ofCeiling: conv },
    { name: "new", ofCeiling: 0.01 },
  ];
  expect(slowerThan(recorded, rows(0.3))).toEqual([{ name: "conv", factor: 2 }]);
  expect(slowerThan(recorded, rows(0.5))).toEqual([]);
  expect(slowerThan(recorded, rows(0.9))).toEqual([]);
});

test("the last run of the same adapter counts, other files do not", () => {
  const save = (name: string, content: object) => writeFileSync(join(folder, name), JSON.stringify(content));
  expect(lastRecorded(folder, "cpu")).toBeNull();
  save("b.json", run("cpu", "2026-03-01", 0.5));
  save("a.json", run("cpu", "2026-02-01", 0.4));
  save("c.json", run("gpu", "2026-04-01", 0.9));
  save("models.json", { adapter: { name: "cpu" }, date: "2026-05-01", rows: [{ name: "resunet", medianMs: 3 }] });
  save("tests.json", { numPassedTests: 3 });
  expect(lastRecorded(folder, "cpu")).toEqual(run("cpu", "2026-03-01", 0.5));
});
