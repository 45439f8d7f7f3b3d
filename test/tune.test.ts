// The autotuner: only right candidates win, what was measured is kept and used, and nothing happens unasked.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  Rng,
  backward,
  close,
  compile,
  conv2d,
  init,
  matmul,
  mul,
  randn,
  sum,
  tensor,
  tune,
  type Tensor,
} from "../src/index.ts";
import * as wgsl from "../src/gpu/kernels.gen.ts";
import { gpu } from "../src/gpu/device.ts";
import { sizeOf } from "../src/shape.ts";
import { pick, REORDERED, type Tunable } from "../src/tune.ts";

const before = { cache: process.env.XDG_CACHE_HOME, tune: process.env.WGRAD_TUNE };
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "wgrad-tune-"));
  process.env.XDG_CACHE_HOME = folder;
  delete process.env.WGRAD_TUNE;
});
beforeEach(() => init());
afterEach(() => close());
afterAll(() => {
  for (const [name, value] of [
    ["XDG_CACHE_HOME", before.cache],
    ["WGRAD_TUNE", before.tune],
  ] as const)
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  rmSync(folder, { recursive: true });
});

const file = () =>
  join(
    folder,
    "wgrad",
    readdirSync(join(folder, "wgrad")).find((f) => f.startsWith("tune-"))!,
  );

/** Three times x; a candidate says how much needless work it does, and what it adds to the result. */
interface Candidate {
  readonly waste: number;
  readonly wrong: number;
}

function tripling(name: string, candidates: readonly Candidate[]): Tunable<number, Candidate> {
  return {
    name,
    kernels: [wgsl.binary],
    key: (size) => String(size),
    candidates: () => candidates,
    tolerance: () => REORDERED,
    plain: () => ({ waste: 0, wrong: 0 }),
    inputs: (size) => [randn([size], new Rng(1))],
    run: ({ waste, wrong }, _, [x]) => {
      for (let i = 0; i < waste; i++) mul(x, 2);
      return mul(x, 3 + wrong);
    },
  };
}

const slow = { waste: 400, wrong: 0 };
const fast = { waste: 20, wrong: 0 };
const wrong = { waste: 0, wrong: 1e-3 };

describe("tune", () => {
  test("the fastest right candidate wins over the rule's, a wrong one never", async () => {
    const [op, other] = [tripling("a", [slow, wrong, fast]), tripling("b", [fast, wrong, slow])];
    expect([pick(op, 100), pick(other, 100)]).toEqual([slow, fast]);
    const lines: string[] = [];
    expect(await tune({ log: (line) => lines.push(line) })).toEqual({ measured: 2, changed: 1, left: 0 });
    expect(lines[0]).toMatch(/^a 100: \{"waste":20,"wrong":0\}, [\d.]+ times the rule's speed$/);
    expect(lines[1]).toBe('b 100: {"waste":20,"wrong":0}, the rule\'s');
    expect([pick(op, 100), pick(other, 100), pick(op, 200)]).toEqual([fast, fast, slow]); // 200 is not known
  });

  test("what was measured is there after a restart, unless WGRAD_TUNE is 0", async () => {
    const op = tripling("kept", [slow, fast]);
    pick(op, 64);
    await tune();
    close();
    await init();
    expect(pick(op, 64)).toEqual(fast);
    process.env.WGRAD_TUNE = "0";
    expect(pick(op, 64)).toEqual(slow);
    pick(op, 65);
    expect((await tune()).measured).toBe(0);
    close();
    await init();
    expect(gpu().choices.entries.size).toBe(0);
    delete process.env.WGRAD_TUNE;
  });

  test("a choice that is no candidate any more, and a file that is damaged, count as nothing", async () => {
    pick(tripling("gone", [slow, fast]), 8);
    await tune();
    expect(pick(tripling("gone", [slow, { waste: 1, wrong: 0 }]), 8)).toEqual(slow);
    writeFileSync(file(), readFileSync(file(), "utf8").slice(0, 40));
    close();
    await init();
    expect(pick(tripling("gone", [slow, fast]), 8)).toEqual(slow);
  });

  test("the time given ends it; the next call goes on", async () => {
    for (const size of [1, 2, 3]) pick(tripling("budget", [slow, fast]), size);
    expect(await tune({ seconds: 1e-6 })).toEqual({ measured: 0, changed: 0, left: 3 });
    expect((await tune()).measured).toBe(3);
    await expect(tune({ seconds: 0 })).rejects.toThrow("tune: seconds must be positive, got 0");
  });

  test("compiled steps are traced anew when choices have changed", async () => {
    const op = tripling("compiled", [slow, fast]);
    const step = compile(({ x }: { x: Tensor }) => op.run(pick(op, 4), 4, [x]));
    const x = { shape: [4], dtype: "f32" as const, data: Float32Array.of(1, 2, 3, 4) };
    for (let i = 0; i < 2; i++) expect([...(await (await step({ x })).read())]).toEqual([3, 6, 9, 12]);
    expect(step.traces).toBe(1);
    await tune();
    expect([...(await (await step({ x })).read())]).toEqual([3, 6, 9, 12]);
    expect(step.traces).toBe(2);
  });
});

test.each([
  // one tap: its many candidates compile fast
  [
    "convolution",
    (x: Tensor, w: Tensor) => conv2d(x, w),
    [
      [2, 3, 12, 12],
      [16, 3, 1, 1],
    ],
  ],
  [
    "matrix product",
    (x: Tensor, w: Tensor) => matmul(x, w),
    [
      [5, 20],
      [20, 9],
    ],
  ],
] as const)("a %s and its gradients, tuned, are what they were to rounding", async (_, op, shapes) => {
  const rng = new Rng(2, "tuned");
  const data = shapes.map((shape) => ({
    shape,
    values: Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
  }));
  const run = async () => {
    const [x, w] = data.map(({ shape, values }) => tensor(values, { shape, requiresGrad: true }));
    const y = op(x, w);
    backward(sum(mul(y, y)));
    return (await Promise.all([y, x.grad!, w.grad!].map((t) => t.read()))).map((values) => Array.from(values));
  };
  const plain = await run();
  expect((await tune({ seconds: 60 })).measured).toBe(3); // forward, input gradient, weight gradient
  const tuned = await run();
  plain.forEach((values, k) => {
    const largest = Math.max(...values.map(Math.abs));
    values.forEach((v, i) => expect(Math.abs(v - tuned[k][i])).toBeLessThan(1e-5 * largest)); // sums in another order
  });
});
