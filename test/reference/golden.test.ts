// Shows that the references are right, with no GPU: each against the golden values of PyTorch, outputs and gradients.
import { expect, test } from "vitest";
import { type Tolerance, either, expectClose, numericalGradient, ulps, ulpsEach } from "../check.ts";
import { type GoldenCase, goldenCases } from "../golden.ts";
import * as reference from "./index.ts";
import type { NdArray } from "./array.ts";

type Inputs = Record<string, NdArray>;
type Adapter = (attrs: any, inputs: Inputs) => NdArray | readonly NdArray[]; // attrs are whatever golden.json says

const pool = (a: any): reference.PoolOptions & { countIncludePad?: boolean } => ({
  kernelSize: a.kernel_size,
  stride: a.stride,
  padding: a.padding,
  ceilMode: a.ceil_mode,
  countIncludePad: a.count_include_pad,
});
const resize = (mode: "nearest" | "linear"): Adapter => (a, { x }) =>
  reference.interpolate(x, { size: a.size, scale: a.scale_factor, mode, alignCorners: a.align_corners });
const convolution = (f: typeof reference.conv): Adapter => (a, { x, w, b }) =>
  f(x, w, b ?? null, { ...a, outputPadding: a.output_padding });
const unary = (f: (x: NdArray) => NdArray): Adapter => (_, { x }) => f(x);
const binary = (f: (a: NdArray, b: NdArray) => NdArray): Adapter => (_, { a, b }) => f(a, b);
const reduction = (f: (x: NdArray, options: reference.ReduceOptions) => NdArray): Adapter => (a, { x }) => f(x, a);
const diceBinary: Adapter = (a, { x, t }) => reference.diceWithSigmoid(x, t, { smooth: a.smooth, batch: false });

/** The rows of `x` as separate vectors. */
const rows = (x: NdArray): Float64Array[] =>
  Array.from({ length: x.shape[0] }, (_, k) => x.data.slice(k * x.shape[1], (k + 1) * x.shape[1]));

const optimisers = { sgd: reference.sgd, adam: reference.adam, adamw: reference.adamw, rmsprop: reference.rmsprop };

function optimiser(a: any, { p0, grads }: Inputs): NdArray {
  const run = optimisers[a.kind as keyof typeof optimisers];
  const after = run(p0.data, rows(grads), { ...a, weightDecay: a.weight_decay });
  return reference.array(grads.shape, after.flatMap((p) => [...p]));
}

const adapters: Record<string, Adapter> = {
  ...Object.fromEntries(
    (["neg", "exp", "log", "sqrt", "rsqrt", "abs", "square", "reciprocal", "sin", "cos", "erf"] as const)
      .map((name) => [name, unary(reference[name])]),
  ),
  ...Object.fromEntries(
    (["relu", "elu", "silu", "sigmoid", "tanh", "softplus", "hardswish", "mish"] as const)
      .map((name) => [name, unary(reference[name])]),
  ),
  leaky_relu: unary(reference.leakyRelu),
  gelu: unary(reference.gelu),
  gelu_tanh: (_, { x }) => reference.gelu(x, "tanh"),
  logsigmoid: unary(reference.logSigmoid),
  prelu: (_, { x, w }) => reference.prelu(x, w),
  clamp: (a, { x }) => reference.clamp(x, a.min, a.max),
  bcast_add: binary(reference.add),
  bcast_sub: binary(reference.sub),
  bcast_mul: binary(reference.mul),
  bcast_div: binary(reference.div),
  bcast_pow: binary(reference.pow),
  bcast_minimum: binary(reference.minimum),
  bcast_maximum: binary(reference.maximum),
  softmax: (a, { x }) => reference.softmax(x, a.dim),
  log_softmax: (a, { x }) => reference.logSoftmax(x, a.dim),
  reduce_sum: reduction(reference.sum),
  reduce_mean: reduction(reference.mean),
  reduce_var: reduction((x, o) => reference.variance(x, { correction: 0, ...o })),
  reduce_amax: reduction(reference.max),
  reduce_amin: reduction(reference.min),
  reduce_logsumexp: reduction(reference.logSumExp),
  reduce_norm: reduction(reference.norm),
  matmul: binary(reference.matmul),
  linear: (_, { x, w, b }) => reference.linear(x, w, b),
  cat: (a, { a: first, b }) => reference.concat([first, b], a.dim),
  slice: (a, { x }) => reference.slice(x, a.start, a.end),
  permute: (a, { x }) => reference.permute(x, a.order),
  pad: (a, { x }) => reference.pad(x, a.pad, { mode: a.mode }),
  pixel_shuffle: (a, { x }) => reference.pixelShuffle(x, a.r),
  conv1d: convolution(reference.conv),
  conv2d: convolution(reference.conv),
  conv3d: convolution(reference.conv),
  conv_transpose2d: convolution(reference.convTranspose),
  conv_transpose3d: convolution(reference.convTranspose),
  batch_norm: (a, { x, g, b, rm, rv }) => {
    const all = reference.batchNorm(x, g, b, rm, rv, a);
    return a.training ? all : all[0];
  },
  group_norm: (a, { x, g, b }) => reference.groupNorm(x, g, b, a),
  instance_norm: (a, { x, g, b }) => reference.instanceNorm(x, g ?? null, b ?? null, a),
  layer_norm: (a, { x, g, b }) => reference.layerNorm(x, g, b, a),
  max_pool2d: (a, { x }) => reference.maxPool(x, pool(a)),
  max_pool3d: (a, { x }) => reference.maxPool(x, pool(a)),
  avg_pool2d: (a, { x }) => reference.avgPool(x, pool(a)),
  avg_pool3d: (a, { x }) => reference.avgPool(x, pool(a)),
  adaptive_avg_pool2d: unary(reference.globalAvgPool),
  interpolate_bilinear: resize("linear"),
  interpolate_trilinear: resize("linear"),
  interpolate_nearest: resize("nearest"),
  se_block: (_, { x, w1, b1, w2, b2 }) => reference.seBlock(x, w1, b1, w2, b2),
  cross_entropy: (a, { x, t, w: weight }) => {
    const { ignore_index: ignoreIndex, label_smoothing: labelSmoothing, reduction } = a;
    return reference.crossEntropy(x, t, { weight, ignoreIndex, labelSmoothing, reduction });
  },
  bce: (_, { x, t, w }) => reference.bce(x, t, { weight: w }),
  bce_with_logits: (_, { x, t, w, pw }) => reference.bceWithLogits(x, t, { weight: w, posWeight: pw }),
  dice_binary: diceBinary,
  dice_multiclass: (a, { x, t }) => reference.diceWithSoftmax(x, t, a),
  bce_dice: (a, inputs) => reference.add(reference.bceWithLogits(inputs.x, inputs.t), diceBinary(a, inputs) as NdArray),
  soft_dice: (a, { x, t }) => reference.softDice(reference.sigmoid(x), t, a),
  difficulty_cross_entropy: (_, { x, t, m }) => reference.difficultyWeightedCrossEntropy(x, t, m),
  tversky: (a, { x, t }) => reference.tversky(reference.sigmoid(x), t, { ...a, batch: false }),
  focal: (a, { x, t }) => reference.focal(x, t, a),
  mse: (_, { x, target }) => reference.mse(x, target),
  l1: (_, { x, target }) => reference.l1(x, target),
  smooth_l1: (a, { x, target }) => reference.smoothL1(x, target, a),
  optimizer: optimiser,
  clip_grad_norm: (a, { g }) => reference.array(g.shape, reference.clipGradNorm([g.data], a.max_norm).grads[0]),
};

