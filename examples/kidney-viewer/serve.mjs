// npm run demo:web: builds the page and serves it on this machine.
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { context } from "esbuild";
import "../../scripts/gen.mjs";
import { buildPage } from "./build.mjs";

const port = (text) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535)
    throw new InvalidArgumentError("must be from 0 to 65535.");
  return value;
};

const {
  run,
  port: wanted,
  build,
} = new Command("demo:web")
  .description("Serves a page that segments kidneys in CT on your GPU, in the browser.")
  .option("--run <folder>", "the networks of this run of train:kits; default: the small ones that come with the page")
  .option("--port <n>", "port on 127.0.0.1; default: 8000, or the next that is free", port)
  .option("--build <folder>", "only write the page into this folder, to be hosted anywhere with https")
  .parse()
  .opts();

const folder = build ? resolve(build) : join(import.meta.dirname, "../../dist/kidney-viewer");
if (!build) rmSync(folder, { recursive: true, force: true });
try {
  await buildPage(folder, run && resolve(run));
} catch (error) {
  console.error(`demo:web: ${error.message}`);
  process.exit(1);
}
if (build) console.log(folder);
else {
  const server = await context({});
  const { port } = await server.serve({ servedir: folder, host: "127.0.0.1", ...(wanted && { port: wanted }) });
  console.log(`http://127.0.0.1:${port}/  (Ctrl+C ends it)`);
}
