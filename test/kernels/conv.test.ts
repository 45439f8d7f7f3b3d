// Convolutions against float64 loops, in every kernel variant that the adapter can run.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type ConvOptions,
  type ConvTransposeOptions,
  type ConvVariant,
  type PerAxis,
  Rng,
  ShapeError,
  OptionError,
  type Tensor,
  close,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
  init,
  setConvVariant,
  tensor,
  zeros,
} from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { type Input, checkOp, expectClose, randomInputs, runOnGpu, ulps } from "../check.ts";
import { array } from "../reference/array.ts";
import * as reference from "../reference/conv.ts";

beforeAll(() => init());
afterEach(() => setConvVariant("auto"));
afterAll(close);

const variants: ConvVariant[] = ["patch", "subgroup", "tiled"];

const operations = { conv1d, conv2d, conv3d, convTranspose1d, convTranspose2d, convTranspose3d };

interface Case {
  op: keyof typeof operations;
  x: number[];
  w: number[];
  bias?: boolean;
  stride?: PerAxis;
  padding?: PerAxis;
  outputPadding?: PerAxis;
  dilation?: PerAxis;
  groups?: number;
}

const cases: Record<string, Case> = {
  "one pixel, kernel 1": { op: "conv2d", x: [1, 1, 1, 1], w: [1, 1, 1, 1], bias: true },
  "one pixel, kernel 3": { op: "conv2d", x: [1, 2, 1, 1], w: [3, 2, 3, 3], bias: true, padding: 1 },
  "33 to 17 channels": { op: "conv2d", x: [1, 33, 5, 7], w: [17, 33, 3, 3], bias: true, padding: 1 },
  "one more than a tile: 65 channels, 65 pixels": { op: "conv2d", x: [1, 3, 5, 13], w: [65, 3, 1, 1], bias: true },
  "one input channel, batch 3": { op: "conv2d", x: [3, 1, 9, 11], w: [20, 1, 3, 3], bias: true, padding: 1 },
  "head of one channel": { op: "conv2d", x: [2, 16, 6, 5], w: [1, 16, 1, 1], bias: true },
  "stride 2": { op: "conv2d", x: [2, 5, 9, 8], w: [9, 5, 3, 3], stride: 2, padding: 1 },
  "stride 3, kernel 2: some inputs unused": { op: "conv2d", x: [1, 3, 11, 10], w: [4, 3, 2, 2], bias: true, stride: 3 },
  "stride beyond the kernel": { op: "conv2d", x: [1, 2, 7, 7], w: [3, 2, 1, 1], stride: 3 },
  "asymmetric everything": {
    op: "conv2d",
    x: [1, 4, 10, 13],
    w: [6, 4, 5, 2],
    bias: true,
    stride: [2, 1],
    padding: [2, 0],
    dilation: [1, 3],
  },
  "padding beyond the kernel": { op: "conv2d", x: [1, 2, 4, 3], w: [3, 2, 1, 3], padding: [2, 3] },
  "dilation 2": { op: "conv2d", x: [1, 3, 9, 9], w: [5, 3, 3, 3], bias: true, padding: 2, dilation: 2 },
  "dilation 3 and stride 2": { op: "conv2d", x: [1, 3, 13, 11], w: [4, 3, 3, 3], stride: 2, padding: 3, dilation: 3 },
  "dilation 2 and stride 2: odd positions meet no tap": {
    op: "conv2d",
    x: [1, 2, 9, 9],
    w: [3, 2, 3, 3],
    stride: 2,
    padding: 1,
    dilation: 2,
  },
  "three groups": { op: "conv2d", x: [2, 6, 5, 6], w: [9, 2, 3, 3], bias: true, padding: 1, groups: 3 },
  "depthwise, stride 2": {
    op: "conv2d",
    x: [1, 10, 7, 6],
    w: [10, 1, 3, 3],
    bias: true,
    stride: 2,
    padding: 1,
    groups: 10,
  },
  "depthwise with multiplier": { op: "conv2d", x: [1, 3, 6, 6], w: [6, 1, 3, 3], padding: 1, groups: 3 },
  "groups of 9 to 17 channels, dilated": {
    op: "conv2d",
    x: [2, 18, 6, 7],
    w: [34, 9, 3, 2],
    bias: true,
    padding: 1,
    dilation: [1, 2],
    groups: 2,
  },
  "kernel 7": { op: "conv2d", x: [1, 2, 12, 9], w: [8, 2, 7, 7], stride: 2, padding: 3 },
  "kernel 9": { op: "conv2d", x: [1, 2, 10, 9], w: [3, 2, 9, 9], padding: 4 },
  "one axis": { op: "conv1d", x: [2, 3, 17], w: [4, 3, 5], bias: true, stride: 2, padding: 2 },
  "three axes": { op: "conv3d", x: [1, 3, 5, 6, 7], w: [4, 3, 3, 3, 3], bias: true, padding: 1 },
  "three axes, asymmetric": {
    op: "conv3d",
    x: [2, 4, 4, 7, 6],
    w: [6, 2, 1, 3, 2],
    stride: [1, 2, 3],
    padding: [0, 1, 1],
    dilation: [2, 2, 1],
    groups: 2,
  },
  "three axes, stride 2": { op: "conv3d", x: [1, 2, 6, 5, 4], w: [3, 2, 3, 3, 3], bias: true, stride: 2, padding: 1 },
  "upsampling by 2": { op: "convTranspose2d", x: [2, 6, 4, 5], w: [6, 5, 2, 2], bias: true, stride: 2 },
  "transposed, outputPadding": {
    op: "convTranspose2d",
    x: [1, 4, 5, 3],
    w: [4, 9, 3, 3],
    bias: true,
    stride: 2,
    padding: 1,
    outputPadding: 1,
  },
  "transposed, asymmetric": {
    op: "convTranspose2d",
    x: [1, 3, 4, 5],
    w: [3, 2, 3, 2],
    stride: [3, 1],
    padding: [1, 0],
    outputPadding: [2, 0],
    dilation: [1, 2],
  },
  "transposed, kernel below stride": { op: "convTranspose2d", x: [1, 2, 3, 3], w: [2, 2, 1, 2], bias: true, stride: 3 },
  "transposed, groups": {
    op: "convTranspose2d",
    x: [2, 6, 3, 4],
    w: [6, 4, 3, 3],
    bias: true,
    stride: 2,
    padding: 1,
    groups: 2,
  },
  "transposed, stride 1": { op: "convTranspose2d", x: [1, 9, 4, 4], w: [9, 17, 3, 3], padding: 1 },
  "transposed, one axis": { op: "convTranspose1d", x: [1, 3, 7], w: [3, 2, 4], bias: true, stride: 2, padding: 1 },
  "transposed, three axes": { op: "convTranspose3d", x: [1, 3, 2, 3, 2], w: [3, 4, 2, 2, 2], bias: true, stride: 2 },
  "transposed, three axes, asymmetric": {
    op: "convTranspose3d",
    x: [1, 2, 3, 2, 3],
    w: [2, 3, 1, 3, 2],
    stride: [1, 2, 3],
    padding: [0, 1, 0],
    dilation: [1, 2, 1],
  },
};

