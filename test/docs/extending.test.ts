// What docs/contributing.md says is true: its changes are made in a copy of the repository, which is compiled, and its tests are run.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blocksOf, root, type Block } from "./blocks.ts";
import { findings } from "./typecheck.ts";

const run = promisify(execFile);
const copy = mkdtempSync(join(tmpdir(), "wgrad-extended-"));
const changes = blocksOf("docs/contributing.md").filter(
  (block): block is Block & { file: string } => block.file !== null,
);
const files = [...new Set(changes.map(({ file }) => file))];
const textOf = (file: string): string => readFileSync(join(copy, file), "utf8");

/** `text` with a diff's hunks applied: lines that begin with + are new, those with - go, the rest shows the place. */
function applied(text: string, { file, code }: { file: string; code: string }): string {
  for (const hunk of code.split(/^@@\n/m)) {
    const lines = hunk.split("\n").slice(0, -1);
    const side = (drop: string): string =>
      lines
        .filter((l) => !l.startsWith(drop))
        .map((l) => `${l.slice(1)}\n`)
        .join("");
    const [before, after] = [side("+"), side("-")];
    if (text.split(before).length !== 2)
      throw new Error(`docs/contributing.md: ${file} must hold this once:\n${before}`);
    text = text.replace(before, () => after);
  }
  return text;
}

beforeAll(async () => {
  for (const part of ["src", "wgsl", "scripts", "test", "package.json", "tsconfig.json", "vitest.config.ts"])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"), "junction");
  for (const block of changes) {
    const path = join(copy, block.file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, block.language === "diff" ? applied(textOf(block.file), block) : block.code);
  }
  await run(process.execPath, ["scripts/gen.mjs"], { cwd: copy });
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

test("the page shows every kind of extension", () => {
  for (const folder of ["wgsl", "src/kernels", "src/nn", "src/nn/models", "src/kits/datasets"])
    expect(files.map(dirname), folder).toContain(folder);
});

test("the changed repository compiles", () => {
  const sources = [...files.filter((f) => f.endsWith(".ts")), "src/gpu/kernels.gen.ts"];
  expect(findings(new Map(sources.map((file) => [file, textOf(file)])))).toEqual([]);
});

test("the tests of the page pass", async () => {
  const tests = files.filter((file) => file.endsWith(".test.ts"));
  const names = "softsign|cumsum|LayerScale|ContextNet|clinic";
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", "--maxWorkers=1", "--no-isolate", "--reporter=json", "-t", names, ...tests];
  const { stdout } = await run(process.execPath, args, { cwd: copy }).catch((error: { stdout: string }) => error);
  const { testResults } = JSON.parse(stdout.slice(stdout.indexOf("{"))) as Report;
  const results = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map((r) => ({ file: name, ...r })),
  );
  expect(results.filter(({ status }) => status === "failed").flatMap((r) => r.failureMessages)).toEqual([]);
  const passed = new Set(results.filter(({ status }) => status === "passed").map(({ file }) => file));
  expect([...passed].sort()).toEqual(tests.map((file) => join(copy, file)).sort());
});

/** What vitest says with --reporter=json. */
interface Report {
  testResults: { name: string; assertionResults: { status: string; failureMessages: string[] }[] }[];
}
