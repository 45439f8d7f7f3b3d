// Every ```ts block of README.md and docs/ compiles against the sources; those marked `run` run, and print what they say.
import { expect, test } from "vitest";
import { blocksOf, pages, runBlocks, type Block } from "./blocks.ts";
import { findings } from "./typecheck.ts";

/** README.md's examples are parts of programs: what stands around them. */
const AROUND: Record<string, string> = {
  "README.md": `
declare const x: import("wgrad").Tensor, target: import("wgrad").Tensor;
declare const model: import("wgrad").nn.Layer, adam: import("wgrad").optim.Adam;
declare const images: Float32Array<ArrayBuffer>, labels: Int32Array<ArrayBuffer>;
`,
};

/** Blocks with `file=` belong to extending.test.ts, which puts them where they say. */
const blocks = pages().flatMap(blocksOf);
const examples = blocks.filter(({ language, file }) => language === "ts" && file === null);

/** The block as a module whose lines are those of its page; what README.md leaves out comes from the library. */
function moduleOf({ page, line, code }: Block): [path: string, text: string] {
  const around = (AROUND[page] ?? "").replaceAll("\n", " ");
  const bare = around !== "" && !code.includes("import ");
  const imports = bare ? 'import { compile, diceCrossEntropy, backward } from "wgrad"; ' : "export {}; ";
  return [`docs/${page.replace(/\W/g, "-")}-${line}.ts`, "\n".repeat(line - 2) + around + imports + "\n" + code];
}

test("every TypeScript block of every page compiles", () => {
  expect(examples.length).toBeGreaterThan(10);
  expect(findings(new Map(examples.map(moduleOf)))).toEqual([]);
});

test("blocks marked run do what the page says", async () => {
  expect(await runBlocks(examples.filter(({ run }) => run))).toEqual([]);
});

