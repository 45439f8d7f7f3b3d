// Elementwise functions, unary and binary with broadcasting, in float64.
import { type NdArray, atBroadcast, broadcastShapes, frontDim, generate, map } from "./array.ts";

type Unary = (x: NdArray) => NdArray;
type Binary = (a: NdArray, b: NdArray) => NdArray;

const unary = (f: (v: number) => number): Unary => (x) => map(x, (v) => f(v));

function binary(f: (a: number, b: number) => number): Binary {
  return (a, b) => generate(broadcastShapes(a.shape, b.shape), (p) => f(atBroadcast(a, p), atBroadcast(b, p)));
}

/** 1 - erf(v) for v >= 3, by its continued fraction evaluated from the far end. */
function erfcTail(v: number): number {
  let fraction = 0;
  for (let k = 80; k >= 1; k--) fraction = k / 2 / (v + fraction);
  return Math.exp(-v * v) / Math.sqrt(Math.PI) / (v + fraction);
}

/** The error function to about 1e-15. Abramowitz and Stegun 7.1.6 (all terms positive) below 3, 7.1.14 above. */
export function erfOf(v: number): number {
  if (v < 0) return -erfOf(-v);
  if (v >= 3) return 1 - erfcTail(v);
  let term = v;
  let sum = v;
  for (let n = 1; n < 100; n++) {
    term *= (2 * v * v) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-v * v) * sum;
}

/** 1 - erf(v) without cancellation for large v, so that gelu keeps its digits far below zero. */
const erfcOf = (v: number): number => (v >= 3 ? erfcTail(v) : 1 - erfOf(v));

/** 1 / (1 + exp(-v)), without overflow at either end. */
export const sigmoidOf = (v: number): number => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));

/** log(1 + exp(v)), without overflow. */
export const softplusOf = (v: number): number => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));

export const neg = unary((v) => -v);
export const exp = unary(Math.exp);
export const log = unary(Math.log);
export const sqrt = unary(Math.sqrt);
export const rsqrt = unary((v) => 1 / Math.sqrt(v));
export const abs = unary(Math.abs);
export const sign = unary(Math.sign);
export const square = unary((v) => v * v);
export const reciprocal = unary((v) => 1 / v);
export const sin = unary(Math.sin);
export const cos = unary(Math.cos);
export const erf = unary(erfOf);

export const relu = unary((v) => Math.max(v, 0));
export const silu = unary((v) => v * sigmoidOf(v));
export const sigmoid = unary(sigmoidOf);
export const tanh = unary(Math.tanh);
export const softplus = unary(softplusOf);
export const hardswish = unary((v) => (v * Math.min(Math.max(v + 3, 0), 6)) / 6);
export const mish = unary((v) => v * Math.tanh(softplusOf(v)));
export const logSigmoid = unary((v) => -softplusOf(-v));

/** v where positive, `slope` * v elsewhere. */
export function leakyRelu(x: NdArray, slope = 0.01): NdArray {
  return map(x, (v) => (v > 0 ? v : slope * v));
}

/** v where positive, `alpha` * (exp(v) - 1) elsewhere. */
export function elu(x: NdArray, alpha = 1): NdArray {
  return map(x, (v) => (v > 0 ? v : alpha * Math.expm1(v)));
}

/**
 * v * Phi(v) with Phi the normal distribution function, or its tanh form. Hendrycks and Gimpel 2016, arXiv:1606.08415.
 */
export function gelu(x: NdArray, approximate: "none" | "tanh" = "none"): NdArray {
  if (approximate === "none") return map(x, (v) => 0.5 * v * erfcOf(-v / Math.SQRT2));
  return map(x, (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));
}

/** v where positive, weight[c] * v elsewhere. x: [N, C, ...]; weight: [C] or [1]. */
export function prelu(x: NdArray, weight: NdArray): NdArray {
  const many = weight.data.length > 1;
  return generate(x.shape, (p, i) => {
    const v = x.data[i];
    return v > 0 ? v : v * weight.data[many ? p[1] : 0];
  });
}

/** Values limited to [min, max]. */
export function clamp(x: NdArray, min = -Infinity, max = Infinity): NdArray {
  return map(x, (v) => Math.min(Math.max(v, min), max));
}

export const add = binary((a, b) => a + b);
export const sub = binary((a, b) => a - b);
export const mul = binary((a, b) => a * b);
export const div = binary((a, b) => a / b);
export const pow = binary((a, b) => a ** b);
export const minimum = binary(Math.min);
export const maximum = binary(Math.max);

/** The sums that softmax needs: for each element the log of the sum of exponentials along `dim`. */
function logNormaliser(x: NdArray, dim: number): Float64Array {
  const axis = frontDim(dim, x.shape.length);
  const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const n = x.shape[axis];
  return x.data.map((_, i) => {
    const first = i - (Math.floor(i / inner) % n) * inner; // same line along `dim`, position 0
    let top = -Infinity;
    for (let k = 0; k < n; k++) top = Math.max(top, x.data[first + k * inner]);
    let sum = 0;
    for (let k = 0; k < n; k++) sum += Math.exp(x.data[first + k * inner] - top);
    return top + Math.log(sum);
  });
}

/** Exponentials along `dim` that sum to 1. */
export function softmax(x: NdArray, dim: number): NdArray {
  const norm = logNormaliser(x, dim);
  return map(x, (v, i) => Math.exp(v - norm[i]));
}

/** log(softmax(x)) along `dim`, without the loss of digits. */
export function logSoftmax(x: NdArray, dim: number): NdArray {
  const norm = logNormaliser(x, dim);
  return map(x, (v, i) => v - norm[i]);
}
