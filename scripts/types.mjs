// Writes the declarations of what package.json exports into dist/, beside the built files (10 s). tsc writes one per source
// file; those that no exported one refers to are left out, and imports get the endings of files that exist.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";

const root = join(import.meta.dirname, "..");
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const all = mkdtempSync(join(tmpdir(), "wgrad-types-"));
const IMPORT = /(?<=\b(?:from |import\()")(\.[^"]+)\.ts(?=")/g;
const written = new Set();

function write(file) {
  if (written.has(file)) return;
  written.add(file);
  const text = readFileSync(join(all, `${file}.d.ts`), "utf8");
  const target = join(root, "dist", `${file}.d.ts`);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text.replace(IMPORT, "$1.js"));
  for (const [, path] of text.matchAll(IMPORT)) write(join(dirname(file), path));
}

try {
  execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.types.json"), "--outDir", all], { stdio: "inherit" });
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const { types } of Object.values(exports).filter(({ types }) => types)) {
    const entry = join(root, types);
    write(relative("dist", types).replace(".d.ts", ""));
    writeFileSync(entry, `/// <reference types="@webgpu/types" />\n${readFileSync(entry, "utf8")}`);
  }
} finally {
  rmSync(all, { recursive: true });
}
