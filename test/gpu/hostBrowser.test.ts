// What a page keeps between visits, and pages that may keep nothing.
import { afterEach, expect, test } from "vitest";
import { readKept, writeKept } from "../../src/gpu/hostBrowser.ts";

const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
afterEach(() => {
  if (before) Object.defineProperty(globalThis, "localStorage", before);
  else Reflect.deleteProperty(globalThis, "localStorage");
});

const storage = (get: () => unknown) => Object.defineProperty(globalThis, "localStorage", { get, configurable: true });

test("texts are kept under their names", async () => {
  const kept = new Map<string, string>();
  storage(() => ({
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (k: string, v: string) => kept.set(k, v),
  }));
  expect(await readKept("choices")).toBe(null);
  await writeKept("choices", "fast");
  expect(await readKept("choices")).toBe("fast");
});

test("a page whose storage is blocked, full or absent goes on without", async () => {
  const blocked = () => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  };
  const full = { getItem: () => null, setItem: () => blocked() };
  for (const get of [blocked, () => full, () => undefined]) {
    storage(get);
    await writeKept("choices", "fast");
    expect(await readKept("choices")).toBe(null);
  }
});
