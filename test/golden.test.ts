// Every operation against PyTorch's golden values, outputs and gradients. A golden operation without an adapter fails.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as wgrad from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { type Input, expectClose, runOnGpu, upload } from "./check.ts";
import { type GoldenCase, goldenCases } from "./golden.ts";

type Tensors = Record<string, Tensor>;
type Adapter = (attrs: any, inputs: Tensors) => Tensor | readonly Tensor[]; // attrs are whatever golden.json says

// Names are looked up when a case runs, so that a missing operation fails its own cases and says so.
const w = new Proxy({ ...wgrad } as Record<string, any>, {
  get: (all, name: string) => all[name] ?? (() => { throw new Error(`src/index.ts does not export ${name}`); }),
});

const unary = (name: string): Adapter => (_, { x }) => w[name](x);
const binary = (name: string): Adapter => (_, { a, b }) => w[name](a, b);
const reduction = (name: string): Adapter => (a, { x }) => w[name](x, { dims: a.dims });
const conv = (name: string): Adapter => (a, { x, w: weight, b }) =>
  w[name](x, weight, b, {
    stride: a.stride,
    padding: a.padding,
    dilation: a.dilation,
    groups: a.groups,
    ...(a.output_padding === undefined ? {} : { outputPadding: a.output_padding }),
  });
const pool = (name: string): Adapter => (a, { x }) =>
  w[name](x, {
    kernelSize: a.kernel_size,
    stride: a.stride,
    padding: a.padding ?? 0,
    ...(a.ceil_mode === undefined ? {} : { ceilMode: a.ceil_mode }),
    ...(a.count_include_pad === undefined ? {} : { countIncludePad: a.count_include_pad }),
  });
const resize = (mode: "nearest" | "linear"): Adapter => (a, { x }) =>
  w.interpolate(x, { size: a.size, scale: a.scale_factor, mode, alignCorners: a.align_corners });
const diceBinary: Adapter = (a, { x, t }) => w.dice(w.sigmoid(x), t, { smooth: a.smooth, batch: false });
const rows = (names: string[]): Record<string, Adapter> => Object.fromEntries(names.map((name) => [name, unary(name)]));

