// The commands that the pages show exist, and so do their options.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pages, root } from "./blocks.ts";

const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> };

/** Each `npm run NAME -- ARGUMENTS` of a page, to the end of its line, its code or the next command. */
const commands = pages().flatMap((page) =>
  [...readFileSync(join(root, page), "utf8").matchAll(/npm run ([\w:-]+)((?:(?!&&|npm run)[^`\n#])*)/g)].map(
    ([, name, rest]) => ({ page, name, options: rest.match(/(?<= )--[a-z][\w-]*/g) ?? [] }),
  ),
);

test("every command of README.md and docs/ is a script of package.json", () => {
  expect(commands.length).toBeGreaterThan(40);
  const built = ["silent"]; // npm run --silent build: npm's own
  expect(commands.filter(({ name }) => !(name in scripts) && !built.includes(name))).toEqual([]);
});

const kits = [...new Set(commands.map(({ name }) => name))].filter((name) => name.endsWith(":kits"));

test.each(kits)("the options that the pages give to %s are in its help", (name) => {
  const help = spawnSync(process.execPath, [join(root, `dist/${name.replace(":", "-")}.js`), "--help"]).stdout;
  const known = new Set(String(help).match(/--[a-z][\w-]*/g));
  expect(known.size).toBeGreaterThan(1);
  const shown = commands.filter((command) => command.name === name);
  const wrong = shown.flatMap(({ page, options }) => options.filter((o) => !known.has(o)).map((o) => `${page}: ${o}`));
  expect(wrong).toEqual([]);
});
