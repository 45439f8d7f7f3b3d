// A few hundred of the inputs of `npm run fuzz`, and that its watchers see what they watch for.

import { join } from "node:path";
import { expect, test } from "vitest";
import { WgradError } from "../../src/errors.ts";
import type { Format } from "./format.ts";
import { formats } from "./formats.ts";
import { run } from "./run.ts";
import { work } from "./work.ts";

const program = join(import.meta.dirname, "../../dist/fuzz.js");

test.each(formats.map(({ name, inputs }) => [name, inputs] as const))("%s", async (format, inputs) => {
  const count = inputs <= 500 ? 20 : 150; // those that are few are slow
  const { faults, accepted, refused } = await run(program, { format, seed: 2, first: 0, count });
  expect(faults).toEqual([]);
  expect(accepted + refused).toBe(count);
});

/** Faults of a format whose reader does `read`. */
async function faultsOf(read: () => unknown, judge: () => void = () => {}): Promise<string> {
  const format: Format = { name: "test", inputs: 1, prepare: async () => () => ({ read, judge }) };
  const { faults } = await work(format, "", { seed: 1, first: 0, count: 1 }, () => {});
  return faults.map(({ what }) => what).join();
}

test("errors that are not the library's, wrong results, long messages and large arrays are faults", async () => {
  expect(await faultsOf(() => JSON.parse("{"))).toMatch(/^untyped error: SyntaxError/);
  const refuse = (text: string) => () => {
    throw new WgradError(text);
  };
  expect(await faultsOf(refuse("short"))).toBe("");
  expect(await faultsOf(refuse("long".repeat(1000)))).toBe("a message of 4000 characters");
  expect(await faultsOf(() => 1, refuse("not 2"))).toMatch(/^accepted a wrong result: WgradError: not 2/);
  expect(await faultsOf(() => new Float64Array(2 ** 23).length)).toBe(`an array of ${2 ** 26} bytes`);
});
