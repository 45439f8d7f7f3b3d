// lavapipe translates a shader into machine code when it first runs, one after another, and keeps the code on disk. Other
// processes translate side by side, so that this one finds the code there (and does not hold the translator's memory).

import { debugLog } from "../debug.ts";
import { hashString } from "../random.ts";
import { inNode } from "./adapter.ts";
import type { Gpu } from "./device.ts";
import { kernelText, ownKernels, specialise } from "./kernel.ts";
import type { KernelCall } from "./program.ts";
import type { Shader } from "./translator.ts";

/** Fewer shaders are not worth starting processes for. */
const FEW = 8;

/**
 * Has the shaders of `calls` that are new on this machine translated by all cores, where the driver would use one. What
 * fails here is no error: the driver then translates when the shader runs.
 */
export async function precompile(g: Gpu, calls: readonly KernelCall[]): Promise<void> {
  if (!inNode() || !/llvmpipe/.test(g.info.name) || process.env.MESA_SHADER_CACHE_DISABLE) return;
  const wanted = shadersOf(g, calls); // before anything is awaited: those missing are compiled meanwhile
  const { readCached, writeCached } = await import("./nodeCache.ts");
  const cache = `${g.info.name} ${g.info.driver} ${process.env.MESA_SHADER_CACHE_DIR ?? ""}`;
  const file = `translated-${hashString(cache).toString(16)}`;
  const done = new Set(readCached(file)?.split("\n"));
  const shaders = wanted.filter(({ hash }) => !done.has(hash));
  if (shaders.length < FEW) return;
  const start = performance.now();
  try {
    const { translate } = await import("./nodeTranslate.ts");
    const count = await translate(inOrder(shaders));
    writeCached(file, [...done, ...shaders.map(({ hash }) => hash)].join("\n"));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    debugLog(1, `${shaders.length} shaders translated by ${count} processes in ${seconds} s`);
  } catch (error) {
    debugLog(1, `shaders are translated when they run: ${(error as Error).message}`);
  }
}

interface Wanted {
  readonly shader: Shader;
  /** Of what its text is made from: what the list of those done holds. */
  readonly hash: string;
}

/** Those not yet in use here. */
function shadersOf(g: Gpu, calls: readonly KernelCall[]): Wanted[] {
  const missing = calls.filter(({ kernel, key }) => !ownKernels.has(kernel) && !g.pipelines.get(key)); // others know none of them
  const distinct = new Map(missing.map((call) => [call.key, call]));
  return [...distinct.values()].map(({ kernel, key, consts, immediates }) => ({
    shader: { kernel, key, consts, immediates: immediates?.length ?? 0 },
    hash: hashString(`${key}\n${kernelText(kernel)}`).toString(16),
  }));
}

/** The longest first: what is begun last should not take long. */
function inOrder(wanted: readonly Wanted[]): Shader[] {
  const sized = wanted.map(({ shader }) => ({ shader, size: specialise(shader.kernel, shader.consts).length }));
  return sized.sort((a, b) => b.size - a.size).map(({ shader }) => shader);
}
