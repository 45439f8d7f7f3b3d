// Functions of one number: values and slopes against float64, far from zero too.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { checkOp, checkThrows, either, absolute, ulps, ulpsEach } from "../check.ts";
import * as reference from "../reference/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

// 257 is one more than four workgroups of 64; [2, 3, 5] ends in the middle of a vec4.
const shapes = [[1], [7], [2, 3, 5], [257]];
const far = { shape: [9], data: Float64Array.of(-80, -30, -10, -4, 0.001, 4, 10, 30, 80) };

// exp may be 3 + 2|x| units off in WGSL, and its slope as well.
const throughExp = { tol: ulpsEach(10), gradTol: either(ulpsEach(24), absolute(2e-6)) };

describe("elementary functions", () => {
  test.each(["neg", "abs", "sign", "square", "floor", "round"] as const)("%s is exact", async (name) => {
    const f = {
      ...reference,
      floor: (x: reference.NdArray) => reference.map(x, Math.floor),
      round: (x: reference.NdArray) => reference.map(x, Math.round),
    };
    await checkOp(name, w[name], f[name], { shapes, avoid: [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2], tol: ulpsEach(1) });
  });
  test.each(["sqrt", "rsqrt", "reciprocal", "log"] as const)("%s", async (name) => {
    // Division and square roots are 2.5 and 3 units off at most.
    await checkOp(name, w[name], reference[name], {
      shapes: [...shapes, [4000]],
      range: [0.1, 4],
      tol: ulpsEach(8),
      gradTol: ulpsEach(24),
    });
  });
  test.each(["sin", "cos"] as const)("%s", async (name) => {
    // Each result is rounded once more than its series; near a zero the
    // reduction's own error of about 1e-8 * |x| remains.
    await checkOp(name, w[name], reference[name], {
      shapes: [...shapes, [4000]],
      range: [-40, 40],
      tol: either(ulpsEach(4), absolute(4e-7)),
      gradTol: absolute(1e-6),
    });
  });
  test("log of very small and very large numbers", async () => {
    const x = { ...reference.array([6], [1e-37, 1e-20, 0.999999, 1.000001, 1e20, 3e38]), grad: false };
    await checkOp("log", w.log, reference.log, { inputs: [[x]], tol: ulpsEach(4) });
  });
  test("round takes halves to the even neighbour", async () => {
    expect([...(await w.round(w.tensor([0.5, 1.5, 2.5, -0.5, -1.5])).read())].map((v) => v + 0)).toEqual([
      0, 2, 2, 0, -2,
    ]);
  });
});

describe("functions with a series of their own", () => {
  test("exp", () =>
    // 3 + 2|x| units
    checkOp("exp", w.exp, reference.exp, { shapes, range: [-20, 20], tol: ulpsEach(40), gradTol: ulpsEach(44) }));
  test("erf keeps the digits of small values", () =>
    checkOp("erf", w.erf, reference.erf, {
      shapes: [...shapes, [4000]],
      range: [-5, 5],
      tol: ulpsEach(4),
      gradTol: either(ulpsEach(60), absolute(1e-7)),
    }));
  test("tanh keeps the digits of small values", () =>
    checkOp("tanh", w.tanh, reference.tanh, {
      shapes: [...shapes, [4000]],
      tol: ulpsEach(8),
      gradTol: absolute(1e-6),
    }));
  test("softplus and logSigmoid keep the digits of small values", async () => {
    const range = [-12, 12] as const;
    await checkOp("softplus", w.softplus, reference.softplus, {
      shapes: [...shapes, [4000]],
      range,
      tol: ulpsEach(32),
      gradTol: ulpsEach(32),
    });
    await checkOp("logSigmoid", w.logSigmoid, reference.logSigmoid, {
      shapes: [...shapes, [4000]],
      range,
      tol: ulpsEach(32),
      gradTol: ulpsEach(32),
    });
  });
  test("gelu keeps the digits of its negative tail", () =>
    checkOp("gelu", w.gelu, reference.gelu, {
      shapes: [...shapes, [4000]],
      range: [-5, 5],
      tol: ulpsEach(40),
      gradTol: absolute(1e-6),
    }));
});

