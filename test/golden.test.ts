// Every operation against PyTorch's golden values, outputs and gradients. A golden operation without an adapter fails.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { expectClose, upload } from "./check.ts";
import { type GoldenCase, checkGolden, goldenCases } from "./golden.ts";

type Tensors = Record<string, Tensor>;
type Adapter = (attrs: any, inputs: Tensors) => Tensor | readonly Tensor[]; // attrs are whatever golden.json says

const unary = (op: (x: Tensor) => Tensor): Adapter => (_, { x }) => op(x);
const binary = (op: (a: Tensor, b: Tensor) => Tensor): Adapter => (_, { a, b }) => op(a, b);
const reduction = (op: typeof w.sum): Adapter => (a, { x }) => op(x, { dims: a.dims });
type Conv = (x: Tensor, weight: Tensor, b: Tensor | null, options: w.ConvTransposeOptions) => Tensor;
const conv = (op: Conv): Adapter => (a, { x, w: weight, b }) =>
  op(x, weight, b, {
    stride: a.stride,
    padding: a.padding,
    dilation: a.dilation,
    groups: a.groups,
    ...(a.output_padding === undefined ? {} : { outputPadding: a.output_padding }),
  });
const pool = (op: (x: Tensor, options: w.AvgPoolOptions) => Tensor): Adapter => (a, { x }) =>
  op(x, {
    kernelSize: a.kernel_size,
    stride: a.stride,
    padding: a.padding ?? 0,
    ...(a.ceil_mode === undefined ? {} : { ceilMode: a.ceil_mode }),
    ...(a.count_include_pad === undefined ? {} : { countIncludePad: a.count_include_pad }),
  });
const resize = (mode: "nearest" | "linear"): Adapter => (a, { x }) =>
  w.interpolate(x, { size: a.size, scale: a.scale_factor, mode, alignCorners: a.align_corners });
const diceBinary = (a: any, { x, t }: Tensors): Tensor => w.dice(w.sigmoid(x), t, { smooth: a.smooth, batch: false });
const alike = { neg: w.neg, exp: w.exp, log: w.log, sqrt: w.sqrt, rsqrt: w.rsqrt, abs: w.abs, square: w.square };
const series = { reciprocal: w.reciprocal, sin: w.sin, cos: w.cos, erf: w.erf, sigmoid: w.sigmoid, tanh: w.tanh };
const activations = { relu: w.relu, elu: w.elu, gelu: w.gelu, silu: w.silu, hardswish: w.hardswish, mish: w.mish };
const rows = Object.entries({ ...alike, ...series, ...activations, softplus: w.softplus, logsigmoid: w.logSigmoid });

