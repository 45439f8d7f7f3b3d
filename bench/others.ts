// Everything that is not a convolution, at the sizes of a Res-UNet's first level: mostly bound by memory.

import * as w from "../src/index.ts";
import { Rng, type Tensor } from "../src/index.ts";
import { bytesOf, directionalError, FORWARD_TOLERANCE, GRADIENT_TOLERANCE, gradientsOf, leaf, sampled, type Case, type Work } from "./case.ts";

type Values = Float32Array | Int32Array | Uint32Array;

/** An operation as a function of its inputs, and its value at an index on the host. */
interface Operation {
  readonly inputs: readonly Tensor[];
  readonly forward: (inputs: readonly Tensor[]) => Tensor;
  readonly expected: (values: readonly Values[], index: number) => number;
  readonly flops?: number;
  /** Step of the gradient check; small where kinks cost digits. */
  readonly h?: number;
}

/** Its gradient is the gradient it is given: nothing to run. */
const NO_BACKWARD = ["add"];

const KINK = 1e-4;
const FEATURES = [2, 32, 128, 128] as const;
const PLANE = 128 * 128;
const CHANNELS = 32;

function random(shape: readonly number[], stream = 0): Tensor {
  return leaf(w.randn([...shape], new Rng(3, stream)));
}

/** Labels of `classes` classes, not differentiable. */
function labels(shape: readonly number[], classes: number): Tensor {
  const rng = new Rng(4);
  return w.tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b) }, () => rng.integer(classes)), { shape: [...shape] });
}

