// Every operation that has an ONNX form, by onnxruntime and by wgrad.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { Rng, close, init, tensor, type Tensor } from "../../src/index.ts";
import { operations } from "../../src/onnx/operations/index.ts";
import { recordOperations } from "../../src/onnx/record.ts";
import { parity, printParity, type Case, type Parity } from "./parity.ts";

beforeAll(() => init());
afterAll(() => close());

const rng = new Rng(3, "onnx");
const uniform = (shape: readonly number[], low = -1, high = 1) =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.range(low, high)),
    { shape },
  );

const image = [2, 3, 5, 6];
const volume = [1, 2, 4, 5, 6];

type Row = readonly [
  name: string,
  forward: Case["forward"],
  shapes?: Case["shapes"],
  values?: Case["values"],
  options?: Case["options"],
];

const positive = (u: number) => 0.1 + 3 * u;
const whole = (u: number) => Math.round(4 * u - 2); // equal ones, halves, zeros
const halves = (u: number) => Math.round(8 * u - 4) / 2;

const unary = ["neg", "exp", "abs", "sign", "square", "sin", "cos", "erf", "floor", "relu", "leakyRelu"] as const;
const curved = ["elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "hardswish", "mish", "logSigmoid"] as const;
const roots = ["log", "sqrt", "rsqrt", "reciprocal"] as const;
const binary = ["add", "sub", "mul", "div", "minimum", "maximum"] as const;
const compared = ["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"] as const;
const reduced = ["sum", "mean", "variance", "max", "min", "logSumExp", "norm"] as const;

let parameters: Record<string, Tensor> = {};
beforeAll(() => {
  parameters = {
    slopes: uniform([3]),
    channel: uniform([3], 0.5, 2),
    bias: uniform([3]),
    mean: uniform([3]),
    variance: uniform([3], 0.5, 2),
    row: uniform([5, 6], 0.5, 2),
    rowBias: uniform([5, 6]),
    conv: uniform([4, 3, 3, 3]),
    convBias: uniform([4]),
    grouped: uniform([6, 1, 3, 2]),
    conv1: uniform([4, 3, 3]),
    conv3: uniform([3, 2, 2, 3, 3]),
    up: uniform([3, 2, 4, 4]),
    upGrouped: uniform([3, 1, 3, 3]),
    up3: uniform([2, 3, 2, 2, 2]),
    w1: uniform([2, 3]),
    b1: uniform([2]),
    w2: uniform([3, 2]),
    b2: uniform([3]),
    linear: uniform([4, 6]),
    linearBias: uniform([4]),
    column: uniform([6]),
    matrix: uniform([6, 4]),
    matrices: uniform([3, 4, 6]),
  };
});
const p = (name: string) => parameters[name];

const rows: readonly Row[] = [
  ...[...unary, ...curved].map((op): Row => [op, (x) => w[op](x)]),
  ...roots.map((op): Row => [op, (x) => w[op](x), [image], positive]),
  ["round", (x) => w.round(x), [image], halves],
  ["gelu, tanh", (x) => w.gelu(x, { approximate: "tanh" })],
  ["clamp", (x) => w.clamp(x, { min: -0.5, max: 1 })],
  ["clamp, one limit", (x) => w.clamp(x, { min: 0.25 })],
  ["elu, alpha", (x) => w.elu(x, 0.7)],
  ["prelu", (x) => w.prelu(x, p("slopes"))],
  ["prelu, of rows", (x) => w.prelu(x, p("slopes")), [[4, 3]]],
  ["cast", (x) => w.cast(x, "i32")],
  ...binary.map((op): Row => [op, (a, b) => w[op](a, b), [image, [2, 1, 5, 1]], positive]),
  ["pow", (a, b) => w.pow(a, b), [image, image], positive],
  ["numbers", (x) => w.div(w.sub(3, w.mul(w.add(x, 0.5), 2)), 7)],
  ...compared.map((op): Row => [op, (a, b) => w[op](a, b), [image, image], whole]),
  ["where", (a, b) => w.where(w.less(a, b), w.neg(a), b), [image, image]],
  ...reduced.map((op): Row => [op, (x) => w[op](x, { dims: [1, -1] })]),
  ...reduced.map((op): Row => [`${op}, kept`, (x) => w[op](x, { dims: 2, keepDim: true })]),
  ["mean of all", (x) => w.mean(x)],
  ["argmax", (x) => w.argmax(x, { dim: 1 }), [image], whole],
  ["argmax of all", (x) => w.argmax(x, { keepDim: true })],
  ["softmax", (x) => w.softmax(x, 1)],
  ["logSoftmax", (x) => w.logSoftmax(x, -1)],
  [
    "matmul",
    (a, b) => w.matmul(a, b),
    [
      [2, 5, 6],
      [2, 6, 4],
    ],
  ],
  ["matmul, transposed", (x) => w.matmul(x, p("matrices"), { transposeA: true, transposeB: true }), [[2, 3, 6, 5]]],
  ["matmul by a matrix", (x) => w.matmul(x, p("matrix"))],
  ["matmul by a vector", (x) => w.matmul(x, p("column"))],
  ["linear", (x) => w.linear(x, p("linear"), p("linearBias"))],
  ["linear, no bias", (x) => w.linear(x, p("linear"))],
  ["reshape", (x) => w.reshape(x, [x.shape[0], 3, -1])],
  ["reshape of the batch", (x) => w.reshape(x, [-1, 6])],
  ["flatten, squeeze, unsqueeze", (x) => w.unsqueeze(w.squeeze(w.flatten(x, 2), 1), 2), [[2, 1, 2, 3]]],
  ["permute", (x) => w.permute(x, [0, 2, 3, 1])],
  ["transpose", (x) => w.transpose(x)],
  ["permute and back", (x) => w.add(w.permute(w.permute(x, [0, 1, 3, 2]), [0, 1, 3, 2]), x)],
  ["views and back", (x) => w.relu(w.reshape(w.reshape(x, [-1]), x.shape)), [[2, 3, 1]]],
  ["broadcastTo", (x) => w.broadcastTo(x, [x.shape[0], 3, 4, 6]), [[2, 3, 1, 6]]],
  [
    "broadcastTo, a dimension more",
    (x) => w.slice(w.broadcastTo(x, [1, 2, 3, 5, 6]), { dim: 0, start: 0, end: 1 }),
    [[2, 3, 5, 6]],
    undefined,
    { dynamicBatch: false },
  ],
  ["flip", (x) => w.flip(x, [1, 3])],
  ["pixelShuffle", (x) => w.pixelShuffle(x, 2), [[2, 8, 3, 4]]],
  ["concat", (a, b, c) => w.concat([a, b, w.relu(c)], 1), [image, [2, 1, 5, 6], image]],
  ["concat of two", (a, b) => w.concat([a, b], -1), [image, image]],
  ["stack", (a, b) => w.stack([a, b], 1), [image, image]],
  ["slice", (x) => w.slice(x, { ranges: [null, [1, 3], [0, 5, 2], [-4, -1]] })],
  ["slice of rows", (x) => w.slice(x, { dim: 1, start: 1 })],
  ["split and chunk", (x) => [...w.split(x, [1, 2], 1), ...w.chunk(x, 2, 3)]],
  ["pad", (x) => w.pad(x, [1, 2, 0, 1], { value: 0.5 })],
  ["pad that crops", (x) => w.pad(x, [-1, 2])],
  ["pad, reflect", (x) => w.pad(x, [1, 2, 2, 1], { mode: "reflect" })],
  ["pad, replicate", (x) => w.pad(x, [1, 2, 2, 1], { mode: "replicate" })],
  ["pad, circular", (x) => w.pad(x, [1, 2, 2, 1], { mode: "circular" })],
  ["conv2d", (x) => w.conv2d(x, p("conv"), p("convBias"), { padding: 1 })],
  [
    "conv2d, dilated, strided",
    (x) => w.conv2d(x, p("conv"), null, { padding: [2, 3], dilation: [1, 2], stride: [2, 1] }),
  ],
  ["conv2d, groups", (x) => w.conv2d(x, p("grouped"), null, { groups: 3 })],
  ["conv1d", (x) => w.conv1d(x, p("conv1"), p("convBias"), { stride: 2 }), [[2, 3, 9]]],
  ["conv3d", (x) => w.conv3d(x, p("conv3"), p("bias"), { padding: [1, 1, 0], stride: [1, 2, 1] }), [volume]],
  ["convTranspose2d", (x) => w.convTranspose2d(x, p("up"), null, { stride: 2, padding: 1 })],
  [
    "convTranspose2d, groups, dilated",
    (x) =>
      w.convTranspose2d(x, p("upGrouped"), p("bias"), {
        groups: 3,
        stride: 3,
        dilation: 2,
        padding: 1,
        outputPadding: [1, 2],
      }),
  ],
  ["convTranspose1d", (x) => w.convTranspose1d(x, p("conv1"), p("bias"), { stride: 2 }), [[2, 4, 5]]],
  ["convTranspose3d", (x) => w.convTranspose3d(x, p("up3"), p("bias"), { stride: [2, 1, 2] }), [volume]],
  [
    "batchNorm",
    (x) =>
      w.batchNorm(x, p("channel"), p("bias"), { training: false, runningMean: p("mean"), runningVar: p("variance") }),
  ],
  [
    "batchNorm, residual, relu",
    (x, r) =>
      w.batchNorm(x, null, null, {
        training: false,
        runningMean: p("mean"),
        runningVar: p("variance"),
        residual: r,
        activation: "relu",
        eps: 1e-3,
      }),
    [image, image],
  ],
  [
    "batchNorm of rows",
    (x) => w.batchNorm(x, p("channel"), null, { training: false, runningMean: p("mean"), runningVar: p("variance") }),
    [[4, 3]],
  ],
  ["groupNorm", (x) => w.groupNorm(x, 2, null, null, { activation: "relu" }), [[2, 4, 3, 5]]],
  ["groupNorm, affine", (x) => w.groupNorm(x, 1, p("channel"), p("bias"))],
  ["instanceNorm", (x) => w.instanceNorm(x, p("channel"), p("bias"))],
  ["instanceNorm of volumes", (x) => w.instanceNorm(x), [volume]],
  ["layerNorm", (x) => w.layerNorm(x, [5, 6], p("row"), p("rowBias"))],
  ["layerNorm, plain", (x) => w.layerNorm(x, [6])],
  ["maxPool2d", (x) => w.maxPool2d(x, { kernelSize: 2 })],
  ["maxPool2d, ceil", (x) => w.maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1, ceilMode: true }), [[2, 3, 6, 8]]],
  ["maxPool2d, dilated", (x) => w.maxPool2d(x, { kernelSize: [2, 3], stride: 1, dilation: 2 })],
  ["maxPool3d", (x) => w.maxPool3d(x, { kernelSize: [1, 2, 3], padding: [0, 1, 1] }), [volume]],
  ["avgPool2d", (x) => w.avgPool2d(x, { kernelSize: 2 })],
  ["avgPool2d, padded", (x) => w.avgPool2d(x, { kernelSize: 3, stride: 2, padding: 1 })],
  ["avgPool2d, ceil", (x) => w.avgPool2d(x, { kernelSize: 3, stride: 2, padding: 1, ceilMode: true }), [[2, 3, 6, 8]]],
  [
    "avgPool2d, zeros left out",
    (x) => w.avgPool2d(x, { kernelSize: 3, stride: 2, padding: 1, ceilMode: true, countIncludePad: false }),
    [[2, 3, 6, 8]],
  ],
  ["avgPool3d", (x) => w.avgPool3d(x, { kernelSize: 2, padding: [0, 1, 1] }), [volume]],
  ["adaptiveAvgPool2d", (x) => w.adaptiveAvgPool2d(x, [5, 2])],
  ["globalAvgPool", (x) => w.globalAvgPool(x), [volume]],
  ["interpolate to a size", (x) => w.interpolate(x, { size: [7, 4], mode: "linear" })],
  ["interpolate, corners", (x) => w.interpolate(x, { size: [9, 11], mode: "linear", alignCorners: true })],
  ["interpolate by a factor", (x) => w.interpolate(x, { scale: [1.5, 2.25], mode: "linear" })],
  ["interpolate volumes", (x) => w.interpolate(x, { size: [7, 5, 3], mode: "linear" }), [volume]],
  ["interpolate, nearest", (x) => w.interpolate(x, { size: [8, 10], mode: "nearest" }), [[1, 2, 5, 6]]],
  ["interpolate, nearest by a factor", (x) => w.interpolate(x, { scale: 2, mode: "nearest" }), [volume]],
  ["squeezeExcitation", (x) => w.squeezeExcitation(x, p("w1"), p("b1"), p("w2"), p("b2"))],
  ["squeezeExcitation of volumes", (x) => w.squeezeExcitation(x, p("w1"), null, p("w2"), null), [[2, 3, 2, 3, 4]]],
  ["constants", (x) => w.add(w.mul(x, w.tensor([1, 2, 3, 4, 5, 6])), w.full([5, 1], 0.25))],
  ["dropout in evaluation", (x) => w.dropout(w.relu(x), { training: false, rng: new Rng(1) })],
  ["an input as output, twice", (x) => ({ same: x, again: x, twice: w.relu(x), also: w.relu(x) })],
];

const found: (Parity & { name: string })[] = [];
const used = new Set<string>();

/**
 * Of the largest value. Sums of up to 64 products are added in another order, which moves them by some 64 x 2^-24 = 4e-6 at
 * worst; exponentials and logarithms differ by a few roundings.
 */
const TOLERANCE = 4e-6;

test.each(rows.map((row) => [row[0], row] as const))(
  "%s",
  async (name, [, forward, shapes = [image], values, options]) => {
    const inputs = shapes.map((shape) => ({ shape }));
    for (const { op } of (await recordOperations(forward, inputs)).operations) used.add(op);
    const result = await parity({ name, forward, shapes, values, options });
    found.push({ name, ...result });
    expect(result.difference).toBeLessThanOrEqual(TOLERANCE * Math.max(1, result.largest));
  },
);

test("every form is tried", () => {
  expect(Object.keys(operations).filter((op) => !used.has(op))).toEqual([]);
});

afterAll(() => printParity(found));
