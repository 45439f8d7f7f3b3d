// docs/porting.md names everything that is public, and nothing else.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { root } from "./blocks.ts";

const page = readFileSync(join(root, "docs/porting.md"), "utf8").split("\n## Every name\n")[1];
const [tables, without] = page.split("### Without a counterpart");

/** The names in the column "wgrad", and those that have no counterpart. */
const named = [...tables.matchAll(/^\|[^|]*\|([^|]*)\|/gm)].map(([, cell]) => cell).concat(without);
const names = named.flatMap((text) => [...text.matchAll(/`([\w.]+)`/g)].map(([, name]) => name));

const inside = (prefix: string, group: object): string[] => Object.keys(group).map((name) => `${prefix}${name}`);
const publicNames = [
  ...inside("", w).filter((name) => !["nn", "optim", "schedule"].includes(name)),
  ...inside("nn.", w.nn).filter((name) => name !== "nn.init"),
  ...inside("nn.init.", w.nn.init),
  ...inside("optim.", w.optim),
  ...inside("schedule.", w.schedule),
];

test("every public name is in a table of docs/porting.md or in its list of those without a counterpart", () => {
  expect(publicNames.filter((name) => !names.includes(name))).toEqual([]);
});

test("every name in them is public, and stands there once", () => {
  expect(names.filter((name) => !publicNames.includes(name))).toEqual([]);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