const adapters: Record<string, Adapter> = {
  ...rows(["neg", "exp", "log", "sqrt", "rsqrt", "abs", "square", "reciprocal", "sin", "cos", "erf"]),
  ...rows(["relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "hardswish", "mish"]),
  leaky_relu: unary("leakyRelu"),
  gelu_tanh: (_, { x }) => w.gelu(x, { approximate: "tanh" }),
  logsigmoid: unary("logSigmoid"),
  prelu: (_, { x, w: weight }) => w.prelu(x, weight),
  clamp: (a, { x }) => w.clamp(x, { min: a.min, max: a.max }),
  bcast_add: binary("add"),
  bcast_sub: binary("sub"),
  bcast_mul: binary("mul"),
  bcast_div: binary("div"),
  bcast_pow: binary("pow"),
  bcast_minimum: binary("minimum"),
  bcast_maximum: binary("maximum"),
  softmax: (a, { x }) => w.softmax(x, a.dim),
  log_softmax: (a, { x }) => w.logSoftmax(x, a.dim),
  reduce_sum: reduction("sum"),
  reduce_mean: reduction("mean"),
  reduce_var: (a, { x }) => w.variance(x, { dims: a.dims, correction: a.correction ?? 0 }),
  reduce_amax: reduction("max"),
  reduce_amin: reduction("min"),
  reduce_logsumexp: reduction("logSumExp"),
  reduce_norm: reduction("norm"),
  matmul: binary("matmul"),
  linear: (_, { x, w: weight, b }) => w.linear(x, weight, b),
  cat: (a, { a: first, b }) => w.concat([first, b], a.dim),
  slice: (a, { x }) => w.slice(x, { ranges: a.start.map((start: number, i: number) => [start, a.end[i]]) }),
  permute: (a, { x }) => w.permute(x, a.order),
  pad: (a, { x }) => w.pad(x, a.pad, { mode: a.mode }),
  pixel_shuffle: (a, { x }) => w.pixelShuffle(x, a.r),
  conv1d: conv("conv1d"),
  conv2d: conv("conv2d"),
  conv3d: conv("conv3d"),
  conv_transpose2d: conv("convTranspose2d"),
  conv_transpose3d: conv("convTranspose3d"),
  // The running statistics are updated in place: after the call they are outputs.
  batch_norm: (a, { x, g, b, rm, rv }) => {
    const { training, momentum, eps } = a;
    const y = w.batchNorm(x, g, b, { runningMean: rm, runningVar: rv, training, momentum, eps });
    return a.training ? [y, rm, rv] : y;
  },
  group_norm: (a, { x, g, b }) => w.groupNorm(x, a.groups, g, b, { eps: a.eps }),
  instance_norm: (a, { x, g, b }) => w.instanceNorm(x, g ?? null, b ?? null, { eps: a.eps }),
  layer_norm: (a, { x, g, b }) => w.layerNorm(x, a.shape, g, b, { eps: a.eps }),
  max_pool2d: pool("maxPool2d"),
  max_pool2d_ties: pool("maxPool2d"),
  max_pool3d: pool("maxPool3d"),
  avg_pool2d: pool("avgPool2d"),
  avg_pool3d: pool("avgPool3d"),
  adaptive_avg_pool2d: unary("globalAvgPool"),
  interpolate_bilinear: resize("linear"),
  interpolate_trilinear: resize("linear"),
  interpolate_nearest: resize("nearest"),
  se_block: (_, { x, w1, b1, w2, b2 }) => w.squeezeExcitation(x, w1, b1, w2, b2),
  cross_entropy: (a, { x, t, w: weight }) => {
    const { ignore_index: ignoreIndex, label_smoothing: labelSmoothing, reduction } = a;
    return w.crossEntropy(x, t, { weight, ignoreIndex, labelSmoothing, reduction });
  },
  bce: (_, { x, t, w: weight }) => w.bce(x, t, { weight }),
  bce_with_logits: (_, { x, t, w: weight, pw }) => w.bceWithLogits(x, t, { weight, posWeight: pw }),
  dice_binary: diceBinary,
  dice_multiclass: (a, { x, t }) => w.dice(w.softmax(x, 1), t, { smooth: a.smooth, batch: a.batch }),
  bce_dice: (a, { x, t }) => w.add(w.bceWithLogits(x, t), diceBinary(a, { x, t })),
  soft_dice: (a, { x, t }) => w.softDice(w.sigmoid(x), t, { smooth: a.smooth }),
  difficulty_cross_entropy: (_, { x, t, m }) => w.difficultyWeightedCrossEntropy(x, t, m),
  tversky: (a, { x, t }) => w.tversky(w.sigmoid(x), t, { alpha: a.alpha, beta: a.beta, smooth: a.smooth, batch: false }),
  focal: (a, { x, t }) => w.focal(x, t, { gamma: a.gamma, alpha: a.alpha }),
  mse: (_, { x, target }) => w.mse(x, target),
  l1: (_, { x, target }) => w.l1(x, target),
  smooth_l1: (a, { x, target }) => w.smoothL1(x, target, { beta: a.beta }),
};

beforeAll(() => wgrad.init());
afterAll(() => wgrad.close());

/** Checks outputs and gradients of one case. */
async function checkCase(c: GoldenCase, adapter: Adapter): Promise<void> {
  const names = Object.keys(c.inputs);
  const op = (...list: Tensor[]): Tensor | readonly Tensor[] =>
    adapter(c.attrs, Object.fromEntries(names.map((n, i) => [n, list[i]])));
  const { outputs, grads } = await runOnGpu(op, Object.values(c.inputs), cotangentsOf(c), c.name);
  c.outputs.forEach((y, k) => expectClose(`${c.name}: y${k}`, outputs[k], y, y.tol));
  for (const [name, expected] of Object.entries(c.grads)) {
    const found = grads[names.indexOf(name)];
    if (!found) throw new Error(`${c.name}: backward left no gradient for ${name}`);
    expectClose(`${c.name}: d_${name}`, found, expected, expected.tol);
  }
}

/** The case of ties keeps no output: its gradient is that of the plain sum of the 2 x 2 maxima. */
function cotangentsOf(c: GoldenCase): readonly Input[] {
  return c.op === "max_pool2d_ties" ? [{ shape: [1, 1, 2, 2], data: Float64Array.of(1, 1, 1, 1) }] : c.cots;
}

const optimisers: Record<string, string> = { sgd: "SGD", adam: "Adam", adamw: "AdamW", rmsprop: "RMSprop" };

/** The parameter after each step, its gradient set by hand. */
async function checkOptimiser(c: GoldenCase): Promise<void> {
  const { kind, weight_decay, ...options } = c.attrs as Record<string, any>;
  const { p0, grads } = c.inputs;
  const [steps, n] = grads.shape;
  const p = upload({ ...p0, grad: true });
  const optimiser = new w.optim[optimisers[kind]]([p], { ...options, weightDecay: weight_decay ?? 0 });
  const after: number[] = [];
  for (let k = 0; k < steps; k++) {
    p.grad = upload({ shape: [n], data: grads.data.slice(k * n, (k + 1) * n), grad: false });
    await wgrad.step(() => optimiser.step());
    after.push(...(await p.read()));
  }
  expectClose(c.name, { shape: [steps, n], data: after }, c.outputs[0], c.outputs[0].tol);
}

/** The total norm, and the gradient scaled in place. */
async function checkClip(c: GoldenCase): Promise<void> {
  const p = upload({ ...c.inputs.g, grad: true });
  p.grad = upload({ ...c.inputs.g, grad: false });
  const norm: Tensor = await wgrad.step(() => w.optim.clipGradNorm([p], c.attrs.max_norm));
  const expected = c.attrs.total_norm as number;
  expect(Math.abs((await norm.item()) - expected)).toBeLessThan(2e-6 * expected);
  expectClose(c.name, { shape: c.inputs.g.shape, data: await p.grad.read() }, c.outputs[0], c.outputs[0].tol);
}

const special: Record<string, (c: GoldenCase) => Promise<void>> = { optimizer: checkOptimiser, clip_grad_norm: checkClip };

test("every golden operation has an adapter, and every adapter a case", () => {
  const golden = [...new Set(goldenCases.map((c) => c.op))].sort();
  expect([...Object.keys(adapters), ...Object.keys(special)].sort()).toEqual(golden);
});

for (const c of goldenCases) {
  test(c.name, async () => {
    if (c.op in special) await special[c.op](c);
    else if (c.op in adapters) await checkCase(c, adapters[c.op]);
    else throw new Error(`no adapter for golden operation ${c.op}: add a row to the table in golden.test.ts`);
  });
}
