import { afterAll, beforeAll, expect, test } from "vitest";
import { close, init, optim, step, tensor, type Tensor } from "../../src/index.ts";
import { Rng } from "../../src/random.ts";
import { checkThrows } from "../check.ts";
import * as reference from "../reference/index.ts";

const { SGD, Adam, AdamW, RMSprop } = optim;

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(19, "optimiser tests");
const vector = (n: number, scale = 1): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, () => scale * rng.range(-1, 1));
const parameter = (values: Float32Array<ArrayBuffer>): Tensor => tensor(values, { requiresGrad: true });

/** Largest difference between a parameter and float64 values. */
async function distance(p: Tensor, expected: Float64Array): Promise<number> {
  return ((await p.read()) as Float32Array).reduce(
    (worst: number, v: number, i: number) => Math.max(worst, Math.abs(v - expected[i])),
    0,
  );
}

type Make = (p: Tensor[]) => optim.Optimizer<{ lr: number }>;
type Rule = (p0: Float64Array, grads: readonly Float64Array[]) => Float64Array[];

const rules: Record<string, [Make, Rule]> = {
  sgd: [
    (p) => new SGD(p, { lr: 0.1, weightDecay: 0.02 }) as never,
    (p, g) => reference.sgd(p, g, { lr: 0.1, weightDecay: 0.02 }),
  ],
  momentum: [
    (p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.3 }) as never,
    (p, g) => reference.sgd(p, g, { lr: 0.1, momentum: 0.9, dampening: 0.3 }),
  ],
  nesterov: [
    (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true }) as never,
    (p, g) => reference.sgd(p, g, { lr: 0.1, momentum: 0.9, nesterov: true }),
  ],
  adam: [
    (p) => new Adam(p, { lr: 0.02, weightDecay: 0.1 }) as never,
    (p, g) => reference.adam(p, g, { lr: 0.02, weightDecay: 0.1 }),
  ],
  amsgrad: [
    (p) => new Adam(p, { lr: 0.02, amsgrad: true }) as never,
    (p, g) => reference.adam(p, g, { lr: 0.02, amsgrad: true }),
  ],
  adamw: [
    (p) => new AdamW(p, { lr: 0.02, betas: [0.5, 0.9] }) as never,
    (p, g) => reference.adamw(p, g, { lr: 0.02, betas: [0.5, 0.9] }),
  ],
  rmsprop: [
    (p) => new RMSprop(p, { momentum: 0.8 }) as never,
    (p, g) => reference.rmsprop(p, g, { lr: 0.01, momentum: 0.8 }),
  ],
};

// 1, 3 and 5 leave padding in the last vec4; 1,025 vec4 take a second workgroup; five parameters leave a place empty.
const sizes = [1, 5, 4100, 3, 64];

test.each(Object.keys(rules))("%s over five parameters and 30 steps", async (name) => {
  const [make, rule] = rules[name];
  const starts = sizes.map((n) => vector(n));
  const parameters = starts.map(parameter);
  const grads = Array.from({ length: 30 }, (_, k) => sizes.map((n) => vector(n, k % 3 === 1 ? 100 : 0.5)));
  const optimizer = make(parameters);
  for (const g of grads) {
    await step(() => {
      parameters.forEach((p, i) => (p.grad = tensor(g[i])));
      optimizer.step();
      optimizer.zeroGrad();
    });
  }
  for (const [i, p] of parameters.entries()) {
    const expected = rule(Float64Array.from(starts[i]), grads.map((g) => Float64Array.from(g[i]))).at(-1)!;
    // 30 steps of at most a few units of error each, on values up to 1 (Adam) or 1,000 (SGD with gradients of 100).
    const largest = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
    expect(await distance(p, expected), `parameter ${i}`).toBeLessThan(60 * 2 ** -23 * largest);
  }
});

test("RMSprop, centered", async () => {
  const [start, g1, g2] = [vector(9), vector(9), vector(9)];
  const p = parameter(start);
  const optimizer = new RMSprop([p], { lr: 0.01, alpha: 0.9, centered: true });
  const expected = Float64Array.from(start);
  const [square, mean] = [new Float64Array(9), new Float64Array(9)];
  for (const g of [g1, g2]) {
    p.grad = tensor(g);
    await step(() => optimizer.step());
    g.forEach((v, i) => {
      square[i] = 0.9 * square[i] + 0.1 * v * v;
      mean[i] = 0.9 * mean[i] + 0.1 * v;
      expected[i] -= (0.01 * v) / (Math.sqrt(square[i] - mean[i] ** 2) + 1e-8);
    });
  }
  expect(await distance(p, expected)).toBeLessThan(1e-6); // square - mean^2 loses a digit
});