const OPERATIONS: readonly [name: string, shape: string, make: () => Operation][] = [
  ["add", show(FEATURES), () => ({ inputs: [random(FEATURES), random(FEATURES, 1)], forward: ([a, b]) => w.add(a, b), expected: ([a, b], i) => a[i] + b[i] })],
  ["add per channel", `${show(FEATURES)} + [32,1,1]`, () => ({ inputs: [random(FEATURES).detach(), random([32, 1, 1], 1)], forward: ([a, b]) => w.add(a, b), expected: ([a, b], i) => a[i] + b[channel(i)] })],
  ["relu", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.relu(x), expected: ([x], i) => Math.max(0, x[i]), h: KINK })],
  ["gelu", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.gelu(x, { approximate: "tanh" }), expected: ([x], i) => geluTanh(x[i]) })],
  ["sum over all", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.sum(x), expected: ([x]) => total(x) })],
  ["sum per channel", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.sum(x, { dims: [0, 2, 3] }), expected: ([x], c) => channelMoments(x, c).sum })],
  ["matmul", "512 x 512 x 512", () => ({ inputs: [random([512, 512]), random([512, 512], 1)], forward: ([a, b]) => w.matmul(a, b), expected: ([a, b], i) => product(a, b, i, 512), flops: 2 * 512 ** 3 })],
  ["max pool 2", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.maxPool2d(x, { kernelSize: 2 }), expected: ([x], i) => Math.max(...window2(x, i)), h: KINK })],
  ["avg pool 2", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.avgPool2d(x, { kernelSize: 2 }), expected: ([x], i) => total(window2(x, i)) / 4 })],
  ["global avg pool", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.globalAvgPool(x), expected: ([x], p) => total(x.subarray(p * PLANE, (p + 1) * PLANE)) / PLANE })],
  ["batch norm", show(FEATURES), () => normalisation(([x, g, b]) => w.batchNorm(x, g, b, { training: true }), batchStatistics)],
  ["batch norm + relu", show(FEATURES), () => ({ ...normalisation(([x, g, b]) => w.batchNorm(x, g, b, { training: true, activation: "relu" }), batchStatistics), expected: (v, i) => Math.max(0, normalised(v, i, batchStatistics(v[0], i))), h: KINK })],
  ["group norm 8", show(FEATURES), () => normalisation(([x, g, b]) => w.groupNorm(x, 8, g, b), (x, i) => rangeStatistics(x, i, 4 * PLANE))],
  ["instance norm", show(FEATURES), () => normalisation(([x, g, b]) => w.instanceNorm(x, g, b), (x, i) => rangeStatistics(x, i, PLANE))],
  ["layer norm", "[4096,256]", () => ({ inputs: [random([4096, 256]), random([256], 1), random([256], 2)], forward: ([x, g, b]) => w.layerNorm(x, [256], g, b), expected: ([x, g, b], i) => { const { mean, variance } = rangeStatistics(x, i, 256); return ((x[i] - mean) / Math.sqrt(variance + 1e-5)) * g[i % 256] + b[i % 256]; } })],
  ["squeeze-excitation r4", show(FEATURES), () => ({ inputs: [random(FEATURES), random([8, 32], 1), random([32, 8], 2)], forward: ([x, a, b]) => w.squeezeExcitation(x, a, null, b, null), expected: excited })],
  ["interpolate linear x2", "[2,32,64,64]", () => ({ inputs: [random([2, 32, 64, 64])], forward: ([x]) => w.interpolate(x, { scale: 2, mode: "linear" }), expected: ([x], i) => bilinear(x, i) })],
  ["interpolate nearest x2", "[2,32,64,64]", () => ({ inputs: [random([2, 32, 64, 64])], forward: ([x]) => w.interpolate(x, { scale: 2, mode: "nearest" }), expected: ([x], i) => x[Math.floor(i / PLANE) * 4096 + (Math.floor((i % PLANE) / 128) >> 1) * 64 + ((i % 128) >> 1)] })],
  ["concat channels", "2 x [2,16,128,128]", () => ({ inputs: [random([2, 16, 128, 128]), random([2, 16, 128, 128], 1)], forward: ([a, b]) => w.concat([a, b], 1), expected: ([a, b], i) => { const n = Math.floor(i / (32 * PLANE)); const r = i % (32 * PLANE); return r < 16 * PLANE ? a[n * 16 * PLANE + r] : b[n * 16 * PLANE + r - 16 * PLANE]; } })],
  ["permute to channels last", show(FEATURES), () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.permute(x, [0, 2, 3, 1]), expected: ([x], i) => x[(Math.floor(i / (32 * PLANE)) * 32 + (i % 32)) * PLANE + (Math.floor(i / 32) % PLANE)] })],
  ["softmax channels", "[2,4,128,128]", () => ({ inputs: [random([2, 4, 128, 128])], forward: ([x]) => w.softmax(x, 1), expected: ([x], i) => softmaxAt(x, i) })],
  ["cross entropy", "[2,4,128,128]", () => labelled([2, 4, 128, 128], (x, t) => w.crossEntropy(x, t), (x, t) => crossEntropyOf(x, t))],
  ["dice + cross entropy", "[2,4,128,128]", () => labelled([2, 4, 128, 128], (x, t) => w.diceCrossEntropy(x, t), (x, t) => crossEntropyOf(x, t) + diceLossOf(x, t))],
  ["difficulty cross entropy", "[2,4,128,128]", difficulty],
  ["dice + bce", "[2,1,128,128]", diceBce],
];

/** Forward and gradients of every operation, dropout, and the optimiser's step. */
export function otherCases(): Case[] {
  const both = OPERATIONS.flatMap(([name, shape, make]) => [
    { name: `${name} forward`, shape, setup: () => forwardWork(make()) },
    { name: `${name} backward`, shape, setup: () => backwardWork(make()) },
  ]).filter((c) => !NO_BACKWARD.some((name) => c.name === `${name} backward`));
  return [...both, { name: "dropout forward", shape: show(FEATURES), setup: dropoutWork }, ...(["Adam", "AdamW", "SGD"] as const).map(optimiserCase)];
}

function forwardWork({ inputs, forward, expected, flops = 0 }: Operation): Work {
  const y = forward(inputs);
  const check = async () => {
    const values: Values[] = [];
    for (const t of inputs) values.push(await t.read());
    return sampled(y, (i) => expected(values, i), 16);
  };
  return { run: () => void w.noGrad(() => forward(inputs)), flops, bytes: bytesOf(...inputs, y), check, tolerance: FORWARD_TOLERANCE };
}

function backwardWork({ inputs, forward, flops = 0, h = 0.01 }: Operation): Work {
  const y = forward(inputs);
  const dy = w.randn(y.shape, new Rng(5));
  const wanted = inputs.filter((t) => t.requiresGrad);
  return { run: () => void gradientsOf(y, dy), flops: 2 * flops, bytes: bytesOf(dy, ...wanted), check: () => directionalError(forward, inputs, h), tolerance: GRADIENT_TOLERANCE };
}