describe("activations", () => {
  const kinks = { avoid: [0, -3, 3] };
  test.each(["relu", "silu", "sigmoid", "hardswish", "mish"] as const)("%s", async (name) => {
    await checkOp(name, w[name], reference[name], {
      shapes,
      range: [-6, 6],
      ...kinks,
      ...throughExp,
      tol: either(ulpsEach(20), absolute(1e-7)),
    });
  });
  test("gelu, the tanh form", async () => {
    const options = { approximate: "tanh" } as const;
    await checkOp(
      "gelu",
      (x) => w.gelu(x, options),
      (x) => reference.gelu(x, "tanh"),
      { shapes, range: [-4, 4], tol: absolute(2e-6), gradTol: absolute(4e-6) },
    );
  });
  test("leakyRelu and elu with their parameters", async () => {
    await checkOp(
      "leakyRelu",
      (x) => w.leakyRelu(x, 0.2),
      (x) => reference.leakyRelu(x, 0.2),
      { shapes, avoid: [0], tol: ulpsEach(2) },
    );
    await checkOp(
      "elu",
      (x) => w.elu(x, 1.5),
      (x) => reference.elu(x, 1.5),
      { shapes: [...shapes, [4000]], avoid: [0], tol: ulpsEach(12), gradTol: ulps(16) },
    );
  });
  test("clamp with one limit or two", async () => {
    await checkOp(
      "clamp",
      (x) => w.clamp(x, { min: -0.5, max: 1 }),
      (x) => reference.clamp(x, -0.5, 1),
      { shapes, avoid: [-0.5, 1], tol: ulpsEach(1) },
    );
    await checkOp(
      "clamp",
      (x) => w.clamp(x, { min: 0 }),
      (x) => reference.clamp(x, 0),
      { shapes, avoid: [0], tol: ulpsEach(1) },
    );
  });
  test("prelu, one slope per channel or one for all", async () => {
    const cases = [[[2, 3, 5], [3]], [[2, 3, 4, 4], [3]], [[2, 3, 5], [1]], [[4, 7], [7]], [[5, 257, 3], [257]]];
    await checkOp("prelu", w.prelu, reference.prelu, { shapes: cases, avoid: [0], tol: ulpsEach(2) });
  });
  test.each(["relu", "silu", "sigmoid", "tanh", "softplus", "hardswish", "mish", "logSigmoid", "gelu", "elu"] as const)(
    "%s far from zero",
    async (name) => {
      // Nothing overflows; where the true value is below float32's smallest it may be 0.
      await checkOp(
        name,
        w[name] as (x: w.Tensor) => w.Tensor,
        reference[name] as (x: reference.NdArray) => reference.NdArray,
        {
          inputs: [[far]],
          tol: either(ulpsEach(200), absolute(1e-30)),
          gradTol: either(ulpsEach(400), absolute(1e-6)),
        },
      );
    },
  );
  test("the tanh form of gelu stays finite for huge numbers", async () => {
    const x = w.tensor([-1e30, -1e13, 1e13, 1e30], { requiresGrad: true });
    const y = w.gelu(x, { approximate: "tanh" });
    w.backward(y, w.ones([4]));
    expect([...(await y.read())].map((v) => v + 0)).toEqual([0, 0, Math.fround(1e13), Math.fround(1e30)]);
    expect([...(await x.grad!.read())].map((v) => v + 0)).toEqual([0, 0, 1, 1]);
  });
  test("slopes at kinks are PyTorch's", async () => {
    const slope = async (f: (x: w.Tensor) => w.Tensor, at: number) => {
      const x = w.tensor([at], { requiresGrad: true });
      w.backward(f(x));
      return x.grad!.item();
    };
    expect(await slope(w.relu, 0)).toBe(0);
    expect(await slope(w.abs, 0)).toBe(0);
    expect(await slope((x) => w.leakyRelu(x, 0.25), 0)).toBe(0.25);
    expect(await slope((x) => w.clamp(x, { min: 0, max: 1 }), 0)).toBe(1);
    expect(await slope((x) => w.clamp(x, { min: 0, max: 1 }), 1)).toBe(1);
  });
});

test("a NaN passes through relu, so that it can be found", async () => {
  const y = await w.relu(w.tensor([NaN, 1, -1])).read();
  expect(y[0]).toBeNaN();
});

test("more workgroups than one axis of the grid takes", async () => {
  const n = 4 * 64 * 65535 + 9; // 64 MiB
  const y = await w.step(() => w.neg(w.full([n], 3)));
  const values = await y.read();
  expect([values[0], values[n - 10], values[n - 1]]).toEqual([-3, -3, -3]);
  expect(values.every((v) => v === -3)).toBe(true);
});

test("cast", async () => {
  const x = w.tensor([1.9, -1.9, 0, 3e9, -5], { dtype: "f32" });
  const largest = 2147483520; // float32 that is an i32
  expect([...(await w.cast(x, "i32").read())]).toEqual([1, -1, 0, largest, -5]);
  expect([...(await w.cast(x, "u32").read())]).toEqual([1, 0, 0, 3000000000, 0]);
  expect([...(await w.cast(w.tensor([7, -2], { dtype: "i32" }), "f32").read())]).toEqual([7, -2]);
  expect(w.cast(x, "f32")).toBe(x);
});


test("errors", () => {
  const x = w.zeros([2, 3, 5]);
  checkThrows(() => w.exp(w.tensor([1], { dtype: "i32" })), "exp: x must be f32 or f16, got i32 [1]; cast it first");
  checkThrows(() => w.clamp(x, { min: 2, max: 1 }), "clamp: min must not exceed max, got min 2, max 1");
  checkThrows(() => w.clamp(x, { max: Infinity }), "clamp: max must be finite, got Infinity");
  checkThrows(() => w.leakyRelu(x, -1), "leakyRelu: slope must not be negative, got -1");
  checkThrows(() => w.elu(x, -1), "elu: alpha must not be negative, got -1");
  checkThrows(
    () => w.gelu(x, { approximate: "erf" as "tanh" }),
    'gelu: approximate must be "none" or "tanh", got "erf"',
  );
  checkThrows(() => w.prelu(x, w.zeros([5])), "prelu: weight must have shape [3] or [1] for x [2, 3, 5], got [5]");
});
