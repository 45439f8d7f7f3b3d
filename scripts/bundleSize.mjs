// npm run bundle:size: what pages download of the library as built in dist/, bundled for browsers, minified, and gzipped.
import { existsSync } from "node:fs";
import { builtinModules } from "node:module";
import { gzipSync } from "node:zlib";
import { join, resolve } from "node:path";
import { build } from "esbuild";

/** Programs by name, as a user writes them. */
export const programs = {
  "core and training of convolutions": `
    import { init, tensor, Rng, compile, backward, conv2d, relu, batchNorm, maxPool2d, interpolate, concat } from "wgrad";
    import { crossEntropy, optim } from "wgrad";
    export { init, tensor, Rng, compile, backward, conv2d, relu, batchNorm, maxPool2d, interpolate, concat, crossEntropy };
    export const Adam = optim.Adam;`,
  "the same with layers of wgrad/nn": `
    import { init, Rng, compile, backward, relu, maxPool2d, interpolate, concat, crossEntropy, optim } from "wgrad";
    import { Conv2d, BatchNorm, parameters } from "wgrad/nn";
    export { init, Rng, compile, backward, relu, maxPool2d, interpolate, concat, crossEntropy, Conv2d, BatchNorm, parameters };
    export const Adam = optim.Adam;`,
  "the whole library": `export * from "wgrad";`,
  "segmenting CT with wgrad/kits": `export { init } from "wgrad";
    export { openSegmenter, parseImage, encodeNifti } from "wgrad/kits";`,
};

/** The same in TF.js, where `npm install --prefix bench/peers` has installed it. */
const tfjs = {
  "TF.js: core, WebGPU": `
    import { setBackend, ready, tensor, variable, variableGrads, conv2d, relu, batchNorm, maxPool } from "@tensorflow/tfjs-core";
    import { concat, image, losses, train } from "@tensorflow/tfjs-core";
    import "@tensorflow/tfjs-backend-webgpu";
    export { setBackend, ready, tensor, variable, variableGrads, conv2d, relu, batchNorm, maxPool, concat, image, losses };
    export const adam = train.adam;`,
  "TF.js: core, layers, WebGPU": `
    import { sequential, layers } from "@tensorflow/tfjs-layers";
    import { train } from "@tensorflow/tfjs-core";
    import "@tensorflow/tfjs-backend-webgpu";
    export { sequential, layers };
    export const adam = train.adam;`,
  "TF.js: @tensorflow/tfjs, WebGPU": `
    import "@tensorflow/tfjs-backend-webgpu";
    export * as tf from "@tensorflow/tfjs";`,
};

const root = join(import.meta.dirname, "..");

/** The text of a program's bundle; packages are looked for from `resolveDir`. */
export async function bundle(contents, resolveDir = root, options = {}) {
  const form = { bundle: true, minify: true, format: "esm", platform: "browser", target: "es2023", write: false };
  form.tsconfigRaw = {}; // ours has "wgrad" for src/
  const { outputFiles } = await build({ stdin: { contents, resolveDir }, ...form, logLevel: "error", ...options });
  return outputFiles[0].text;
}

/** Bytes as a server sends them. */
export const gzipped = (text) => gzipSync(text, { level: 9 }).length;

const kb = (bytes) => `${(bytes / 1000).toFixed(1).padStart(7)} KB`;

function report(name, text) {
  console.log(`${name.padEnd(36)} ${kb(text.length)} ${kb(gzipped(text))}`);
}

async function main() {
  console.log(`${"".padEnd(36)}   minified    gzipped`);
  for (const [name, program] of Object.entries(programs)) report(name, await bundle(program));
  const peers = join(root, "bench/peers");
  if (!existsSync(join(peers, "node_modules/@tensorflow"))) return;
  const external = builtinModules; // behind tests whether this is Node
  for (const [name, program] of Object.entries(tfjs)) report(name, await bundle(program, peers, { external }));
}

if (resolve(process.argv[1]) === import.meta.filename) await main();
