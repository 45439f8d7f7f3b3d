// npm run test:package: the package as users get it. Packs it, installs the tarball in an empty folder and has user.ts run in
// plain Node, compile with full types, and be bundled for Node and for browsers, in whose pages it trains, too. Needs the npm
// registry or npm's cache.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, transformSync } from "esbuild";
import { build as viteBuild } from "vite";
import { nodeModulesIn } from "./nodeModules.mjs";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "wgrad-package-"));
const user = join(folder, "user.ts");

async function step(name, work) {
  const start = performance.now();
  const note = (await work()) ?? "";
  console.log(`${name.padEnd(52)} ${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${note}`);
}

function run(command, args, options = {}) {
  return execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });
}

function must(holds, what) {
  if (!holds) throw new Error(what);
}

/** The losses of the newest program. */
let trained = [];

/**
 * Runs a program made of user.ts; its losses must fall. On lavapipe new shaders are translated by other processes where
 * wgrad is a package, and when they run where it is part of a bundle (DEBUG=1 tells).
 */
function trains(file, { bundled = false } = {}) {
  const caches = mkdtempSync(join(folder, "cache-"));
  const env = { ...process.env, DEBUG: "1", XDG_CACHE_HOME: caches, MESA_SHADER_CACHE_DIR: caches };
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: folder, encoding: "utf8", env });
  must(status === 0, stderr);
  const losses = (trained = JSON.parse(stdout));
  must(losses.at(-1) < 0.8 * losses[0], `${file}: the loss does not fall: ${losses}`);
  const helped = /llvmpipe/.test(stderr) && availableParallelism() > 1;
  const translation = bundled ? /the translator is not beside/ : /\d+ shaders translated by \d+ processes/;
  must(!helped || translation.test(stderr), `${file}: ${stderr}`);
  return `loss ${losses[0].toFixed(3)} -> ${losses.at(-1).toFixed(3)}${helped ? `, ${translation.exec(stderr)[0]}` : ""}`;
}

/** What the page of `pageFolder` prints in a headless Chromium: its losses, which must be those of Node. */
async function trainsInPage(pageFolder, expected) {
  const { startChromium, serve } = await chromiumHarness();
  const browser = await startChromium();
  if (!browser) return "not run: there is no browser here that has WebGPU";
  const server = await serve(pageFolder);
  try {
    const page = await browser.newPage();
    const printed = new Promise((resolve, reject) => {
      page.on("console", (message) => message.type() === "log" && resolve(message.text()));
      page.on("pageerror", reject);
    });
    await page.goto(server.url);
    const losses = JSON.parse(await printed);
    const off = Math.max(...losses.map((loss, i) => Math.abs(loss - expected[i])));
    must(off < 1e-4, `losses in the page differ from Node's by ${off}: ${losses}`); // two drivers, two orders of sums
    return `loss ${losses[0].toFixed(3)} -> ${losses.at(-1).toFixed(3)}, off Node's by ${off.toExponential(1)}`;
  } finally {
    await server.close();
    await browser.close();
  }
}

/** test/web/chromium.ts as a module that Node runs. */
async function chromiumHarness() {
  const source = join(root, "test/web/chromium.ts");
  const outfile = join(root, "node_modules/.cache/wgrad-chromium.mjs");
  const place = {
    "import.meta.dirname": JSON.stringify(dirname(source)),
    "import.meta.url": JSON.stringify(pathToFileURL(source).href),
  };
  const form = { bundle: true, platform: "node", format: "esm", packages: "external", logLevel: "error" };
  await build({ entryPoints: [source], outfile, define: place, ...form });
  return import(pathToFileURL(outfile).href);
}

/** A folder with a page whose script is `file`. */
function pageOf(file) {
  const pageFolder = mkdtempSync(join(folder, "page-"));
  copyFileSync(file, join(pageFolder, "user.js"));
  writeFileSync(join(pageFolder, "index.html"), `<script type="module" src="./user.js"></script>`);
  return pageFolder;
}

function withoutNode(text) {
  must(nodeModulesIn(text).length === 0, `the bundle for browsers names ${nodeModulesIn(text)}`);
  return `${(text.length / 1000).toFixed(0)} KB, no Node module`;
}