// Golden values are float64 rounded to float32: half a unit of each value, plus a
// little for what cancels below the largest.
const outputTol: Tolerance = either(ulpsEach(0.51), ulps(1e-5));
// Central differences add about 1e-9 of the largest value; with logits of 120 in the exponent up to 1e-7.
const gradTol: Tolerance = either(ulpsEach(0.51), (largest) => 2e-7 * Math.max(largest, 1e-3));

const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

function checkCase(c: GoldenCase, adapter: Adapter): void {
  const names = Object.keys(c.inputs);
  const f = (...inputs: NdArray[]): NdArray | readonly NdArray[] =>
    adapter(c.attrs, Object.fromEntries(names.map((name, i) => [name, inputs[i]])));
  const inputs = Object.values(c.inputs);
  const outputs = listOf(f(...inputs));
  c.outputs.forEach((y, k) => expectClose(`${c.name}: y${k}`, outputs[k], y, outputTol));
  for (const [name, grad] of Object.entries(c.grads)) {
    // Two convolutions per element take too long.
    if (c.op.startsWith("conv") && c.inputs[name].data.length > 100) continue;
    expectClose(`${c.name}: d_${name}`, numericalGradient(f, inputs, names.indexOf(name), c.cots), grad, gradTol);
  }
}

const byItself = "max_pool2d_ties"; // central differences do not see which of equal values counts as the largest

for (const c of goldenCases.filter((c) => c.op !== byItself)) {
  test(c.name, () => {
    expect(Object.keys(adapters), `no reference for golden op ${c.op}`).toContain(c.op);
    checkCase(c, adapters[c.op]);
  });
}

test("clipGradNorm reports the norm before clipping", () => {
  const c = goldenCases.find((c) => c.op === "clip_grad_norm")!;
  expect(reference.clipGradNorm([c.inputs.g.data], 1).norm).toBeCloseTo(c.attrs.total_norm as number, 12);
});

test("max pooling gives ties to the first element of the window", () => {
  const c = goldenCases.find((c) => c.op === byItself)!;
  const winners = reference.maxPoolIndices(c.inputs.x, { kernelSize: 2 });
  const gradient = new Float64Array(16);
  winners.data.forEach((i) => gradient[i]++);
  expect([...gradient]).toEqual([...c.grads.x.data]);
});

test("in ceil mode no window starts in the right padding", () => {
  const x = reference.array([1, 1, 3], [1, 2, 3]);
  // Windows of 2 start at -1 and 1; a third, which would reach the end, would start at 3, outside x.
  expect([...reference.maxPool(x, { kernelSize: 2, padding: 1, ceilMode: true }).data]).toEqual([1, 3]);
});
