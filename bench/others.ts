// Everything that is not a convolution, at the sizes of a Res-UNet's first level: mostly bound by memory.

import * as w from "../src/index.ts";
import { Rng, type Tensor } from "../src/index.ts";
import {
  bytesOf,
  directionalError,
  FORWARD_TOLERANCE,
  GRADIENT_TOLERANCE,
  gradientsOf,
  leaf,
  sampled,
  type Case,
  type Work,
} from "./case.ts";
import {
  CHANNELS,
  type Moments,
  PLANE,
  type Values,
  batchStatistics,
  bilinear,
  channel,
  channelMoments,
  crossEntropyOf,
  diceLossOf,
  excited,
  geluTanh,
  meanOver,
  normalised,
  pixelIndex,
  product,
  rangeStatistics,
  show,
  softmaxAt,
  total,
  window2,
} from "./reference.ts";

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

function random(shape: readonly number[], stream = 0): Tensor {
  return leaf(w.randn([...shape], new Rng(3, stream)));
}

/** Labels of `classes` classes, not differentiable. */
function labels(shape: readonly number[], classes: number): Tensor {
  const rng = new Rng(4);
  return w.tensor(
    Int32Array.from({ length: shape.reduce((a, b) => a * b) }, () => rng.integer(classes)),
    { shape: [...shape] },
  );
}

const OPERATIONS: readonly [name: string, shape: string, make: () => Operation][] = [
  [
    "add",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES), random(FEATURES, 1)],
      forward: ([a, b]) => w.add(a, b),
      expected: ([a, b], i) => a[i] + b[i],
    }),
  ],
  [
    "add per channel",
    `${show(FEATURES)} + [32,1,1]`,
    () => ({
      inputs: [random(FEATURES).detach(), random([32, 1, 1], 1)],
      forward: ([a, b]) => w.add(a, b),
      expected: ([a, b], i) => a[i] + b[channel(i)],
    }),
  ],
  [
    "relu",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.relu(x),
      expected: ([x], i) => Math.max(0, x[i]),
      h: KINK,
    }),
  ],
  [
    "gelu",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.gelu(x, { approximate: "tanh" }),
      expected: ([x], i) => geluTanh(x[i]),
    }),
  ],
  [
    "sum over all",
    show(FEATURES),
    () => ({ inputs: [random(FEATURES)], forward: ([x]) => w.sum(x), expected: ([x]) => total(x) }),
  ],
  [
    "sum per channel",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.sum(x, { dims: [0, 2, 3] }),
      expected: ([x], c) => channelMoments(x, c).sum,
    }),
  ],
  [
    "matmul",
    "512 x 512 x 512",
    () => ({
      inputs: [random([512, 512]), random([512, 512], 1)],
      forward: ([a, b]) => w.matmul(a, b),
      expected: ([a, b], i) => product(a, b, i, 512),
      flops: 2 * 512 ** 3,
    }),
  ],
  [
    "max pool 2",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.maxPool2d(x, { kernelSize: 2 }),
      expected: ([x], i) => Math.max(...window2(x, i)),
      h: KINK,
    }),
  ],
  [
    "avg pool 2",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.avgPool2d(x, { kernelSize: 2 }),
      expected: ([x], i) => total(window2(x, i)) / 4,
    }),
  ],
  [
    "global avg pool",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.globalAvgPool(x),
      expected: ([x], p) => total(x.subarray(p * PLANE, (p + 1) * PLANE)) / PLANE,
    }),
  ],
  [
    "batch norm",
    show(FEATURES),
    () => normalisation(([x, g, b]) => w.batchNorm(x, g, b, { training: true }), batchStatistics),
  ],
  [
    "batch norm + relu",
    show(FEATURES),
    () => ({
      ...normalisation(([x, g, b]) => w.batchNorm(x, g, b, { training: true, activation: "relu" }), batchStatistics),
      expected: (v, i) => Math.max(0, normalised(v, i, batchStatistics(v[0], i))),
      h: KINK,
    }),
  ],
  [
    "group norm 8",
    show(FEATURES),
    () =>
      normalisation(
        ([x, g, b]) => w.groupNorm(x, 8, g, b),
        (x, i) => rangeStatistics(x, i, 4 * PLANE),
      ),
  ],
  [
    "instance norm",
    show(FEATURES),
    () =>
      normalisation(
        ([x, g, b]) => w.instanceNorm(x, g, b),
        (x, i) => rangeStatistics(x, i, PLANE),
      ),
  ],
  [
    "layer norm",
    "[4096,256]",
    () => ({
      inputs: [random([4096, 256]), random([256], 1), random([256], 2)],
      forward: ([x, g, b]) => w.layerNorm(x, [256], g, b),
      expected: ([x, g, b], i) => {
        const { mean, variance } = rangeStatistics(x, i, 256);
        return ((x[i] - mean) / Math.sqrt(variance + 1e-5)) * g[i % 256] + b[i % 256];
      },
    }),
  ],
  [
    "squeeze-excitation r4",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES), random([8, 32], 1), random([32, 8], 2)],
      forward: ([x, a, b]) => w.squeezeExcitation(x, a, null, b, null),
      expected: excited,
    }),
  ],
  [
    "interpolate linear x2",
    "[2,32,64,64]",
    () => ({
      inputs: [random([2, 32, 64, 64])],
      forward: ([x]) => w.interpolate(x, { scale: 2, mode: "linear" }),
      expected: ([x], i) => bilinear(x, i),
    }),
  ],
  [
    "interpolate nearest x2",
    "[2,32,64,64]",
    () => ({
      inputs: [random([2, 32, 64, 64])],
      forward: ([x]) => w.interpolate(x, { scale: 2, mode: "nearest" }),
      expected: ([x], i) =>
        x[Math.floor(i / PLANE) * 4096 + (Math.floor((i % PLANE) / 128) >> 1) * 64 + ((i % 128) >> 1)],
    }),
  ],
  [
    "concat channels",
    "2 x [2,16,128,128]",
    () => ({
      inputs: [random([2, 16, 128, 128]), random([2, 16, 128, 128], 1)],
      forward: ([a, b]) => w.concat([a, b], 1),
      expected: ([a, b], i) => {
        const n = Math.floor(i / (32 * PLANE));
        const r = i % (32 * PLANE);
        return r < 16 * PLANE ? a[n * 16 * PLANE + r] : b[n * 16 * PLANE + r - 16 * PLANE];
      },
    }),
  ],
  [
    "permute to channels last",
    show(FEATURES),
    () => ({
      inputs: [random(FEATURES)],
      forward: ([x]) => w.permute(x, [0, 2, 3, 1]),
      expected: ([x], i) => x[(Math.floor(i / (32 * PLANE)) * 32 + (i % 32)) * PLANE + (Math.floor(i / 32) % PLANE)],
    }),
  ],
  [
    "softmax channels",
    "[2,4,128,128]",
    () => ({
      inputs: [random([2, 4, 128, 128])],
      forward: ([x]) => w.softmax(x, 1),
      expected: ([x], i) => softmaxAt(x, i),
    }),
  ],
  [
    "cross entropy",
    "[2,4,128,128]",
    () =>
      labelled(
        [2, 4, 128, 128],
        (x, t) => w.crossEntropy(x, t),
        (x, t) => crossEntropyOf(x, t),
      ),
  ],
  [
    "dice + cross entropy",
    "[2,4,128,128]",
    () =>
      labelled(
        [2, 4, 128, 128],
        (x, t) => w.diceCrossEntropy(x, t),
        (x, t) => crossEntropyOf(x, t) + diceLossOf(x, t),
      ),
  ],
  ["difficulty cross entropy", "[2,4,128,128]", difficulty],
  ["dice + bce", "[2,1,128,128]", diceBce],
];