function shapesOf({ op, x, w, bias, groups = 1 }: Case): number[][] {
  const channels = op.startsWith("convT") ? w[1] * groups : w[0];
  return bias ? [x, w, [channels]] : [x, w];
}

/** Products summed for one output, or for one element of the largest gradient: float32 errors grow with it. */
function terms({ x, w, op }: Case): number {
  const spatial = (shape: number[]): number => shape.slice(2).reduce((a, b) => a * b, 1);
  const scale = op.startsWith("convT") ? 9 : 1;
  return Math.max(Math.max(w[0], w[1]) * spatial(w), x[0] * spatial(x) * scale);
}

/**
 * Sums of n rounded products of random sign err by about sqrt(n) half units of the largest; 8 leaves room for bad luck.
 */
const tolerance = (c: Case) => ulps(4 + 8 * Math.sqrt(terms(c)) * 0.5);

/** Runs the rest of the test with one family of kernels, or skips it, saying why. */
function useVariant(variant: ConvVariant, skip: (reason: string) => void): void {
  const { info } = gpu();
  const lanes = { auto: [], patch: [8], subgroup: [4, 8], tiled: [] }[variant] as number[];
  if (lanes.length > 0 && !(info.features.has("subgroups") && lanes.includes(info.subgroupSize)))
    skip(`${info.name} has no subgroups of ${lanes.join(" or ")} lanes`);
  setConvVariant(variant);
}

