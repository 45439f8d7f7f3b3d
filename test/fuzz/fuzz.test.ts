// A small part of the inputs of `npm run fuzz`, and that the watchers see what they watch for.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WgradError } from "../../src/errors.ts";
import { Rng } from "../../src/random.ts";
import type { Format } from "./format.ts";
import { formats } from "./formats.ts";
import { mutatedJsonFile } from "./mutateJson.ts";
import { run } from "./run.ts";
import { work } from "./work.ts";

const SLOW = 500; // formats with so few inputs take long for each

test("damaged files of every format end in a typed error or a right result", async () => {
  const count = (inputs: number) => (inputs <= SLOW ? 20 : 150);
  const jobs = formats.map(({ name, inputs }) => ({ format: name, seed: 2, first: 0, count: count(inputs) }));
  const tallies = await run(join(import.meta.dirname, "../../dist/fuzz.js"), jobs);
  expect(Object.fromEntries(tallies.map(({ faults }, i) => [jobs[i].format, faults]))).toEqual(
    Object.fromEntries(jobs.map(({ format }) => [format, []])),
  );
  expect(tallies.map(({ accepted, refused }) => accepted + refused)).toEqual(jobs.map((job) => job.count));
});

test("a damaged JSON file is a function of its seed and number alone, whatever was made before", () => {
  const value = { name: "case_00000", dims: [40, 512], ml: { kidney: 312.125, tumor: 20.5 } };
  const make = () => Array.from({ length: 3000 }, (_, n) => mutatedJsonFile(value, new Rng(1, `test ${n}`)));
  const [first, again] = [make(), make()];
  expect(first.flatMap((bytes, n) => (Buffer.compare(bytes, again[n]) === 0 ? [] : [n]))).toEqual([]);
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

test("a process that dies or hangs at an input is a fault with its number, and the rest is read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-fuzz-test-"));
  const program = join(folder, "dies.mjs");
  // Dies at input 5 of the first job, hangs at input 1 of the second.
  writeFileSync(
    program,
    `import { writeFileSync } from "node:fs";
     const { jobs, progress } = JSON.parse(process.argv[3]);
     for (const { format, first, count } of jobs) {
       for (let i = first; i < first + count; i++) {
         writeFileSync(progress, String(i));
         if (i === 5) process.abort();
         while (format === "hangs" && i === 1);
       }
       process.send({ accepted: count, refused: 0, faults: [], seconds: 0, largest: 0 });
     }
     process.disconnect();`,
  );
  const jobs = [
    { format: "dies", seed: 1, first: 0, count: 9 },
    { format: "hangs", seed: 1, first: 0, count: 3 },
  ];
  const tallies = await run(program, jobs, () => {}, 2);
  rmSync(folder, { recursive: true });
  expect(tallies.map(({ accepted, faults }) => [accepted, faults.map(({ input }) => input)])).toEqual([
    [3, [5]],
    [1, [1]],
  ]);
  expect(tallies[0].faults[0].what).toMatch(/^the process ended with SIGABRT/);
  expect(tallies[1].faults[0].what).toBe("hangs");
});
