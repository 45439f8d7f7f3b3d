import { afterAll, beforeAll, expect, test } from "vitest";
import { close, flush, init, optim, step, tensor, type Tensor } from "../../src/index.ts";
import { Rng } from "../../src/random.ts";
import { checkThrows } from "../check.ts";
import * as reference from "../reference/index.ts";

const { clipGradNorm, clipGradValue } = optim;

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(23, "clip tests");
const vector = (n: number): Float32Array<ArrayBuffer> => Float32Array.from({ length: n }, () => rng.range(-1, 1));

function withGradient(g: Float32Array<ArrayBuffer>): Tensor {
  const p = tensor(new Float32Array(g.length), { requiresGrad: true });
  p.grad = tensor(g);
  return p;
}

// Thirteen gradients take three launches of six; 3,000 elements take three workgroups; most sizes leave padding.
const sizes = [1, 5, 3000, 64, 2, 7, 257, 33, 1, 9, 1025, 4, 6];

test("clipGradNorm against float64, above and below the limit", async () => {
  const grads = sizes.map(vector);
  for (const maxNorm of [0.5, 1000]) {
    const parameters = grads.map(withGradient);
    const expected = reference.clipGradNorm(grads.map((g) => Float64Array.from(g)), maxNorm);
    const norm = await step(() => clipGradNorm(parameters, maxNorm));
    expect(Math.abs((await norm.item()) / expected.norm - 1)).toBeLessThan(1e-6);
    for (const [i, p] of parameters.entries()) {
      const values = await p.grad!.read();
      values.forEach((v, k) => expect(Math.abs(v - expected.grads[i][k])).toBeLessThan(2e-7));
    }
  }
});

test("the same gradients give the same bits", async () => {
  const grads = sizes.map(vector);
  const norms = [];
  for (let k = 0; k < 4; k++) norms.push(await (await step(() => clipGradNorm(grads.map(withGradient), 1))).item());
  expect(new Set(norms).size).toBe(1);
});

test("parameters without a gradient are passed over; none at all gives norm 0", async () => {
  const bare = tensor([1, 2], { requiresGrad: true });
  const p = withGradient(Float32Array.of(3, 4));
  expect(await (await step(() => clipGradNorm([bare, p], 10))).item()).toBe(5);
  expect(bare.grad).toBeNull();
  expect(await clipGradNorm([bare], 1).item()).toBe(0);
});

test("a gradient that two parameters share is scaled once for each", async () => {
  const shared = tensor([3, 4]);
  const [a, b] = [0, 1].map(() => tensor([0, 0], { requiresGrad: true }));
  a.grad = b.grad = shared;
  await step(() => void clipGradNorm([a, b], Math.SQRT2)); // norm 5 sqrt(2): the factor is 1/5
  for (const p of [a, b])
    (await p.grad!.read()).forEach((v, i) => expect(Math.abs(v - [0.6, 0.8][i])).toBeLessThan(1e-6));
});

test("clipGradValue", async () => {
  const grads = sizes.map(vector);
  const parameters = grads.map(withGradient);
  await step(() => clipGradValue(parameters, 0.25));
  for (const [i, p] of parameters.entries())
    expect([...(await p.grad!.read())]).toEqual([...grads[i].map((v) => Math.min(0.25, Math.max(-0.25, v)))]);
});

test("refusals", async () => {
  checkThrows(() => clipGradNorm([], 0), "clipGradNorm: maxNorm must be above 0, got 0");
  checkThrows(() => clipGradValue([], -1), "clipGradValue: maxValue must be above 0, got -1");
  await flush();
});