describe.each(variants)("%s kernels", (variant) => {
  test.for(Object.entries(cases))("%s", async ([name, c], { skip }) => {
    useVariant(variant, skip);
    const { op, stride, padding, outputPadding, dilation, groups } = c;
    const options = { stride, padding, outputPadding, dilation, groups };
    const loops = op.startsWith("convT") ? reference.convTranspose : reference.conv;
    await checkOp(
      `${variant} ${name}`,
      (x, w, b) => (operations[op] as typeof conv2d)(x, w, b ?? null, options as ConvOptions & ConvTransposeOptions),
      (x, w, b) => loops(x, w, b ?? null, options),
      { shapes: [shapesOf(c)], tol: tolerance(c), gradTol: tolerance(c), probes: 40 },
    );
  });

  test("weight and bias gradients of many pixels, summed in parts, equal the reference", async ({ skip }) => {
    useVariant(variant, skip);
    // 2 x 40 x 40 pixels are split by both variants; the gradient is a convolution of x with dy, in float64 here.
    const [x, w, b] = randomInputs([[2, 9, 40, 40], [10, 9, 3, 3], [10]], new Rng(3, "parts"));
    const [cot] = randomInputs([[2, 10, 40, 40]], new Rng(4, "parts"));
    const { grads } = await runOnGpu((...t) => conv2d(t[0], t[1], t[2], { padding: 1 }), [x, w, b], [cot]);
    const dw = array(w.shape);
    for (let co = 0; co < 10; co++) {
      for (let ci = 0; ci < 9; ci++) {
        const value = (k: number, l: number) => weightGradient(x, cot, co, ci, k, l);
        for (let k = 0; k < 3; k++) for (let l = 0; l < 3; l++) dw.data[((co * 9 + ci) * 3 + k) * 3 + l] = value(k, l);
      }
    }
    const db = array(
      [10],
      Array.from({ length: 10 }, (_, co) => planeSum(cot, co)),
    );
    const tol = ulps(4 + 4 * Math.sqrt(3200)); // 3200 products of random sign
    expectClose("dw", grads[1]!, dw, tol);
    expectClose("db", grads[2]!, db, tol);
  });

  test("gradients are the same bits in every run", async ({ skip }) => {
    useVariant(variant, skip);
    const inputs = randomInputs([[2, 5, 30, 31], [7, 5, 3, 3], [7]], new Rng(5, "bits"));
    const [cot] = randomInputs([[2, 7, 30, 31]], new Rng(6, "bits"));
    const run = () => runOnGpu((...t) => conv2d(t[0], t[1], t[2], { padding: 1 }), inputs, [cot]);
    const [first, second] = [await run(), await run()];
    expect(second.grads.map((g) => g!.data)).toEqual(first.grads.map((g) => g!.data));
  });
});

function weightGradient(x: Input, dy: Input, co: number, ci: number, k: number, l: number): number {
  let sum = 0;
  for (let n = 0; n < 2; n++) {
    for (let h = Math.max(0, 1 - k); h < Math.min(40, 41 - k); h++) {
      for (let c = Math.max(0, 1 - l); c < Math.min(40, 41 - l); c++) {
        sum += dy.data[((n * 10 + co) * 40 + h) * 40 + c] * x.data[((n * 9 + ci) * 40 + h + k - 1) * 40 + c + l - 1];
      }
    }
  }
  return sum;
}

function planeSum(dy: Input, co: number): number {
  let sum = 0;
  for (let n = 0; n < 2; n++) for (let s = 0; s < 1600; s++) sum += dy.data[(n * 10 + co) * 1600 + s];
  return sum;
}

test("one pipeline serves every batch size", async () => {
  const w = tensor(
    Float32Array.from({ length: 54 }, (_, i) => i / 54),
    { shape: [6, 1, 3, 3] },
  );
  const x = Float32Array.from({ length: 192 }, (_, i) => Math.sin(i));
  const run = async (n: number) =>
    conv2d(tensor(x.subarray(0, n * 64), { shape: [n, 1, 8, 8] }), w, null, { padding: 1 }).read();
  const three = await run(3);
  const compiled = gpu().pipelines.compiledCount;
  expect(await run(2)).toEqual(three.slice(0, 2 * 6 * 64));
  expect(gpu().pipelines.compiledCount).toBe(compiled);
});

test('padding "same" keeps the size, with the odd zero behind the last voxel', async () => {
  const [x, w] = randomInputs(
    [
      [1, 2, 7, 6],
      [3, 2, 4, 3],
    ],
    new Rng(7, "same"),
  );
  const { outputs } = await runOnGpu(
    (a, b) => conv2d(a, b, null, { padding: "same", dilation: [1, 2] }),
    [x, w],
    [array([1, 3, 7, 6])],
  );
  // Kernel height 4 needs 3 rows of zeros: padding 2 on both sides, without the
  // first output row, is 1 before and 2 behind.
  const wide = reference.conv(x, w, null, { padding: [2, 2], dilation: [1, 2] });
  const cropped = array(
    [1, 3, 7, 6],
    Array.from({ length: 126 }, (_, i) => wide.data[i + 6 * (Math.floor(i / 42) + 1)]),
  );
  expectClose("same", outputs[0], cropped, ulps(16)); // 24 products
});

