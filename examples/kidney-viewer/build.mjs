// Makes the page: one folder of plain files that any server can host.
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const STAGES = ["coarse", "kidney", "masses", "tumor"];

/** Builds the page into `folder`, with the networks of the run folder `run`. Throws an Error that says what `run` lacks. */
export async function buildPage(folder, run = join(here, "model")) {
  mkdirSync(folder, { recursive: true });
  for (const file of ["index.html", "style.css", "icon.svg"]) cpSync(join(here, file), join(folder, file));
  copyModel(run, join(folder, "model"));
  await build({
    entryPoints: [join(here, "main.ts"), join(here, "worker.ts")],
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
  });
}

function copyModel(run, folder) {
  if (!existsSync(join(run, "run.json")))
    throw new Error(`${run}: must be the folder of a trained run, found no run.json`);
  mkdirSync(folder, { recursive: true });
  cpSync(join(run, "run.json"), join(folder, "run.json"));
  for (const file of STAGES.map((stage) => join("checkpoints", stage, "best.safetensors")))
    if (existsSync(join(run, file))) cpSync(join(run, file), join(folder, file));
}