function dropoutWork(): Work {
  const x = random(FEATURES);
  const rng = new Rng(6, "dropout");
  const forward = () => w.dropout(x, { p: 0.25, training: true, rng });
  const check = async () => {
    const [before, after] = [await x.read(), await forward().read()];
    const kept = meanOver(after.length, (i) => (after[i] !== 0 ? 1 : 0));
    const wrong = after.some((v: number, i: number) => v !== 0 && Math.abs(v - before[i] / 0.75) > 1e-5);
    return wrong ? Infinity : Math.abs(kept - 0.75) / 100; // a mean of 10^6 draws lies within 0.2 % of 0.75
  };
  return { run: () => void w.noGrad(forward), flops: 0, bytes: 2 * bytesOf(x), check, tolerance: FORWARD_TOLERANCE };
}

function optimiserCase(kind: "Adam" | "AdamW" | "SGD"): Case {
  const sizes = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? [64, 64, 3, 3] : [64]));
  const count = sizes.reduce((n, s) => n + s.reduce((a, b) => a * b), 0);
  const setup = (): Work => {
    const parameters = sizes.map((s, i) => random(s, i));
    for (const p of parameters) p.grad = w.randn(p.shape, new Rng(7));
    const optimiser = new w.optim[kind](parameters, { lr: 0.01 });
    const check = async () => {
      const [p, g] = [await parameters[0].read(), await parameters[0].grad!.read()];
      await w.step(() => optimiser.step());
      // The first step of Adam moves each weight by lr in the direction of its gradient; AdamW also decays by lr * 0.01.
      const decay = kind === "AdamW" ? 1 - 0.01 * 0.01 : 1;
      return sampled(parameters[0], (i) => p[i] * decay - 0.01 * (kind === "SGD" ? g[i] : g[i] / (Math.abs(g[i]) + 1e-8)));
    };
    return { run: () => optimiser.step(), flops: 0, bytes: 4 * count * (kind === "SGD" ? 3 : 7), check, tolerance: FORWARD_TOLERANCE };
  };
  return { name: `${kind} step`, shape: `${count} weights in ${sizes.length} tensors`, setup };
}

function normalisation(forward: Operation["forward"], statistics: (x: Values, i: number) => Moments): Operation {
  return { inputs: [random(FEATURES), random([CHANNELS], 1), random([CHANNELS], 2)], forward, expected: (v, i) => normalised(v, i, statistics(v[0], i)) };
}

function labelled(shape: number[], forward: (x: Tensor, t: Tensor) => Tensor, host: (x: Values, t: Values) => number): Operation {
  const target = labels([shape[0], ...shape.slice(2)], shape[1]);
  return { inputs: [random(shape), target], forward: ([x, t]) => forward(x, t), expected: ([x, t]) => host(x, t) };
}

function difficulty(): Operation {
  const confidence = w.rand([2, 1, 128, 128], new Rng(8));
  const weight = (m: number) => (1 - m) ** 2 + Math.abs(1 - m);
  return {
    inputs: [random([2, 4, 128, 128]), labels([2, 128, 128], 4), confidence],
    forward: ([x, t, m]) => w.difficultyWeightedCrossEntropy(x, t, m),
    expected: ([x, t, m]) => meanOver(t.length, (p) => -weight(m[p]) * Math.log(softmaxAt(x, pixelIndex(p, t[p])))),
  };
}

function diceBce(): Operation {
  const target = w.tensor(Float32Array.from({ length: 2 * PLANE }, (_, i) => (i % 3 === 0 ? 1 : 0)), { shape: [2, 1, 128, 128] });
  return {
    inputs: [random([2, 1, 128, 128]), target],
    forward: ([x, t]) => w.diceBce(x, t),
    expected: ([x, t]) => {
      const p = Float64Array.from(x, (v) => 1 / (1 + Math.exp(-v)));
      const overlap = p.reduce((s, v, i) => s + v * t[i], 0);
      return meanOver(t.length, (i) => -Math.log(t[i] ? p[i] : 1 - p[i])) + 1 - (2 * overlap + 1e-5) / (total(p) + total(t) + 1e-5);
    },
  };
}

