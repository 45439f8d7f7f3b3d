// Random tensors hold the numbers that the host would have drawn, and the counter moves on as it would have.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { checkThrows } from "../check.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const { Rng } = w;
const times = (n: number, f: () => number) => Array.from({ length: n }, f);

describe.each([
  ["from the start", 0],
  ["across the carry into the second word", 2 ** 32 - 3],
  ["far on", 5 * 2 ** 32 + 123],
])("%s", (_, counter) => {
  test.each([[1], [7], [2, 3, 5], [257]].map((shape) => [shape]))("%j bit by bit", async (shape) => {
    const [host, device] = [new Rng(7, "a", counter), new Rng(7, "a", counter)];
    const n = shape.reduce((a, b) => a * b, 1);
    expect([...(await w.randomBits(shape, device).read())]).toEqual(times(n, () => host.uint32()));
    expect([...(await w.rand(shape, device).read())]).toEqual(times(n, () => host.uniform()));
    expect([...(await w.bernoulli(shape, 0.3, device).read())]).toEqual(times(n, () => (host.uniform() < 0.3 ? 1 : 0)));
    const normal = await w.randn(shape, device).read();
    // log, sqrt and cos are a few units off, the numbers at most 6
    times(n, () => host.normal()).forEach((v, i) => expect(Math.abs(normal[i] - v)).toBeLessThan(3e-6));
    expect(device.counter).toBe(host.counter);
  });
});

test("moments and extremes of many", async () => {
  const n = 1_000_000;
  const rng = new Rng(3);
  const [normal, uniform] = [w.randn([n], rng), w.rand([n], rng)];
  // Four standard errors: 4 / sqrt(n) for the mean, 4 * sqrt(2 / n) for the variance.
  expect(Math.abs(await w.mean(normal).item())).toBeLessThan(0.004);
  expect(Math.abs((await w.variance(normal).item()) - 1)).toBeLessThan(0.0057);
  expect(Math.abs((await w.mean(uniform).item()) - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / n));
  expect(await w.min(uniform).item()).toBeGreaterThanOrEqual(0);
  expect(await w.max(uniform).item()).toBeLessThan(1);
});

test("bernoulli of 0 and of 1", async () => {
  expect([...(await w.bernoulli([5], 0, new Rng(1)).read())]).toEqual([0, 0, 0, 0, 0]);
  expect([...(await w.bernoulli([5], 1, new Rng(1)).read())]).toEqual([1, 1, 1, 1, 1]);
});

test("another seed, place or probability makes no new kernel", async () => {
  await w.bernoulli([5], 0.5, new Rng(1)).read();
  const before = gpu().pipelines.compiledCount;
  await w.bernoulli([9], 0.25, new Rng(2, "b", 77)).read();
  expect(gpu().pipelines.compiledCount).toBe(before);
});

test("errors", () => {
  checkThrows(() => w.bernoulli([5], 1.5, new Rng(1)), "bernoulli: p must lie in [0, 1], got 1.5");
  checkThrows(() => w.bernoulli([5], NaN, new Rng(1)), "bernoulli: p must lie in [0, 1], got NaN");
});