describe("errors", () => {
  const check = (f: () => unknown, type: new (m: string) => Error, message: string) => {
    expect(f).toThrow(type);
    expect(f).toThrow(new type(message));
  };
  const z = (...shape: number[]): Tensor => zeros(shape);
  const bad: [string, () => unknown, typeof ShapeError | typeof OptionError, string][] = [
    [
      "rank of x",
      () => conv2d(z(1, 2, 3), z(1, 2, 3, 3)),
      ShapeError,
      "conv2d: x must have 4 dimensions [N, C, H, W], got [1, 2, 3]",
    ],
    [
      "rank of w",
      () => conv3d(z(1, 2, 3, 3, 3), z(1, 2, 3, 3)),
      ShapeError,
      "conv3d: w must have 5 dimensions [channels, channels / groups, KD, KH, KW], got [1, 2, 3, 3]",
    ],
    [
      "channels",
      () => conv3d(z(1, 5, 8, 8, 8), z(2, 4, 3, 3, 3)),
      ShapeError,
      "conv3d: x has 5 channels but w expects 4 (x [1, 5, 8, 8, 8], w [2, 4, 3, 3, 3])",
    ],
    [
      "channels of groups",
      () => conv2d(z(1, 6, 8, 8), z(2, 4, 3, 3), null, { groups: 2 }),
      ShapeError,
      "conv2d: x has 6 channels but w expects 8 (4 in each of 2 groups) (x [1, 6, 8, 8], w [2, 4, 3, 3])",
    ],
    [
      "groups",
      () => conv2d(z(1, 6, 8, 8), z(3, 3, 3, 3), null, { groups: 2 }),
      ShapeError,
      "conv2d: output channels must be divisible by groups, got 3 and 2",
    ],
    [
      "groups 0",
      () => conv2d(z(1, 6, 8, 8), z(3, 3, 3, 3), null, { groups: 0 }),
      OptionError,
      "conv2d: groups must be a whole number of at least 1, got 0",
    ],
    [
      "bias",
      () => conv2d(z(1, 3, 8, 8), z(4, 3, 3, 3), z(3)),
      ShapeError,
      "conv2d: bias must have shape [4], one number per output channel, got [3]",
    ],
    [
      "dtype",
      () => conv2d(zeros([1, 3, 8, 8], { dtype: "i32" }), z(4, 3, 3, 3)),
      ShapeError,
      "conv2d: x must be f32 or f16, got i32 [1, 3, 8, 8]; cast it first",
    ],
    [
      "stride",
      () => conv2d(z(1, 3, 8, 8), z(4, 3, 3, 3), null, { stride: 0 }),
      OptionError,
      "conv2d: stride must be one whole number of at least 1, or 2 of them, got 0",
    ],
    [
      "padding",
      () => conv2d(z(1, 3, 8, 8), z(4, 3, 3, 3), null, { padding: [1, -1] }),
      OptionError,
      "conv2d: padding must be one whole number of at least 0, or 2 of them, got [1, -1]",
    ],
    [
      "count",
      () => conv3d(z(1, 3, 8, 8, 8), z(4, 3, 3, 3, 3), null, { dilation: [1, 2] }),
      OptionError,
      "conv3d: dilation must be one whole number of at least 1, or 3 of them, got [1, 2]",
    ],
    [
      "same",
      () => conv2d(z(1, 3, 8, 8), z(4, 3, 3, 3), null, { padding: "same", stride: 2 }),
      OptionError,
      'conv2d: padding "same" must have stride 1, got stride [2, 2]',
    ],
    [
      "too small",
      () => conv2d(z(1, 3, 2, 8), z(4, 3, 3, 3)),
      ShapeError,
      "conv2d: the padded input must be at least as large as the kernel, got [2, 8] and [3, 3]",
    ],
    [
      "transposed channels",
      () => convTranspose2d(z(1, 5, 8, 8), z(4, 2, 3, 3)),
      ShapeError,
      "convTranspose2d: x has 5 channels but w expects 4 (x [1, 5, 8, 8], w [4, 2, 3, 3])",
    ],
    [
      "transposed bias",
      () => convTranspose2d(z(1, 4, 8, 8), z(4, 2, 3, 3), z(2), { groups: 2 }),
      ShapeError,
      "convTranspose2d: bias must have shape [4], one number per output channel, got [2]",
    ],
    [
      "outputPadding",
      () => convTranspose2d(z(1, 4, 8, 8), z(4, 2, 3, 3), null, { stride: 2, outputPadding: 2 }),
      OptionError,
      "convTranspose2d: outputPadding must be less than stride or dilation, got [2, 2] with stride [2, 2]",
    ],
    [
      "transposed empty",
      () => convTranspose1d(z(1, 4, 1), z(4, 2, 2), null, { padding: 1 }),
      ShapeError,
      "convTranspose1d: the output must not be empty, got [0]; use less padding",
    ],
  ];
  test.each(bad)("%s", (_, f, type, message) => check(f, type, message));
});
