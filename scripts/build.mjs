// Builds dist/ (a fraction of a second): the library file by file, so that bundlers of users drop what they do not use, and
// the command lines, each one file at the top that imports from there. Dependencies stay outside.
import { build } from "esbuild";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import "./gen.mjs";

const root = join(import.meta.dirname, "..");
process.chdir(root);
if (process.argv.includes("--clean")) rmSync("dist", { recursive: true, force: true });

const commands = {
  "train-kits": "src/kits/main.ts",
  "predict-kits": "src/kits/predictMain.ts",
  "doctor-kits": "src/kits/doctorMain.ts",
  "export-kits": "src/kits/exportMain.ts",
  "dashboard-kits": "src/kits/dashboardMain.ts",
  "download-kits": "src/kits/downloadMain.ts",
  "convert-kits": "src/kits/convertMain.ts",
  "evaluate-kits": "src/kits/evaluateMain.ts",
};
/** Not in the package. */
const development = {
  bench: "bench/main.ts",
  "bench-models": "bench/models.ts",
  soak: "test/soak/main.ts",
  fuzz: "test/fuzz/main.ts",
};
/** Part of a page: see dashboardPage.mjs. */
const page = join("kits", "dashboard", "page");
const sources = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
const library = sources.filter((f) => !f.startsWith(page + sep));
const modules = library.filter((f) => !Object.values(commands).includes(join("src", f)));

/** The folder in dist/ of the output that a source file becomes part of. */
const folderOf = (file) => (modules.includes(relative("src", file)) ? dirname(relative("src", file)) : ".");

/** Imports of library files stay imports, of the file's place in dist/. */
const stayFiles = {
  name: "library files stay files",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ path, importer, resolveDir, kind }) => {
      const file = relative("src", resolve(resolveDir, path));
      if (kind === "entry-point" || !modules.includes(file)) return null;
      const place = relative(folderOf(relative(root, importer)), file.replace(/\.ts$/, ".js"));
      return { path: place.startsWith(".") ? place : `./${place}`, external: true };
    }),
};

await build({
  entryPoints: {
    ...Object.fromEntries(modules.map((f) => [f.replace(/\.ts$/, ""), join("src", f)])),
    ...commands,
    ...development,
  },
  outdir: "dist",
  bundle: true,
  format: "esm",
  platform: "node",
  target: "es2023",
  packages: "external",
  plugins: [stayFiles],
  logLevel: "warning",
});
