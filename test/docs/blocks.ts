// The code blocks of the pages in docs/, and running those that say `run`.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { transformSync } from "esbuild";

export const root = join(import.meta.dirname, "../..");

/** One fenced block: ```ts run gives language "ts" and run true. */
export interface Block {
  /** docs/page.md */
  readonly page: string;
  /** Of its first line of code, from 1. */
  readonly line: number;
  readonly language: string;
  readonly run: boolean;
  /** The path that stands by itself above the block, for a file of the repository. */
  readonly file: string | null;
  readonly code: string;
}

/** README.md and the pages in docs/, by path from the root. Generated and decision pages hold no examples. */
export function pages(): string[] {
  const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  return ["README.md", ...docs.map((name) => `docs/${name}`)];
}

export function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/(?:^`([\w./]+)`\n\n)?^```(\w+)([^\n]*)\n(.*?)^```$/gms)].map((found) => {
    const [whole, file = null, language, info, code] = found;
    const line = text.slice(0, found.index + whole.lastIndexOf(code)).split("\n").length;
    return { page, line, language, run: info.trim() === "run", file, code };
  });
}

/** `console.log(x); // 3` as a check that 3 is what it prints. */
function checked({ page, line, code }: Block): string {
  const lines = code.split("\n").map((text, i) => {
    const found = /^(\s*)console\.log\((.*)\); \/\/ (.*)$/.exec(text);
    return found ? `${found[1]}printed("${page}:${line + i}", ${JSON.stringify(found[3])}, ${found[2]});` : text;
  });
  return lines.join("\n");
}

const RUNNER = `
import { format } from "node:util";
const wrong = [];
let compared = 0;
globalThis.printed = (place, expected, ...values) => {
  compared++;
  const found = format(...values);
  if (found !== expected) wrong.push(place + ": the page says " + expected + ", the code " + found);
};
for (const file of process.argv.slice(2)) {
  try {
    await import(file);
  } catch (error) {
    wrong.push(file + " " + error.stack);
  }
}
(await import("wgrad")).close();
process.stdout.write(JSON.stringify({ compared, wrong }));
`;

/**
 * Runs blocks one after another, each a module of its own, in a folder that has the built package installed. Returns
 * what is wrong: errors, and lines whose output is not what the comment behind them says; and how many lines were compared.
 */
export async function runBlocks(blocks: readonly Block[]): Promise<{ compared: number; wrong: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-docs-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(root, join(folder, "node_modules/wgrad"), "junction");
    const files = blocks.map((block) => {
      const file = join(folder, `${block.page.replace(/\W/g, "-")}-${block.line}.mjs`);
      writeFileSync(file, transformSync(checked(block), { loader: "ts" }).code);
      return file;
    });
    writeFileSync(join(folder, "run.mjs"), RUNNER);
    const { stdout } = await promisify(execFile)(process.execPath, ["run.mjs", ...files], { cwd: folder });
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as { compared: number; wrong: string[] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
