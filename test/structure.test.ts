import { expect, test } from "vitest";
import { DataError } from "../src/errors.ts";
import {
  all,
  count,
  either,
  fileName,
  insidePath,
  listOf,
  must,
  nullable,
  number,
  object,
  oneOf,
  optional,
  plain,
  recordOf,
  shown,
  text,
  that,
} from "../src/structure.ts";

interface Sample {
  id: string;
  sizes: number[];
  note?: string;
  best: { epoch: number } | null;
}

const sample = object<Sample>({
  id: fileName,
  sizes: listOf(count, 2),
  note: optional(text),
  best: nullable(object<{ epoch: number }>({ epoch: count })),
});
const fits = { id: "case_00000", sizes: [1, 2], best: null };

test("the first fault is named by its place, what belongs there and what is there", () => {
  expect(() => must({ a: [fits] }, recordOf(listOf(sample)), "x.json", "make it again")).not.toThrow();
  const cases: [unknown, string][] = [
    [3, "it must be an object, found 3"],
    [{ a: {} }, "a must be a list, found an object"],
    [
      { a: [{ ...fits, id: "../x" }] },
      "a[0].id must be a file name without /, \\, : and control characters that does not begin with a dot, found ../x",
    ],
    [{ a: [fits, { ...fits, sizes: [1] }] }, "a[1].sizes must be a list of 2, found [1]"],
    [{ a: [{ ...fits, sizes: [1, -1] }] }, "a[0].sizes[1] must be a whole number from 0 to 9007199254740991, found -1"],
    [{ a: [{ ...fits, note: null }] }, "a[0].note must be text, found null"],
    [
      { a: [{ ...fits, best: { epoch: "1" } }] },
      "a[0].best.epoch must be a whole number from 0 to 9007199254740991, found 1",
    ],
    [{ a: [{ ...fits, best: undefined }] }, "a[0].best must be an object, found nothing"],
    [{ a: [{ ...fits, more: 1 }] }, "a[0] must be an object of id, sizes, note, best, found the name more"],
    [
      JSON.parse('{"a":[{"__proto__":1}]}'),
      "a[0] must be an object of id, sizes, note, best, found the name __proto__",
    ],
  ];
  for (const [value, fault] of cases)
    expect(() => must(value, recordOf(listOf(sample)), "x.json", "make it again")).toThrow(
      new DataError(`x.json: ${fault}; make it again`),
    );
});

test("an object may hold more where it is said what", () => {
  const open = object<{ id: string }>({ id: text }, number);
  expect([open({ id: "a", more: 1 }), open({ id: "a", more: "b" })?.at]).toEqual([null, ".more"]);
});

test("either, all and oneOf", () => {
  expect(either(oneOf("absent"), number)("absent")).toBe(null);
  expect(either(oneOf("absent"), number)("x")).toEqual({ at: "", must: "a number", found: "x" });
  expect(number(NaN)).not.toBe(null);
  const few = all(
    listOf(count),
    that("at most one", (v) => (v as number[]).length <= 1),
  );
  expect([few([1]), few([1, 2])?.must, few(3)?.must]).toEqual([null, "at most one", "a list"]);
});

test("nothing that a file holds makes a message long, or a walk through it endless", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  expect(plain(3)(deep)?.must).toBe("plain data nested at most 3 deep");
  expect([plain(1)([1]), plain(1)([[1]])?.must]).toEqual([null, "plain data nested at most 1 deep"]);
  expect([shown(deep), shown({ toString: 1 }), shown([1, 2]), shown(null)]).toEqual([
    "a list of 1",
    "an object",
    "[1, 2]",
    "null",
  ]);
  expect(shown("x".repeat(1000))).toBe(`${"x".repeat(80)}...`);
  const error = (() => {
    try {
      return must({ ["k".repeat(9999)]: "v".repeat(9999) }, recordOf(number), "x.json", "fix");
    } catch (e) {
      return e as Error;
    }
  })()!;
  expect(error).toBeInstanceOf(DataError);
  expect(error.message.length).toBeLessThan(300);
});

test("names and paths that lead elsewhere", () => {
  for (const name of ["case_00000", "scan 1", "ÄÖ.x", "a..b"]) expect(fileName(name)).toBe(null);
  for (const name of ["", ".", "..", ".x", "../x", "a/b", "/a", "a\\b", "a\0b", "a\nb", "x".repeat(256), 3])
    expect(fileName(name), String(name)).not.toBe(null);
  for (const path of ["metrics.json", "stages/coarse/metrics.json", "ablation\\plain\\metrics.json"])
    expect(insidePath(path)).toBe(null);
  for (const path of ["/etc/passwd", "../x", "a/../../x", "a//b", "a\\..\\b", "\\\\host\\x", "a/b\0"])
    expect(insidePath(path), path).not.toBe(null);
});
