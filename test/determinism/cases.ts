// Small operations that together launch every kernel, forwards and backwards.
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import { launch } from "../../src/gpu/program.ts";
import { linearGrid } from "../../src/gpu/grid.ts";
import * as w from "../../src/index.ts";
import { Rng, type Tensor } from "../../src/index.ts";
import { augmentDefaults } from "../../src/kits/augment.ts";
import { GpuSlices } from "../../src/kits/batch.ts";
import { noteNonfinite } from "../../src/nn/nonfinite.ts";
import { array, sizeOf } from "../reference/array.ts";
import { classTargets, upload } from "../check.ts";

/** Makes what lies outside of a step, and returns the step: what it computes. */
export type Case = () => () => readonly Tensor[];

/** The same numbers each time, by shape and name. */
function numbers(shape: readonly number[], name: string): Tensor {
  const rng = new Rng(1, `${name} ${shape}`);
  return upload({
    ...array(
      shape,
      Array.from({ length: sizeOf(shape) }, () => rng.normal()),
    ),
    grad: false,
  });
}

const leaf = (shape: readonly number[], name: string): Tensor =>
  Object.assign(numbers(shape, name), { requiresGrad: true });

const labels = (shape: readonly number[], classes: number): Tensor =>
  upload(classTargets(shape, classes, new Rng(2, "labels")));

/** The values of `fn` for tensors of these shapes, and the gradients of all of them. */
function op(shapes: readonly (readonly number[])[], fn: (...inputs: Tensor[]) => Tensor): Case {
  return () => () => {
    const inputs = shapes.map((shape, i) => leaf(shape, String(i)));
    const y = fn(...inputs);
    if (!y.requiresGrad) return [y];
    w.backward(y, numbers(y.shape, "dy"));
    return [y.detach(), ...inputs.flatMap(({ grad }) => grad ?? [])];
  };
}

/** Parameters after a step of an optimiser on given gradients. */
function update(step: (parameters: Tensor[]) => () => void): Case {
  return () => {
    const parameters = [[17], [5, 7], [3, 1, 3, 3], [1100], [2], [9], [4]].map((shape) => w.keep(leaf(shape, "p")));
    const run = step(parameters);
    return () => {
      for (const p of parameters) p.grad = numbers(p.shape, "gradient");
      run();
      const grads = parameters.map((p) => p.grad!);
      for (const p of parameters) p.grad = null;
      return [...parameters, ...grads];
    };
  };
}

const image = [2, 8, 6, 10];
const plane = [2, 3, 40, 30]; // longer than one slice or chunk of the reductions
const logits = [2, 3, 9, 7];
const probability = (x: Tensor): Tensor => w.sigmoid(x);
const affine = (C: number): number[][] => [[C], [C]];
const statistics = (C: number) => ({ runningMean: numbers([C], "mean"), runningVar: w.exp(numbers([C], "var")) });

/** Of one tap and of two: they compile fast, and between them have all kinds of kernels. */
const convolutions: Record<string, Case> = {
  "convolution 1x1": op([[2, 8, 20, 18], [9, 8, 1, 1], [9]], (x, k, b) => w.conv2d(x, k, b)),
  "convolution 1x2": op([[2, 3, 7, 9], [9, 3, 1, 2], [9]], (x, k, b) => w.conv2d(x, k, b)),
};

/** Run once for each kernel and tile that can compute them. */
export const tuned: Record<string, Case> = {
  ...convolutions,
  "matrix product": op(
    [
      [20, 33],
      [33, 18],
    ],
    (a, b) => w.matmul(a, b),
  ),
  "product with a few rows": () => () => [w.linear(numbers([5, 40], "x"), numbers([7, 40], "k"), numbers([7], "b"))],
};

const losses: Record<string, Case> = {
  "mean squared error": op([logits], (x) => w.mse(x, numbers(logits, "t"))),
  "binary cross entropy": op([logits], (x) => w.bceWithLogits(x, probability(numbers(logits, "t")))),
  "focal loss, each": op([logits], (x) => w.focal(x, probability(numbers(logits, "t")), { reduction: "none" })),
  "cross entropy": op([plane], (x) => w.crossEntropy(x, labels([2, 40, 30], 3), { weight: numbers([3], "weight") })),
  "dice of sigmoids": op([plane], (x) => w.dice(x, labels([2, 40, 30], 3), { activation: "sigmoid" })),
  "dice of each sample": op([logits], (x) => w.softDice(probability(x), numbers(logits, "t"), { batch: false })),
  "dice and cross entropy": op([plane], (x) => w.diceCrossEntropy(x, labels([2, 40, 30], 3))),
  tversky: op([logits], (x) => w.tversky(x, labels([2, 9, 7], 3), { activation: "softmax" })),
  "difficulty weights": op([logits], (x) => w.difficultyWeight(probability(x))),
  "difficulty-weighted cross entropy": op([logits, [2, 1, 9, 7]], (x, m) =>
    w.difficultyWeightedCrossEntropy(x, labels([2, 9, 7], 3), probability(m), { detachDifficulty: false }),
  ),
};