test("the bias correction of Adam keeps its digits with betas near 1, in early and late steps", async () => {
  const g = 1e-3;
  const p = parameter(Float32Array.of(0));
  p.grad = tensor([g]);
  const optimizer = new Adam([p], { betas: [0.99, 0.99999] });
  // With one gradient all the time, every step is lr * g / (g + eps). Only the last of `count` moves the parameter, so
  // that nothing but the averages and their correction is measured.
  const lastOf = async (count: number): Promise<number> => {
    const before = await p.item();
    await step(() => {
      for (let k = 1; k <= count; k++) {
        optimizer.lr = k === count ? 1 : 0;
        optimizer.step();
      }
    });
    return before - (await p.item());
  };
  for (const count of [1, 1, 98, 400]) {
    // An f32 beta of 0.99999 would be off by 3e-3 of 1 - beta, and 1 - beta^2 by as much. What stays is the rounding of
    // the averages and of the parameter, a few units of 6e-8.
    expect(Math.abs((await lastOf(count)) * (1 + 1e-8 / g) - 1)).toBeLessThan(1e-6);
  }
});

test("parameters without a gradient stay, and their steps are not counted", async () => {
  const [a, b, c] = [vector(6), vector(6), vector(6)];
  const [pa, pb, pc] = [a, b, c].map(parameter);
  const optimizer = new Adam([pa, pb, pc], { lr: 0.1, weightDecay: 0.5 });
  const g = vector(6);
  for (let k = 0; k < 3; k++) {
    pa.grad = tensor(g);
    pb.grad = k === 2 ? tensor(g) : null;
    await step(() => optimizer.step());
  }
  expect([...(await pc.read())]).toEqual([...c]);
  const options = { lr: 0.1, weightDecay: 0.5 };
  const gs = [g, g, g].map((v) => Float64Array.from(v));
  expect(await distance(pa, reference.adam(Float64Array.from(a), gs, options)[2])).toBeLessThan(2e-6);
  expect(await distance(pb, reference.adam(Float64Array.from(b), gs, options)[0])).toBeLessThan(2e-6);
});

test("groups have settings of their own", async () => {
  const [a, b] = [vector(5), vector(7)];
  const [pa, pb] = [a, b].map(parameter);
  const optimizer = new SGD([{ params: [pa] }, { params: [pb], lr: 0.5, momentum: 0.9 }], { lr: 0.1 });
  const grads = [vector(7), vector(7)];
  for (const g of grads) {
    [pa.grad, pb.grad] = [tensor(g.slice(0, 5)), tensor(g)];
    await step(() => optimizer.step());
  }
  const gs = grads.map((v) => Float64Array.from(v));
  expect(
    await distance(
      pa,
      reference.sgd(
        Float64Array.from(a),
        gs.map((g) => g.slice(0, 5)),
        { lr: 0.1 },
      )[1],
    ),
  ).toBeLessThan(2e-6);
  expect(await distance(pb, reference.sgd(Float64Array.from(b), gs, { lr: 0.5, momentum: 0.9 })[1])).toBeLessThan(2e-6);
  optimizer.lr = 0.25;
  expect(optimizer.groups.map((g) => g.lr)).toEqual([0.25, 0.25]);
  optimizer.groups[1].lr = 0.125;
  expect(optimizer.lr).toBe(0.25);
});

test("the learning rate is data: it may change between two steps of one program", async () => {
  const p = parameter(Float32Array.of(0));
  p.grad = tensor([1]);
  const optimizer = new SGD([p], { lr: 1 });
  optimizer.step();
  optimizer.lr = 0.25;
  optimizer.step();
  expect(await p.item()).toBe(-1.25);
});

test("a step takes 1 + P / 2 launches", async () => {
  const { currentProgram } = await import("../../src/gpu/program.ts");
  const parameters = Array.from({ length: 9 }, () => parameter(vector(3)));
  const optimizer = new Adam(parameters);
  const gradient = tensor(vector(3));
  await step(() => {
    parameters.forEach((p) => (p.grad = gradient));
    const before = currentProgram().calls.length;
    optimizer.step();
    expect(currentProgram().calls.length - before).toBe(1 + 5);
  });
});

test("a skipped step changes nothing and is not counted", async () => {
  const start = vector(6);
  const p = parameter(start);
  const optimizer = new Adam([p], { lr: 0.1 });
  const g = vector(6);
  for (const skip of [0, 1, 0]) {
    p.grad = tensor(skip ? Float32Array.from(g, () => NaN) : g);
    const flag = tensor([skip], { dtype: "u32" });
    await step(() => optimizer.step({ skip: flag }));
  }
  const gs = [g, g].map((v) => Float64Array.from(v));
  expect(await distance(p, reference.adam(Float64Array.from(start), gs, { lr: 0.1 })[1])).toBeLessThan(2e-6);
});

