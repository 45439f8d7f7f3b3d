// What the machine gives: a GPU, text kept between runs, other processes. In Node it comes from the files named node*.ts,
// which only Node loads; elsewhere from hostBrowser.ts.

import type { FoundAdapter } from "./adapter.ts";
import * as browser from "./hostBrowser.ts";
import type { Shader } from "./translator.ts";

const node = typeof process !== "undefined" && typeof process.versions?.node === "string";

/** True in Node, without a browser's WebGPU. */
export function inNode(): boolean {
  return node && !(globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
}

/** The adapter of a name, the best without one, null if there is none. */
export async function findAdapterHere(name?: string): Promise<FoundAdapter | null> {
  return inNode() ? (await import("./node.ts")).findInNode(name) : browser.findAdapterHere(name);
}

/** The text kept under a name between runs, null if there is none. */
export async function readKept(name: string): Promise<string | null> {
  return node ? (await import("./nodeCache.ts")).readCached(name) : browser.readKept(name);
}

/** Keeps a text under a name between runs. */
export async function writeKept(name: string, text: string): Promise<void> {
  return node ? (await import("./nodeCache.ts")).writeCached(name, text) : browser.writeKept(name, text);
}

/** See nodeTranslate.ts. */
export async function translate(shaders: readonly Shader[]): Promise<number> {
  return (await import("./nodeTranslate.ts")).translate(shaders);
}
