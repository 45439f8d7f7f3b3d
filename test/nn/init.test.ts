// Initial values: their distributions, and that a seed fixes them.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Rng, close, init as start, nn } from "../../src/index.ts";
import { checkThrows } from "../check.ts";

beforeAll(() => start());
afterAll(() => close());

const { init } = nn;
const COUNT = 64 * 64 * 9;
const shape = [64, 64, 3, 3];

function moments(values: ArrayLike<number>) {
  const list = Array.from(values);
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  return {
    mean,
    std: Math.sqrt(list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length),
    max: Math.max(...list.map(Math.abs)),
  };
}

// Of n draws, the mean is off by std / sqrt(n) and the deviation by about std / sqrt(2 n): five times that is one run
// in 10^6.
function expectMoments(values: ArrayLike<number>, mean: number, std: number): void {
  const found = moments(values);
  expect(values.length).toBe(COUNT);
  expect(Math.abs(found.mean - mean)).toBeLessThan((5 * std) / Math.sqrt(COUNT));
  expect(Math.abs(found.std - std)).toBeLessThan((5 * std) / Math.sqrt(2 * COUNT));
}

describe("distributions", () => {
  const fanIn = 64 * 9;
  const rng = () => new Rng(5, "init");
  test("uniform and normal", () => {
    expectMoments(init.uniform(shape, rng(), -1, 3), 1, 4 / Math.sqrt(12));
    expectMoments(init.normal(shape, rng(), 2, 0.5), 2, 0.5);
    expect(moments(init.normal(shape, rng(), 0, 1)).max).toBeGreaterThan(3.5); // a normal tail, not a bounded draw
  });
  test("kaiming", () => {
    expectMoments(init.kaimingNormal(shape, rng(), { nonlinearity: "relu" }), 0, Math.sqrt(2 / fanIn));
    expectMoments(init.kaimingUniform(shape, rng(), { a: Math.sqrt(5) }), 0, Math.sqrt(1 / (3 * fanIn)));
    expect(moments(init.kaimingUniform(shape, rng(), { a: Math.sqrt(5) })).max).toBeLessThanOrEqual(
      1 / Math.sqrt(fanIn) + 1e-8,
    );
    expectMoments(init.kaimingNormal([64, 64 * 9], rng(), { mode: "fanOut" }), 0, Math.sqrt(2 / 64));
  });
  test("xavier", () => {
    expectMoments(init.xavierNormal(shape, rng(), { gain: 2 }), 0, 2 * Math.sqrt(1 / fanIn));
    expectMoments(init.xavierUniform(shape, rng()), 0, Math.sqrt(1 / fanIn));
  });
  test("messages", () => {
    checkThrows(() => init.kaimingNormal([4], rng()), "init: a weight must have at least two dimensions, got [4]");
    checkThrows(
      () => init.gain("swish" as "relu"),
      "init: nonlinearity must be linear, sigmoid, tanh, relu or leakyRelu, got swish",
    );
  });
});

test("a seed fixes every weight, and layers differ", async () => {
  const build = (seed: number) => new nn.Sequential(new nn.Linear(8, 8, { rng: new Rng(seed) }));
  const rng = new Rng(1);
  const twice = [new nn.Linear(8, 8, { rng }), new nn.Linear(8, 8, { rng })];
  const [a, b, c, d] = await Promise.all([build(1), build(1), build(2), twice].map((m) => nn.stateDict(m)));
  expect(a).toEqual(b);
  expect(a["0.weight"].data).not.toEqual(c["0.weight"].data);
  expect(d["0.weight"].data).toEqual(a["0.weight"].data);
  expect(d["1.weight"].data).not.toEqual(a["0.weight"].data);
});

test("default biases lie in +-1 / sqrt(fanIn), also of transposed convolutions", async () => {
  const layer = new nn.ConvTranspose2d(16, 8, { kernelSize: 4, stride: 2, rng: new Rng(1) });
  const { bias, weight } = await nn.stateDict(layer);
  expect(weight.shape).toEqual([16, 8, 4, 4]);
  for (const { data } of [bias, weight]) {
    const { max } = moments(data);
    expect(max).toBeLessThanOrEqual(1 / Math.sqrt(8 * 16) + 1e-8); // PyTorch counts the second dimension as inputs
    expect(max).toBeGreaterThan(0.5 / Math.sqrt(8 * 16));
  }
});

test("initNormal redraws convolutions and norms only", async () => {
  const model = new nn.Sequential(
    new nn.Conv2d(64, 64, { kernelSize: 3, rng: new Rng(1) }),
    new nn.BatchNorm(64),
    new nn.Linear(64, 64, { rng: new Rng(2) }),
  );
  const before = await nn.stateDict(model);
  nn.initNormal(model, new Rng(9));
  const after = await nn.stateDict(model);
  expectMoments(after["0.weight"].data, 0, 0.02);
  const norm = moments(after["1.weight"].data);
  expect(Math.abs(norm.mean - 1)).toBeLessThan((5 * 0.02) / 8);
  expect(norm.std).toBeGreaterThan(0.01);
  expect(after["1.bias"].data).toEqual(new Float32Array(64));
  for (const name of ["0.bias", "2.weight", "2.bias"]) expect(after[name]).toEqual(before[name]);
});

describe("initPrior", () => {
  test("an untrained classifier predicts the frequencies; a class that never occurs stays within reach", async () => {
    const conv = new nn.Conv2d(2, 3, { kernelSize: 1, rng: new Rng(1) });
    nn.initPrior(conv, [900, 100, 0]);
    expect([...(await conv.bias!.read())].map(Math.exp)).toEqual([0.9, 0.1, 1e-4].map((v) => expect.closeTo(v, 6)));
  });

  test("frequencies that do not fit the classes are refused", () => {
    const conv = new nn.Conv2d(2, 3, { kernelSize: 1, rng: new Rng(1) });
    checkThrows(
      () => nn.initPrior(conv, [1, 2]),
      "initPrior: needs one frequency of at least 0 for each of 3 classes with a bias, not all 0; got 1, 2",
    );
    checkThrows(
      () => nn.initPrior(conv, [0, 0, 0]),
      "initPrior: needs one frequency of at least 0 for each of 3 classes with a bias, not all 0; got 0, 0, 0",
    );
  });
});
