// Processes that translate shaders for this one (see precompile.ts). Only loaded in Node.

import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { GpuError } from "../errors.ts";
import type { Shader } from "./translator.ts";

const MOST_PROCESSES = 8;

/**
 * Has `shaders` translated, in this order, by as many processes as there are cores; returns how many. Throws GpuError
 * where a process ends early, or where this file is part of a bundle or was not built.
 */
export async function translate(shaders: readonly Shader[]): Promise<number> {
  const program = translatorFile();
  const count = Math.min(availableParallelism(), MOST_PROCESSES);
  if (count < 2) throw new GpuError("there is one core");
  const queue = [...shaders];
  await Promise.all(Array.from({ length: count }, () => translateIn(program, queue)));
  return count;
}

/** The built translator. In a user's bundle a file of that name would be the user's. */
function translatorFile(): string {
  const here = import.meta.url;
  if (!here.endsWith("/nodeTranslate.js")) throw new GpuError("the translator is not beside this file");
  return fileURLToPath(new URL("./translator.js", here));
}

/** One process that takes shaders from the front of `queue` until there are none. */
function translateIn(program: string, queue: Shader[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, WGRAD_ADAPTER: "lavapipe" };
    const child = fork(program, { stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: [], env });
    child.on("message", () => {
      const shader = queue.shift();
      if (shader) child.send(shader);
      else child.disconnect();
    });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new GpuError(`a translator ended with code ${code}`))));
  });
}
