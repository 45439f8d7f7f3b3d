// What is kept between runs and visits, and machines and pages that may keep nothing.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import type { AdapterInfo } from "../../src/gpu/adapter.ts";
import { loadChoices, saveChoices } from "../../src/gpu/choices.ts";
import { readKept, writeKept } from "../../src/gpu/hostBrowser.ts";
import { root } from "../docs/blocks.ts";

const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
afterEach(() => {
  vi.unstubAllEnvs();
  if (before) Object.defineProperty(globalThis, "localStorage", before);
  else Reflect.deleteProperty(globalThis, "localStorage");
});

const storage = (get: () => unknown) => Object.defineProperty(globalThis, "localStorage", { get, configurable: true });

test("a page keeps texts under their names", async () => {
  const kept = new Map<string, string>();
  storage(() => ({
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (k: string, v: string) => kept.set(k, v),
  }));
  expect(await readKept("choices")).toBe(null);
  await writeKept("choices", "fast");
  expect(await readKept("choices")).toBe("fast");
});

test("a page whose storage is blocked or absent finds nothing there", async () => {
  const blocked = () => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  };
  for (const get of [blocked, () => undefined]) {
    storage(get);
    expect(await readKept("choices")).toBe(null);
  }
});

test("choices of kernels hold for the run where the cache folder cannot be written", async () => {
  const file = join(root, "package.json"); // a file where a folder belongs
  vi.stubEnv("XDG_CACHE_HOME", file);
  const text = readFileSync(file, "utf8");
  const info = { name: "test", driver: "none" } as AdapterInfo;
  const entries = new Map([["key", { choice: 1, ms: 1, ruleMs: 2 }]]);
  await saveChoices(info, { entries, version: 1 });
  expect((await loadChoices(info)).entries.size).toBe(0);
  expect(readFileSync(file, "utf8")).toBe(text);
});
