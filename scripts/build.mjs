// Bundles the library and its command lines into dist/ (a fraction of a second). Dependencies stay outside the bundle.
import { build } from "esbuild";
import { rmSync } from "node:fs";
import { join } from "node:path";
import "./gen.mjs";

const root = join(import.meta.dirname, "..");
process.chdir(root);
if (process.argv.includes("--clean")) rmSync("dist", { recursive: true, force: true });
const entryPoints = {
  index: "src/index.ts",
  onnx: "src/onnx/index.ts",
  kits: "src/kits/index.ts",
  translator: "src/gpu/translator.ts",
  "train-kits": "src/kits/main.ts",
  "doctor-kits": "src/kits/doctorMain.ts",
  "export-kits": "src/kits/exportMain.ts",
  bench: "bench/main.ts",
  "bench-models": "bench/models.ts",
  soak: "test/soak/main.ts",
  fuzz: "test/fuzz/main.ts",
};
await build({
  entryPoints,
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
