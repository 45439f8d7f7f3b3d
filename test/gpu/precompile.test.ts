// Shaders translated by other processes, with the built library: what is new is, what was is not, and results are the same.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const library = new URL("../../dist/index.js", import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), "wgrad-precompile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const program = `
import { close, compile, init } from ${JSON.stringify(library)};
import * as wgrad from ${JSON.stringify(library)};
const { name } = await init();
const functions = ["exp", "sigmoid", "tanh", "sqrt", "log", "relu", "abs", "neg", "square"];
const run = compile(({ x }) => functions.map((f) => wgrad[f](x)));
const outputs = await run({ x: { shape: [2], dtype: "f32", data: Float32Array.of(0.5, 2) } });
const values = [];
for (const y of outputs) values.push(...(await y.read()));
console.log(JSON.stringify({ name, values }));
close();
`;

function run(env: Record<string, string>): { name: string; values: number[]; log: string } {
  const caches = { MESA_SHADER_CACHE_DIR: join(folder, "mesa"), XDG_CACHE_HOME: join(folder, "cache") };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    env: { ...process.env, ...caches, DEBUG: "1", ...env },
  });
  expect(status, stderr).toBe(0);
  return { ...(JSON.parse(stdout) as { name: string; values: number[] }), log: stderr };
}

test("on lavapipe, new shaders are translated by other processes, once; other adapters need no such help", () => {
  const first = run({});
  const again = run({});
  const without = run({ MESA_SHADER_CACHE_DISABLE: "true" });
  expect(first.values).toHaveLength(18);
  expect(first.values[0]).toBeCloseTo(Math.exp(0.5), 5);
  expect(again.values).toEqual(first.values);
  expect(without.values).toEqual(first.values);
  const translated = /(\d+) shaders translated by \d+ processes/;
  const helped = /llvmpipe/.test(first.name) && !/there is one core/.test(first.log);
  expect(Number(translated.exec(first.log)?.[1] ?? 0)).toBe(helped ? 9 : 0);
  expect(again.log).not.toMatch(translated);
  expect(without.log).not.toMatch(translated);
});