/** Forward and gradients of every operation, and dropout. */
export function otherCases(): Case[] {
  const both = OPERATIONS.flatMap(([name, shape, make]) => [
    { name: `${name} forward`, shape, setup: () => forwardWork(make()) },
    { name: `${name} backward`, shape, setup: () => backwardWork(make()) },
  ]).filter((c) => !NO_BACKWARD.some((name) => c.name === `${name} backward`));
  return [...both, { name: "dropout forward", shape: show(FEATURES), setup: dropoutWork }];
}

function forwardWork({ inputs, forward, expected, flops = 0 }: Operation): Work {
  const y = forward(inputs);
  const check = async () => {
    const values: Values[] = [];
    for (const t of inputs) values.push(await t.read());
    return sampled(y, (i) => expected(values, i), 16);
  };
  return {
    run: () => void w.noGrad(() => forward(inputs)),
    flops,
    bytes: bytesOf(...inputs, y),
    check,
    tolerance: FORWARD_TOLERANCE,
  };
}

function backwardWork({ inputs, forward, flops = 0, h = 0.01 }: Operation): Work {
  const y = forward(inputs);
  const dy = w.randn(y.shape, new Rng(5));
  const wanted = inputs.filter((t) => t.requiresGrad);
  return {
    run: () => void gradientsOf(y, dy),
    flops: 2 * flops,
    bytes: bytesOf(dy, ...wanted),
    check: () => directionalError(forward, inputs, h),
    tolerance: GRADIENT_TOLERANCE,
  };
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

function normalisation(forward: Operation["forward"], statistics: (x: Values, i: number) => Moments): Operation {
  return {
    inputs: [random(FEATURES), random([CHANNELS], 1), random([CHANNELS], 2)],
    forward,
    expected: (v, i) => normalised(v, i, statistics(v[0], i)),
  };
}

function labelled(
  shape: number[],
  forward: (x: Tensor, t: Tensor) => Tensor,
  host: (x: Values, t: Values) => number,
): Operation {
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
  const target = w.tensor(
    Float32Array.from({ length: 2 * PLANE }, (_, i) => (i % 3 === 0 ? 1 : 0)),
    { shape: [2, 1, 128, 128] },
  );
  return {
    inputs: [random([2, 1, 128, 128]), target],
    forward: ([x, t]) => w.diceBce(x, t),
    expected: ([x, t]) => {
      const p = Float64Array.from(x, (v) => 1 / (1 + Math.exp(-v)));
      const overlap = p.reduce((s, v, i) => s + v * t[i], 0);
      return (
        meanOver(t.length, (i) => -Math.log(t[i] ? p[i] : 1 - p[i])) +
        1 -
        (2 * overlap + 1e-5) / (total(p) + total(t) + 1e-5)
      );
    },
  };
}