// Host references, in float64.

interface Moments { mean: number; variance: number }

const channel = (i: number): number => Math.floor(i / PLANE) % CHANNELS;
const pixelIndex = (p: number, c: number): number => (Math.floor(p / PLANE) * 4 + c) * PLANE + (p % PLANE);

function show(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}

function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

function meanOver(n: number, f: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += f(i);
  return sum / n;
}

function moments(values: ArrayLike<number>): Moments {
  const mean = total(values) / values.length;
  return { mean, variance: meanOver(values.length, (i) => (values[i] - mean) ** 2) };
}

function rangeStatistics(x: Values, i: number, length: number): Moments {
  const start = Math.floor(i / length) * length;
  return moments(x.subarray(start, start + length));
}

function channelMoments(x: Values, c: number): Moments & { sum: number } {
  const values = [0, 1].flatMap((n) => [...x.subarray((n * CHANNELS + c) * PLANE, (n * CHANNELS + c + 1) * PLANE)]);
  return { ...moments(values), sum: total(values) };
}

const batchStatistics = (x: Values, i: number): Moments => channelMoments(x, channel(i));

function normalised([x, g, b]: readonly Values[], i: number, { mean, variance }: Moments): number {
  return ((x[i] - mean) / Math.sqrt(variance + 1e-5)) * g[channel(i)] + b[channel(i)];
}

function product(a: Values, b: Values, index: number, n: number): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[Math.floor(index / n) * n + k] * b[k * n + (index % n)];
  return sum;
}

function window2(x: Values, i: number): number[] {
  const at = Math.floor(i / 4096) * PLANE + 2 * Math.floor((i % 4096) / 64) * 128 + 2 * (i % 64);
  return [x[at], x[at + 1], x[at + 128], x[at + 129]];
}

function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

function bilinear(x: Values, i: number): number {
  const source = (o: number) => Math.max(0, (o + 0.5) / 2 - 0.5);
  const [r, c] = [source(Math.floor((i % PLANE) / 128)), source(i % 128)];
  const [r0, c0] = [Math.floor(r), Math.floor(c)];
  const at = (a: number, b: number) => x[Math.floor(i / PLANE) * 4096 + Math.min(a, 63) * 64 + Math.min(b, 63)];
  const row = (a: number) => at(a, c0) * (1 - (c - c0)) + at(a, c0 + 1) * (c - c0);
  return row(r0) * (1 - (r - r0)) + row(r0 + 1) * (r - r0);
}

function softmaxAt(x: Values, i: number): number {
  const n = Math.floor(i / (4 * PLANE));
  const all = [0, 1, 2, 3].map((c) => Math.exp(x[(n * 4 + c) * PLANE + (i % PLANE)]));
  return all[Math.floor(i / PLANE) % 4] / total(all);
}

function crossEntropyOf(x: Values, t: Values): number {
  return meanOver(t.length, (p) => -Math.log(softmaxAt(x, pixelIndex(p, t[p]))));
}

/** Batch dice over all four classes, smooth 1e-5. */
function diceLossOf(x: Values, t: Values): number {
  return meanOver(4, (c) => {
    const p = Float64Array.from(t, (_, i) => softmaxAt(x, pixelIndex(i, c)));
    const overlap = p.reduce((s, v, i) => s + (t[i] === c ? v : 0), 0);
    const count = t.length * meanOver(t.length, (i) => (t[i] === c ? 1 : 0));
    return 1 - (2 * overlap + 1e-5) / (total(p) + count + 1e-5);
  });
}

function excited([x, a, b]: readonly Values[], i: number): number {
  const n = Math.floor(i / (CHANNELS * PLANE));
  const pooled = Array.from({ length: CHANNELS }, (_, c) => total(x.subarray((n * CHANNELS + c) * PLANE, (n * CHANNELS + c + 1) * PLANE)) / PLANE);
  const hidden = Array.from({ length: 8 }, (_, h) => Math.max(0, total(pooled.map((v, c) => v * a[h * CHANNELS + c]))));
  const gate = total(hidden.map((v, h) => v * b[channel(i) * 8 + h]));
  return x[i] / (1 + Math.exp(-gate));
}
