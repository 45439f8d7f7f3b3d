// Builds dist/ (a fraction of a second): the library file by file, so that bundlers of users drop what they do not use, and
// the command lines, each one file at the top that imports from there. Dependencies stay outside.
import { build } from "esbuild";
import { readFileSync, rmSync } from "node:fs";
import { dirname, join, relative as between, resolve } from "node:path";
import "./gen.mjs";

const root = join(import.meta.dirname, "..");
process.chdir(root);
if (process.argv.includes("--clean")) rmSync("dist", { recursive: true, force: true });

const commands = {
  "train-kits": "src/kits/trainMain.ts",
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

/** Windows has other slashes; imports do not. */
const relative = (from, to) => between(from, to).replaceAll("\\", "/");

/** dist/gpu/host.js is built from src/gpu/host.ts. */
const sourceOf = (built) => built.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts");

/** What package.json names, and the program that nodeTranslate.ts starts. */
function entries() {
  const { exports, browser } = JSON.parse(readFileSync("package.json", "utf8"));
  const exported = Object.values(exports).flatMap((entry) => [entry.default, entry.browser]);
  const built = [...exported, ...Object.values(browser)].filter((file) => file?.startsWith("./dist/"));
  return [...built.map(sourceOf), "src/gpu/translator.ts"];
}

/** The source files that `entryPoints` import, themselves included. */
async function filesOf(entryPoints) {
  const options = { bundle: true, packages: "external", platform: "node", format: "esm", outdir: "dist", write: false };
  const { metafile } = await build({ entryPoints, ...options, metafile: true });
  return Object.keys(metafile.inputs).filter((file) => file.startsWith("src/"));
}

const programs = Object.values(commands);
const library = (await filesOf([...entries(), ...programs])).filter((file) => !programs.includes(file));

/** The folder in dist/ of the output that a source file becomes part of. */
const folderOf = (file) => (library.includes(file) ? dirname(relative("src", file)) : ".");

/** Imports of library files stay imports, of the file's place in dist/. */
const stayFiles = {
  name: "library files stay files",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ path, importer, resolveDir, kind }) => {
      const file = relative(root, resolve(resolveDir, path));
      if (kind === "entry-point" || !library.includes(file)) return null;
      const place = relative(folderOf(relative(root, importer)), relative("src", file).replace(/\.ts$/, ".js"));
      return { path: place.startsWith(".") ? place : `./${place}`, external: true };
    }),
};

await build({
  entryPoints: {
    ...Object.fromEntries(library.map((file) => [relative("src", file).replace(/\.ts$/, ""), file])),
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