const adapters: Record<string, Adapter> = {
  ...Object.fromEntries(rows.map(([name, op]) => [name, unary((x) => op(x))])),
  leaky_relu: unary((x) => w.leakyRelu(x)),
  gelu_tanh: (_, { x }) => w.gelu(x, { approximate: "tanh" }),
  prelu: (_, { x, w: weight }) => w.prelu(x, weight),
  clamp: (a, { x }) => w.clamp(x, { min: a.min, max: a.max }),
  bcast_add: binary(w.add),
  bcast_sub: binary(w.sub),
  bcast_mul: binary(w.mul),
  bcast_div: binary(w.div),
  bcast_pow: binary(w.pow),
  bcast_minimum: binary(w.minimum),
  bcast_maximum: binary(w.maximum),
  softmax: (a, { x }) => w.softmax(x, a.dim),
  log_softmax: (a, { x }) => w.logSoftmax(x, a.dim),
  reduce_sum: reduction(w.sum),
  reduce_mean: reduction(w.mean),
  reduce_var: (a, { x }) => w.variance(x, { dims: a.dims, correction: a.correction ?? 0 }),
  reduce_amax: reduction(w.max),
  reduce_amin: reduction(w.min),
  reduce_logsumexp: reduction(w.logSumExp),
  reduce_norm: reduction(w.norm),
  matmul: binary(w.matmul),
  linear: (_, { x, w: weight, b }) => w.linear(x, weight, b),
  cat: (a, { a: first, b }) => w.concat([first, b], a.dim),
  slice: (a, { x }) => w.slice(x, { ranges: a.start.map((start: number, i: number) => [start, a.end[i]]) }),
  permute: (a, { x }) => w.permute(x, a.order),
  pad: (a, { x }) => w.pad(x, a.pad, { mode: a.mode }),
  pixel_shuffle: (a, { x }) => w.pixelShuffle(x, a.r),
  conv1d: conv(w.conv1d),
  conv2d: conv(w.conv2d),
  conv3d: conv(w.conv3d),
  conv_transpose2d: conv(w.convTranspose2d),
  conv_transpose3d: conv(w.convTranspose3d),
  // The running statistics are updated in place: after the call they are outputs.
  batch_norm: (a, { x, g, b, rm, rv }) => {
    const { training, momentum, eps } = a;
    const y = w.batchNorm(x, g, b, { runningMean: rm, runningVar: rv, training, momentum, eps });
    return a.training ? [y, rm, rv] : y;
  },
  group_norm: (a, { x, g, b }) => w.groupNorm(x, a.groups, g, b, { eps: a.eps }),
  instance_norm: (a, { x, g, b }) => w.instanceNorm(x, g ?? null, b ?? null, { eps: a.eps }),
  layer_norm: (a, { x, g, b }) => w.layerNorm(x, a.shape, g, b, { eps: a.eps }),
  max_pool2d: pool(w.maxPool2d),
  max_pool2d_ties: pool(w.maxPool2d),
  max_pool3d: pool(w.maxPool3d),
  avg_pool2d: pool(w.avgPool2d),
  avg_pool3d: pool(w.avgPool3d),
  adaptive_avg_pool2d: (a, { x }) => w.adaptiveAvgPool2d(x, a.output_size),
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
  tversky: (a, { x, t }) =>
    w.tversky(w.sigmoid(x), t, { alpha: a.alpha, beta: a.beta, smooth: a.smooth, batch: false }),
  focal: (a, { x, t }) => w.focal(x, t, { gamma: a.gamma, alpha: a.alpha }),
  mse: (_, { x, target }) => w.mse(x, target),
  l1: (_, { x, target }) => w.l1(x, target),
  smooth_l1: (a, { x, target }) => w.smoothL1(x, target, { beta: a.beta }),
};

beforeAll(() => w.init());
afterAll(() => w.close());

const optimisers = { sgd: w.optim.SGD, adam: w.optim.Adam, adamw: w.optim.AdamW, rmsprop: w.optim.RMSprop };

/** The parameter after each step, its gradient set by hand. */
async function checkOptimiser(c: GoldenCase): Promise<void> {
  const { kind, weight_decay, ...options } = c.attrs as Record<string, any>;
  const { p0, grads } = c.inputs;
  const [steps, n] = grads.shape;
  const p = upload({ ...p0, grad: true });
  const optimiser = new optimisers[kind as keyof typeof optimisers]([p], {
    ...options,
    weightDecay: weight_decay ?? 0,
  });
  const after: number[] = [];
  for (let k = 0; k < steps; k++) {
    p.grad = upload({ shape: [n], data: grads.data.slice(k * n, (k + 1) * n), grad: false });
    await w.step(() => optimiser.step());
    after.push(...(await p.read()));
  }
  expectClose(c.name, { shape: [steps, n], data: after }, c.outputs[0], c.outputs[0].tol);
}

/** The total norm, and the gradient scaled in place. */
async function checkClip(c: GoldenCase): Promise<void> {
  const p = upload({ ...c.inputs.g, grad: true });
  p.grad = upload({ ...c.inputs.g, grad: false });
  const norm: Tensor = await w.step(() => w.optim.clipGradNorm([p], c.attrs.max_norm as number));
  const expected = c.attrs.total_norm as number;
  expect(Math.abs((await norm.item()) - expected)).toBeLessThan(2e-6 * expected);
  expectClose(c.name, { shape: c.inputs.g.shape, data: await p.grad.read() }, c.outputs[0], c.outputs[0].tol);
}

type Check = (c: GoldenCase) => Promise<void>;
const special: Record<string, Check> = { optimizer: checkOptimiser, clip_grad_norm: checkClip };

test("every golden operation has an adapter, and every adapter a case", () => {
  const golden = [...new Set(goldenCases.map((c) => c.op))].sort();
  expect([...Object.keys(adapters), ...Object.keys(special)].sort()).toEqual(golden);
});

for (const c of goldenCases) {
  test(c.name, async () => {
    if (c.op in special) await special[c.op](c);
    else if (c.op in adapters) await checkGolden(c, (inputs) => adapters[c.op](c.attrs, inputs));
    else throw new Error(`no adapter for golden operation ${c.op}: add a row to the table in golden.test.ts`);
  });
}
