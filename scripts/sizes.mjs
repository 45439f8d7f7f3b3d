// Prints the lines of every source file and kernel, longest first: size is a feature.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const files = ["src", "wgsl", "bench"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true }).map((f) => join(folder, f)),
);
const rows = files
  .filter((f) => /\.(ts|wgsl)$/.test(f) && !f.endsWith(".gen.ts") && !f.includes("node_modules"))
  .map((file) => ({ file, lines: readFileSync(join(root, file), "utf8").split("\n").length - 1 }))
  .sort((a, b) => b.lines - a.lines);
for (const { file, lines } of rows)
  console.log(String(lines).padStart(6), file, lines > (file.endsWith(".wgsl") ? 200 : 400) ? " (long)" : "");
console.log(String(rows.reduce((sum, r) => sum + r.lines, 0)).padStart(6), "total in", rows.length, "files");
