// Every ```ts block of README.md and docs/ compiles against the sources; those marked `run` run, and print what they say.
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { blocksOf, pages, root, runBlocks, type Block } from "./blocks.ts";
import { findings } from "./typecheck.ts";

/** README.md's examples are parts of programs: what they use and do not say. */
const AROUND: Readonly<Record<string, string>> = {
  x: 'import("wgrad").Tensor',
  target: 'import("wgrad").Tensor',
  model: 'import("wgrad").nn.Layer',
  adam: 'import("wgrad").optim.Adam',
  images: "Float32Array<ArrayBuffer>",
  labels: "Int32Array<ArrayBuffer>",
};

/** Blocks below the path of a file are for extending.test.ts, which puts them there. */
const blocks = pages().flatMap(blocksOf);
const examples = blocks.filter(({ language, file }) => language === "ts" && file === null);

/** The block as a module whose lines are those of its page, what README.md leaves out before it. */
function moduleOf({ page, line, code }: Block): [path: string, text: string] {
  const path = `docs/${page.replace(/\W/g, "-")}-${line}.ts`;
  const below = (head: string): string => `${"\n".repeat(line - 2)}${head} export {};\n${code}`;
  if (page !== "README.md") return [path, below("")];
  const missing = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(code) && !code.includes(`const ${name} `);
  const declared = Object.entries(AROUND).map(([name, type]) =>
    missing(name) ? `declare const ${name}: ${type};` : "",
  );
  const library = code.includes("import ") ? "" : 'import { backward, compile, diceCrossEntropy } from "wgrad";';
  return [path, below(`${library} ${declared.join(" ")}`)];
}

test("every TypeScript block of every page compiles", () => {
  expect(examples.length).toBeGreaterThan(10);
  expect(findings(new Map(examples.map(moduleOf)))).toEqual([]);
});

test("the command that bundles for browsers leaves nothing of Node in what a page loads", async () => {
  const page = "docs/getting-started.md";
  const options = blocksOf(page).find(({ code }) => code.includes("esbuild"))!.code;
  const example = examples.findLast((block) => block.page === page)!;
  const external = [...options.matchAll(/--external:([^\s']+)/g)].map(([, name]) => name);
  const stdin = { contents: example.code, resolveDir: root, loader: "ts" as const };
  const alias = { wgrad: join(root, "dist/index.js") };
  const settings = {
    bundle: true,
    splitting: true,
    format: "esm",
    outdir: root,
    write: false,
    metafile: true,
  } as const;
  const { metafile } = await build({ ...settings, stdin, alias, external });
  const { outputs } = metafile;
  const loaded = (file: string): string[] => {
    const now = outputs[file]?.imports.filter(({ kind }) => kind === "import-statement") ?? [];
    return [file, ...now.flatMap(({ path }) => loaded(path))];
  };
  const entry = Object.keys(outputs).find((file) => outputs[file].entryPoint)!;
  expect(loaded(entry).filter((file) => /^(node:|webgpu|@sparticuz)/.test(file))).toEqual([]);
});

test("blocks marked run do what the page says", async () => {
  const { compared, wrong } = await runBlocks(examples.filter(({ run }) => run));
  expect(wrong).toEqual([]);
  expect(compared).toBeGreaterThan(25);
});