const norms: Record<string, Case> = {
  "batch norm": op([plane, ...affine(3)], (x, g, b) => w.batchNorm(x, g, b, { training: true, ...statistics(3) })),
  "batch norm, residual and ReLU": op([plane, ...affine(3), plane], (x, g, b, residual) =>
    w.batchNorm(x, g, b, { training: true, residual, activation: "relu" }),
  ),
  "batch norm, evaluation": op([logits, ...affine(3)], (x, g, b) =>
    w.batchNorm(x, g, b, { training: false, ...statistics(3) }),
  ),
  "group norm": op([[2, 4, 40, 30], ...affine(4)], (x, g, b) => w.groupNorm(x, 2, g, b)),
  "instance norm": op([plane, ...affine(3)], (x, g, b) => w.instanceNorm(x, g, b)),
  "layer norm": op([[150, 20], [20], [20]], (x, g, b) => w.layerNorm(x, [20], g, b)),
  "squeeze and excitation": op([[2, 8, 40, 30], [4, 8], [4], [8, 4], [8]], w.squeezeExcitation),
};

const elementwise: Record<string, Case> = {
  "a tensor used twice": op([image], (x) => w.add(w.mul(x, x), w.neg(x))),
  "unary functions": op([image], (x) => w.gelu(w.tanh(w.elu(x)))),
  "broadcast operands": op([image, [8, 1, 1]], (a, b) => w.div(a, w.exp(b))),
  maximum: op([image, image], w.maximum),
  where: op([image, image], (a, b) => w.where(w.greater(a, 0), a, b)),
  softmax: op([[5, 300]], (x) => w.softmax(x, 1)),
  "softmax along columns": op([logits], (x) => w.logSoftmax(x, 1)),
  dropout: op([image], (x) => w.dropout(x, { rng: new Rng(3, "dropout") })),
  "dropout of channels": op([image], (x) => w.dropout2d(x, { rng: new Rng(3, "dropout") })),
  "random numbers": () => () => [w.randn([70], new Rng(4)), w.rand([70], new Rng(4)), w.randomBits([70], new Rng(4))],
  "sum of everything": op([[70_000]], (x) => w.sum(x)),
  "mean of rows": op([[30, 1500]], (x) => w.mean(x, { dims: 1 })),
  "sum of columns": op([[90, 20]], (x) => w.sum(x, { dims: 0 })),
  "largest of a dimension": op([image], (x) => w.max(x, { dims: 2 })),
  "largest class": op([logits], (x) => w.argmax(x, { dim: 1 })),
  "largest of long rows": op([[3, 2000]], (x) => w.argmax(x, { dim: 1 })),
};

const layouts: Record<string, Case> = {
  transpose: op([image], (x) => w.permute(x, [0, 2, 3, 1])),
  flip: op([image], (x) => w.flip(x, [2])),
  "two joined": op([image, [2, 3, 6, 10]], (a, b) => w.concat([a, b], 1)),
  "three joined": op([image, image, image], (a, b, c) => w.concat([a, b, c], 1)),
  slice: op([image], (x) => w.slice(x, { ranges: [null, [1, 7, 2], [0, 5]] })),
  "zeros around": op([image], (x) => w.pad(x, [1, 2, 3, 0])),
  "mirror around": op([image], (x) => w.pad(x, [2, 2, 3, 3], { mode: "reflect" })),
  repeat: op([[8, 1, 10]], (x) => w.broadcastTo(x, [3, 8, 6, 10])),
  "max pool": op([image], (x) => w.maxPool2d(x, { kernelSize: 2 })),
  "max pool, overlapping": op([image], (x) => w.maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 })),
  "average pool": op([image], (x) => w.avgPool2d(x, { kernelSize: 3, stride: 2, padding: 1 })),
  "global average pool": op([plane], (x) => w.globalAvgPool(x)),
  "interpolate, linear": op([image], (x) => w.interpolate(x, { scale: 2, mode: "linear" })),
  "interpolate, nearest": op([image], (x) => w.interpolate(x, { size: [9, 7], mode: "nearest" })),
  "numbers of another type": () => () => [w.cast(numbers([40], "x"), "i32"), w.full([70], 2.5), w.ones([9])],
};