const esbuildFor = (platform) => {
  const outfile = join(folder, `esbuild-${platform}.mjs`);
  const external = platform === "node" ? ["webgpu"] : [];
  const options = { entryPoints: [user], bundle: true, format: "esm", target: "es2023", logLevel: "error" };
  return build({ ...options, platform, outfile, external }).then(() => outfile);
};

const viteFor = async (platform) => {
  const outDir = join(folder, `vite-${platform}`);
  const node = platform === "node" && { ssr: { noExternal: ["wgrad"], external: ["webgpu"] } };
  const input = platform === "node" ? user : join(folder, "index.html");
  const options = { outDir, target: "esnext", ssr: platform === "node", rolldownOptions: { input } };
  await viteBuild({ root: folder, configFile: false, logLevel: "error", build: options, ...node });
  const files = readdirSync(outDir, { recursive: true, encoding: "utf8" }).filter((f) => /\.m?js$/.test(f));
  return files.map((f) => join(outDir, f));
};

const read = (files) => files.map((f) => readFileSync(f, "utf8")).join("\n");

function compiles(file, options) {
  const strict = {
    strict: true,
    skipLibCheck: false,
    noEmit: true,
    exactOptionalPropertyTypes: true,
    target: "ES2023",
  };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...strict, ...options }, files: [file] }),
  );
  try {
    run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder]);
  } catch (error) {
    throw new Error(error.stdout);
  }
}

try {
  console.log(`in ${folder}`);
  await step("npm pack", () => {
    const [{ filename, files, size }] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder, root]));
    const foreign = files
      .map(({ path }) => path)
      .filter((f) => !/^(dist\/.*(\.js|\.d\.ts)|package\.json|README\.md|LICENSE)$/.test(f));
    must(foreign.length === 0, `not for users: ${foreign}`);
    must(size < 480_000, `the tarball has ${size} bytes`);
    return `${filename}: ${files.length} files, ${(size / 1000).toFixed(0)} KB`;
  });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  const source = readFileSync(join(root, "test/package/user.ts"), "utf8");
  writeFileSync(user, source);
  writeFileSync(join(folder, "user.mjs"), transformSync(source, { loader: "ts" }).code);
  writeFileSync(
    join(folder, "kits.ts"),
    `import { presets } from "wgrad/kits";\nexport const names: string[] = Object.keys(presets);\n`,
  );
  writeFileSync(join(folder, "layers.ts"), `import { Conv2d } from "wgrad/nn";\nexport class Mine extends Conv2d {}\n`);
  writeFileSync(join(folder, "index.html"), `<script type="module" src="./user.ts"></script>`);
  await step("npm install of the tarball in an empty folder", () => {
    const tarball = readdirSync(folder).find((f) => f.endsWith(".tgz"));
    run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", `./${tarball}`]);
  });
  await step("plain Node", () => trains("user.mjs"));
  await step("command line", () => must(/--preset/.test(run("npx", ["train-kits", "--help"])), "no help"));
  const bundler = { module: "preserve", moduleResolution: "bundler" };
  const node = { types: ["node"], typeRoots: [join(root, "node_modules/@types")] };
  await step("types: strict, nodenext", () => compiles("user.ts", { module: "nodenext" }));
  await step("types: wgrad/nn alone", () => compiles("layers.ts", { module: "nodenext" }));
  await step("types: strict, bundler", () => compiles("user.ts", bundler));
  await step("types: wgrad/kits with @types/node, nodenext", () =>
    compiles("kits.ts", { module: "nodenext", ...node }),
  );
  await step("types: wgrad/kits with @types/node, bundler", () => compiles("kits.ts", { ...bundler, ...node }));
  await step("esbuild for Node", async () => trains(await esbuildFor("node"), { bundled: true }));
  await step("Vite for Node", async () => trains((await viteFor("node"))[0], { bundled: true }));
  await step("esbuild for browsers", async () => withoutNode(read([await esbuildFor("browser")])));
  await step("Vite for browsers", async () => withoutNode(read(await viteFor("browser"))));
  await step("the page of esbuild in Chromium", () =>
    trainsInPage(pageOf(join(folder, "esbuild-browser.mjs")), trained),
  );
  await step("the page of Vite in Chromium", () => trainsInPage(join(folder, "vite-browser"), trained));
} catch (error) {
  console.error(`failed: ${error.message}`); // with the standard error of a program that failed
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}
