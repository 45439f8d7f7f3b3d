// What a browser gives: its WebGPU, and local storage. Bundles for browsers hold this file in the place of host.ts (the
// field "browser" of package.json).

import { GpuError } from "../errors.ts";
import { describe, type FoundAdapter } from "./adapter.ts";

const here = globalThis as {
  navigator?: { gpu?: GPU };
  localStorage?: { getItem(key: string): string | null; setItem(key: string, value: string): void };
};

/** True in Node, without a browser's WebGPU. */
export function inNode(): boolean {
  return false;
}

/** The adapter of a name, the best without one, null if there is none. */
export async function findAdapterHere(name?: string): Promise<FoundAdapter | null> {
  const gpu = here.navigator?.gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!gpu || !adapter) return null;
  const info = describe(adapter, gpu);
  if (name && !`${info.name} ${info.vendor}`.toLowerCase().includes(name.toLowerCase())) return null;
  return { adapter, info, release: () => {} };
}

/** The text kept under a name between runs, null if there is none. */
export async function readKept(name: string): Promise<string | null> {
  try {
    return here.localStorage?.getItem(`wgrad ${name}`) ?? null;
  } catch {
    return null; // a page in a sandbox, or whose storage is blocked
  }
}

/** Keeps a text under a name between runs. */
export async function writeKept(name: string, text: string): Promise<void> {
  here.localStorage?.setItem(`wgrad ${name}`, text);
}

/** See nodeTranslate.ts. */
export async function translate(): Promise<number> {
  throw new GpuError("a browser has no other processes");
}
