// Links between the pages of the documentation lead to a file, and to a heading of it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./blocks.ts";

const pages = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

/** A page without its code, in which brackets and parentheses mean other things. */
const prose = (page: string): string =>
  readFileSync(join(root, page), "utf8")
    .replace(/^```.*?^```$/gms, "")
    .replace(/`[^`\n]*`/g, (code) => code.replace(/\W/g, ""));

/** What headings are called in links; of equal ones later ones get a number. */
function anchors(page: string): string[] {
  const slugs = [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
  return slugs.map((slug, i) => {
    const before = slugs.slice(0, i).filter((other) => other === slug).length;
    return before === 0 ? slug : `${slug}-${before}`;
  });
}

test("every link between pages leads somewhere", () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of pages) {
    const links = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target);
    for (const target of links.filter((link) => !/^\w+:/.test(link))) {
      count++;
      const [path, anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      const found = existsSync(join(root, file));
      if (!found || (anchor && !anchors(file).includes(anchor))) wrong.push(`${page}: ${target}`);
    }
  }
  expect(count).toBeGreaterThan(500);
  expect(wrong).toEqual([]);
});
