// The API reference is that of the sources, and every public name has a docstring.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { publicNames } from "../../scripts/api/names.ts";
import { apiPages } from "../../scripts/api/pages.ts";
import { root } from "./blocks.ts";

const entries = publicNames(root);

test("every public name of the package has a docstring", () => {
  expect(entries.length).toBeGreaterThan(300);
  expect(entries.filter(({ doc }) => doc === "").map(({ name, file }) => `${name} (src/${file})`)).toEqual([]);
});

test("docs/api is what `npm run docs:api` writes", () => {
  const pages = apiPages(entries);
  expect(readdirSync(join(root, "docs/api")).sort()).toEqual([...pages.keys()].sort());
  for (const [file, text] of pages)
    expect(readFileSync(join(root, "docs/api", file), "utf8") === text, `docs/api/${file}: run npm run docs:api`).toBe(
      true,
    );
});