const moreConvolutions: Record<string, Case> = {
  ...convolutions,
  "convolution 3x3, stride, groups": op(
    [
      [2, 4, 9, 11],
      [8, 2, 3, 3],
    ],
    (x, k) => w.conv2d(x, k, null, { stride: 2, padding: 1, groups: 2 }),
  ),
  "convolution 9x9": op(
    [
      [1, 1, 10, 11],
      [8, 1, 9, 9],
    ],
    (x, k) => w.conv2d(x, k, null, { padding: 4 }),
  ),
  "transposed convolution": op([[1, 4, 5, 6], [4, 3, 2, 2], [3]], (x, k, b) =>
    w.convTranspose2d(x, k, b, { stride: 2 }),
  ),
  "3-d convolution, dilation": op(
    [
      [1, 2, 4, 5, 6],
      [3, 2, 2, 1, 2],
    ],
    (x, k) => w.conv3d(x, k, null, { dilation: 2 }),
  ),
};

const optimisers: Record<string, Case> = {
  adam: update((p) => {
    const adam = new w.optim.Adam(p, { lr: 0.1 });
    return () => (adam.step(), adam.step());
  }),
  "SGD, clipped norm": update((p) => {
    const sgd = new w.optim.SGD(p, { lr: 0.1, momentum: 0.9 });
    return () => (w.optim.clipGradNorm(p, 0.5), sgd.step());
  }),
  "scaled loss, clipped values": update((p) => {
    const [scaler, rms] = [new w.optim.GradScaler({ initScale: 4 }), new w.optim.RMSprop(p)];
    return () => {
      scaler.unscale(rms);
      w.optim.clipGradValue(p, 0.1);
      scaler.step(rms);
      scaler.update();
    };
  }),
};

/** A flag for infinities and NaN in gradients. */
const nonfinite: Case = () => {
  const values = numbers([300], "gradients");
  return () => {
    const found = [0, 1].map(() => w.hostTensor([1], "u32", () => new Uint32Array(1)));
    noteNonfinite([values, w.full([2], 1)], found[0]);
    noteNonfinite([w.log(w.neg(w.square(values)))], found[1]);
    return found;
  };
};

/** Two augmented slices of bytes, as the kidney networks are fed. */
const slices: Case = () => {
  const size = 12;
  const bytes = (name: string, below: number) => (slice: number, out: Uint8Array, offset: number) => {
    const rng = new Rng(slice, name);
    for (let i = 0; i < size * size; i++) out[offset + i] = rng.integer(below);
  };
  const cache = { size, readImage: bytes("image", 256), readLabel: bytes("label", 3) };
  const region = { y: 0.1, x: 0.2, side: 0.7 };
  const opened = new GpuSlices({ size: 8, cache, regionOf: () => region, stage: { classOf: (l) => l } }, true, null);
  const augment = { ...augmentDefaults, noise: 1, saltPepper: 1, rotate: 1 };
  const { inputs } = opened.batch([0, 1], { augment, seed: 5, epoch: 0, place: 0 });
  return () => {
    const { images, labels } = opened.tensors(
      Object.fromEntries(Object.entries(inputs).map(([k, t]) => [k, w.hostTensor(t.shape, t.dtype, () => t.data)])),
    );
    return [images, labels];
  };
};

/** The kernels that measure what an adapter can do (bench/ceiling.ts). */
const ceiling: Case = () => () => {
  const [sums, copy] = [w.empty([128]), w.empty([300])];
  const [x, source] = [w.full([1], 0.999999), numbers([300], "x")];
  launch(wgsl.bench_fma, { consts: { STEPS: 4 }, buffers: { x, y: sums }, grid: [2, 1, 1] });
  launch(wgsl.bench_copy, { buffers: { x: source, y: copy }, grid: linearGrid(75, 64) });
  return [sums, copy];
};

export const cases: Record<string, Case> = {
  ...moreConvolutions,
  ...elementwise,
  ...layouts,
  ...norms,
  ...losses,
  ...optimisers,
  "values that are not finite": nonfinite,
  "slices of bytes": slices,
  "what an adapter can do": ceiling,
};
