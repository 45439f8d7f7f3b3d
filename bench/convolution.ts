// Convolutions: forward, input gradient and weight gradient on the shapes of a Res-UNet at 128 x 128.

import { conv2d, conv3d, convTranspose2d, noGrad, randn, Rng, type Tensor } from "../src/index.ts";
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

interface ConvShape {
  readonly name: string;
  readonly n: number;
  readonly cin: number;
  readonly cout: number;
  /** D, H, W of input and output alike ("same" padding, stride 1); 2-D is H, W. */
  readonly size: readonly number[];
  readonly kernel: number;
  readonly dilation: number;
}

const SHAPES: readonly ConvShape[] = [
  { name: "c1", n: 2, cin: 1, cout: 32, size: [128, 128], kernel: 3, dilation: 1 },
  { name: "c2", n: 2, cin: 32, cout: 32, size: [128, 128], kernel: 3, dilation: 1 },
  { name: "c3", n: 2, cin: 64, cout: 64, size: [64, 64], kernel: 3, dilation: 1 },
  { name: "c4", n: 2, cin: 128, cout: 128, size: [32, 32], kernel: 3, dilation: 1 },
  { name: "c5", n: 2, cin: 256, cout: 256, size: [16, 16], kernel: 3, dilation: 1 },
  { name: "c6", n: 2, cin: 256, cout: 256, size: [16, 16], kernel: 3, dilation: 2 },
  { name: "1x1", n: 2, cin: 64, cout: 32, size: [128, 128], kernel: 1, dilation: 1 },
  { name: "3-D", n: 1, cin: 16, cout: 16, size: [16, 32, 32], kernel: 3, dilation: 1 },
];

export function convCases(): Case[] {
  const ordinary = SHAPES.flatMap((s) => ["forward", "dx", "dw"].map((part, i) => convCase(s, part, i - 1)));
  return [...ordinary, ...["forward", "dx", "dw"].map((part, i) => transposedCase(part, i - 1))];
}

const describe = ({ n, cin, cout, size, kernel, dilation }: ConvShape) =>
  `[${[n, cin, ...size].join(",")}]->${cout} k${kernel}${dilation > 1 ? ` d${dilation}` : ""}`;

/** Forward for input -1, otherwise the gradient of input 0 (x) or 1 (w). */
function convCase(s: ConvShape, part: string, input: number): Case {
  const setup = (): Work => {
    const rng = new Rng(1, "bench");
    const kernel = s.size.map(() => s.kernel);
    const x = leaf(randn([s.n, s.cin, ...s.size], rng));
    const w = leaf(randn([s.cout, s.cin, ...kernel], rng));
    const dy = randn([s.n, s.cout, ...s.size], rng);
    const options = { padding: (s.dilation * (s.kernel - 1)) / 2, dilation: s.dilation };
    const forward = ([x, w]: readonly Tensor[]) =>
      s.size.length === 3 ? conv3d(x, w, null, options) : conv2d(x, w, null, options);
    const y = forward([x, w]);
    const flops = 2 * s.n * s.size.reduce((a, b) => a * b) * s.cin * s.cout * kernel.reduce((a, b) => a * b);
    const check = input < 0 ? () => checkForward(y, x, w, s) : () => directionalError(forward, [x, w], 0.01);
    return {
      flops,
      bytes: bytesOf(x, w, dy),
      check,
      tolerance: tolerance(input),
      run: runner(forward, [x, w], y, dy, input),
    };
  };
  return { name: `conv ${s.name} ${part}`, shape: describe(s), setup };
}

function transposedCase(part: string, input: number): Case {
  const setup = (): Work => {
    const rng = new Rng(2, "bench");
    const x = leaf(randn([2, 128, 32, 32], rng));
    const w = leaf(randn([128, 64, 2, 2], rng));
    const dy = randn([2, 64, 64, 64], rng);
    const forward = ([x, w]: readonly Tensor[]) => convTranspose2d(x, w, null, { stride: 2 });
    const y = forward([x, w]);
    const check = input < 0 ? () => checkTransposed(y, x, w) : () => directionalError(forward, [x, w], 0.01);
    const flops = 2 * 2 * 32 * 32 * 128 * 64 * 4;
    return {
      flops,
      bytes: bytesOf(x, w, dy),
      check,
      tolerance: tolerance(input),
      run: runner(forward, [x, w], y, dy, input),
    };
  };
  return { name: `conv transposed ${part}`, shape: "[2,128,32,32]->64 k2 s2", setup };
}

const tolerance = (input: number): number => (input < 0 ? FORWARD_TOLERANCE : GRADIENT_TOLERANCE);

/** What is timed: the forward for input -1, else that input's gradient alone. */
function runner(
  forward: (inputs: readonly Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  y: Tensor,
  dy: Tensor,
  input: number,
): () => void {
  return input < 0 ? () => void noGrad(() => forward(inputs)) : () => void gradientsOf(y, dy, input);
}

/** Kernel 2, stride 2: each output has one tap. */
async function checkTransposed(y: Tensor, x: Tensor, w: Tensor): Promise<number> {
  const [xs, ws] = [await x.read(), await w.read()];
  return sampled(y, (index) => {
    const [n, co, h, v] = unravel(index, [2, 64, 64, 64]);
    let sum = 0;
    for (let ci = 0; ci < 128; ci++)
      sum += xs[((n * 128 + ci) * 32 + (h >> 1)) * 32 + (v >> 1)] * ws[((ci * 64 + co) * 2 + (h & 1)) * 2 + (v & 1)];
    return sum;
  });
}

async function checkForward(y: Tensor, x: Tensor, w: Tensor, s: ConvShape): Promise<number> {
  const [xs, ws] = [await x.read(), await w.read()];
  const [depth, height, width] = s.size.length === 3 ? s.size : [1, ...s.size];
  const plane = depth * height * width;
  const kd = s.size.length === 3 ? s.kernel : 1;
  const half = (s.kernel - 1) / 2;
  return sampled(y, (index) => {
    const [n, co, d, h, v] = unravel(index, [s.n, s.cout, depth, height, width]);
    let sum = 0;
    for (let ci = 0; ci < s.cin; ci++)
      for (let a = 0; a < kd; a++)
        for (let b = 0; b < s.kernel; b++)
          for (let c = 0; c < s.kernel; c++) {
            const z = d + (a - (kd - 1) / 2) * s.dilation;
            const r = h + (b - half) * s.dilation;
            const q = v + (c - half) * s.dilation;
            if (z < 0 || r < 0 || q < 0 || z >= depth || r >= height || q >= width) continue;
            sum +=
              xs[(n * s.cin + ci) * plane + (z * height + r) * width + q] *
              ws[(((co * s.cin + ci) * kd + a) * s.kernel + b) * s.kernel + c];
          }
    return sum;
  });
}

function unravel(index: number, shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length);
  for (let i = shape.length - 1; i >= 0; i--) {
    out[i] = index % shape[i];
    index = Math.floor(index / shape[i]);
  }
  return out;
}