test("restored from its state, training goes on bit by bit", async () => {
  const sizes = [5, 130, 3];
  const starts = sizes.map((n) => vector(n));
  const grads = Array.from({ length: 6 }, () => sizes.map((n) => vector(n)));
  const run = async (optimizer: optim.Optimizer<optim.AdamOptions>, parameters: Tensor[], from: number, to: number) => {
    for (let k = from; k < to; k++) {
      parameters.forEach((p, i) => (p.grad = tensor(grads[k][i])));
      optimizer.lr = 0.1 / (k + 1);
      await step(() => optimizer.step());
    }
  };
  const named = (list: Tensor[]) => list.map((p, i): [string, Tensor] => [`layer.${i}`, p]);
  const whole = starts.map(parameter);
  await run(new Adam(named(whole), { amsgrad: true }), whole, 0, 6);

  const half = starts.map(parameter);
  const first = new Adam(named(half), { amsgrad: true, betas: [0.9, 0.999] });
  await run(first, half, 0, 3);
  const saved = await first.state();
  expect(Object.keys(saved.tensors)).toEqual(["steps", "state.layer.0", "state.layer.1", "state.layer.2"]);
  expect(saved.numbers).toMatchObject({ "0.lr": 0.1 / 3, "0.betas.1": 0.999, "0.eps": 1e-8 });
  const rest = await Promise.all(half.map(async (p) => parameter((await p.read()) as Float32Array<ArrayBuffer>)));
  const second = new Adam(named(rest), { amsgrad: true, lr: 7, betas: [0, 0] });
  second.loadState(saved);
  expect(second.lr).toBe(0.1 / 3);
  await run(second, rest, 3, 6);
  for (const [i, p] of rest.entries()) expect([...(await p.read())]).toEqual([...(await whole[i].read())]);
});

test("SGD restores its momentum, and knows that it is not the first step", async () => {
  const p = parameter(Float32Array.of(0));
  const first = new SGD([p], { lr: 1, momentum: 0.5, dampening: 0.5 });
  p.grad = tensor([1]);
  await step(() => first.step());
  const second = new SGD([p], { lr: 1, momentum: 0.5, dampening: 0.5 });
  second.loadState(await first.state());
  await step(() => second.step());
  expect(await p.item()).toBe(-2); // -1, then momentum 0.5 * 1 + 0.5 * 1
});

test("memory does not grow from step to step", async () => {
  const { gpu } = await import("../../src/gpu/device.ts");
  const p = parameter(vector(1000));
  const optimizer = new Adam([p]);
  const g = tensor(vector(1000));
  const used: number[] = [];
  for (let k = 0; k < 12; k++) {
    await step(() => {
      p.grad = g;
      optimizer.step();
      optimizer.zeroGrad();
    });
    used.push(gpu().pool.usedBytes);
  }
  expect(used[11]).toBe(used[2]);
});

test("refusals", async () => {
  const p = parameter(vector(4));
  checkThrows(() => new SGD([]), "SGD: there must be at least one parameter, got none");
  checkThrows(() => new SGD([p], { lr: -1 }), "SGD: lr must be a number of at least 0, got -1");
  checkThrows(
    () => new SGD([p], { nesterov: true }),
    "SGD: nesterov needs a momentum above 0 and no dampening, got 0 and 0",
  );
  checkThrows(() => new Adam([p], { betas: [0.9, 1] }), "Adam: betas[1] must lie in [0, 1), got 1");
  checkThrows(() => new AdamW([p], { eps: NaN }), "AdamW: eps must be a number of at least 0, got NaN");
  checkThrows(() => new RMSprop([p], { alpha: 2 }), "RMSprop: alpha must lie in [0, 1), got 2");
  checkThrows(() => new Adam([["w", p], ["v", p]]), "Adam: parameter v is parameter w once more; give each one once");
  checkThrows(() => new Adam([["w", p], ["w", parameter(vector(2))]]), "Adam: the name w is given to two parameters");
  checkThrows(() => new Adam([tensor([1, 2], { dtype: "i32" })]), "Adam: parameter 0 must be f32, got i32 [2]");
  const sgd = new SGD([p]);
  p.grad = tensor([1, 2]);
  checkThrows(() => sgd.step(), "SGD: the gradient of parameter 0 must be [4], got [2]");
  p.grad = null;
  sgd.groups[0].momentum = 0.9;
  checkThrows(() => sgd.step(), "SGD: momentum cannot be turned on later; make the optimiser with it");
  sgd.groups[0].momentum = 0;
  const state = await sgd.state();
  checkThrows(
    () => new Adam([p]).loadState(state),
    "Adam: the checkpoint lacks state.0; it is of another model or optimiser",
  );
  const adam = await new Adam([p]).state();
  checkThrows(
    () => new Adam([parameter(vector(9))]).loadState(adam),
    "Adam: state.0 of the checkpoint must be f32 [3, 2, 4], got f32 [1, 2, 4]",
  );
  const more = { ...adam, numbers: { ...adam.numbers, "1.lr": 1 } };
  checkThrows(
    () => new Adam([p]).loadState(more),
    "Adam: the checkpoint has 1.lr, which this optimiser has not; it is of another model or optimiser",
  );
});
