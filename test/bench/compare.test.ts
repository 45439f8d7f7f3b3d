// The comparison with other libraries, without running any: ratios, goals, what is said about missing peers, the requests.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { expect, test } from "vitest";
import { missingPeers, parsePeers } from "../../bench/peer.ts";
import { CASES, TRAINING } from "../../bench/peers/cases.ts";
import { batchOf, uniform } from "../../bench/peers/shared.mjs";
import { median, ratioOf, reachOf, relativeDifference, TRAINING_STEP } from "../../bench/reach.ts";

test("ratios are taken round by round", () => {
  // The second round ran on a machine twice as slow: the ratio does not notice.
  expect(ratioOf([10, 40, 18], [2, 4, 3])).toEqual({ median: 6, min: 5, max: 10 });
  expect(ratioOf([10, null], [2, 1])).toEqual({ median: 5, min: 5, max: 5 });
  expect(ratioOf([10, null], [null, 1])).toBeNull();
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

const ratio = (value: number) => ({ median: value, min: value, max: value });

test("a goal is reached when the lowest ratio of its cases reaches it", () => {
  const rows = {
    "conv c2 dw": { tfjs: ratio(40), jax: ratio(5) },
    "conv c3 dw": { tfjs: ratio(10), jax: ratio(5) },
    "conv c6 dw": { tfjs: null, jax: ratio(20) },
  };
  expect(reachOf(rows)).toEqual([
    {
      ...{ what: "convolution weight gradient", peer: "tfjs", factor: 20, lowest: 10, at: "conv c3 dw" },
      ...{ geometricMean: expect.closeTo(20, 9), cases: 2, met: false },
    },
    {
      ...{ what: "convolution weight gradient", peer: "jax", factor: 5, lowest: 5, at: "conv c2 dw" },
      ...{ geometricMean: expect.closeTo(500 ** (1 / 3), 9), cases: 3, met: true },
    },
  ]);
});

test("every case belongs to one goal, and each goal names its factors", () => {
  const names = [...CASES.map((c) => c.name), TRAINING_STEP];
  const all = Object.fromEntries(
    names.map((n) => [n, { tfjs: ratio(7), jax: ratio(7), "tfjs-wasm": ratio(7), pytorch: ratio(7) }]),
  );
  expect(reachOf(all).map(({ what, peer, factor, cases }) => `${what} ${peer} ${factor} ${cases}`)).toEqual([
    "convolution forward tfjs 5 5",
    "convolution forward jax 5 5",
    "convolution input gradient tfjs 5 5",
    "convolution input gradient jax 5 5",
    "convolution weight gradient tfjs 20 5",
    "convolution weight gradient jax 5 5",
    "batch norm forward, backward tfjs 10 2",
    "batch norm forward, backward jax 2 2",
    "training step tfjs 8 1",
    "training step jax 4 1",
    "training step tfjs-wasm 2.5 1",
  ]);
});

test("results that differ are seen, also when some are missing or NaN", () => {
  expect(relativeDifference([1.0001, 2], [1, 2])).toBeCloseTo(1e-4, 9);
  expect(relativeDifference([1], [1, 2])).toBe(Infinity);
  expect(relativeDifference([NaN, 2], [1, 2])).toBe(Infinity);
});

test("the peers asked for are checked, and a missing one is named with the command that installs it", () => {
  expect(parsePeers("tfjs, jax,tfjs")).toEqual(["tfjs", "jax"]);
  expect(() => parsePeers("tfjs,onnx")).toThrow("--peers: takes tfjs, tfjs-wasm, jax, pytorch, found onnx");
  const onlyTfjs = (name: string) => name.startsWith("@tensorflow/");
  expect(missingPeers(["tfjs", "tfjs-wasm"], onlyTfjs)).toBeNull();
  expect(missingPeers(["tfjs", "jax"], onlyTfjs)).toBe(
    "jax must be installed (apart from the project); run: npm install --prefix bench/peers",
  );
  expect(missingPeers(["pytorch"], onlyTfjs, () => false)).toMatch(
    /^pytorch: \S+ must import torch and numpy; install them or set PYTHON to one that can$/,
  );
});

test("the network has the parameters and the batch is the one that all languages make", () => {
  const count = TRAINING.parameters.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b), 0);
  expect(count).toBe(2030817);
  // As bench/peers/torch_peer.py makes them with NumPy.
  expect([...uniform("head.weight", 3, 0.25)]).toEqual([
    0.16259907186031342, 0.08685483783483505, -0.14129987359046936,
  ]);
  const { x, t } = batchOf(TRAINING);
  expect(t.reduce((sum, v) => sum + v, 0)).toBe(6410);
  expect([x[0], x[64 * 128 + 64]]).toEqual([-0.6502655148506165, 0.9867119789123535]);
});

test("a peer answers each line, and a failure by its message; it ends with stdin", async () => {
  const shared = join(import.meta.dirname, "../../bench/peers/shared.mjs");
  const source = `import { serve } from ${JSON.stringify(shared)};
    const prepare = ({ name }) => {
      if (name === "bad") throw new Error("no such case\\nat all");
      return { sample: async (n) => 20 * n, outputs: async () => [[3], [4]] };
    };
    serve({ info: { version: "test", adapter: "none" }, prepare, train: async () => ({ ms: 1 }) });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["pipe", "pipe", "inherit"] });
  for (const name of ["good", "bad"]) child.stdin.write(`${JSON.stringify({ do: "case", case: { name } })}\n`);
  const lines: unknown[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(JSON.parse(line));
    if (lines.length === 3) child.stdin.end();
  }
  expect(lines).toEqual([
    { ready: true, version: "test", adapter: "none" },
    { name: "good", ms: 20, min: 20, max: 20, samples: 9, repeats: 2, norm: 5 },
    { error: "no such case" },
  ]);
});
