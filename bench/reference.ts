// Values of the benched operations on the host, in float64, at the shapes of bench/others.ts.

export type Values = Float32Array | Int32Array | Uint32Array;

/** Pixels of a plane and channels of the features that most cases use. */
export const PLANE = 128 * 128;
export const CHANNELS = 32;

export interface Moments {
  mean: number;
  variance: number;
}

export const channel = (i: number): number => Math.floor(i / PLANE) % CHANNELS;
export const pixelIndex = (p: number, c: number): number => (Math.floor(p / PLANE) * 4 + c) * PLANE + (p % PLANE);

export function show(shape: readonly number[]): string {
  return `[${shape.join(",")}]`;
}

export function total(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum;
}

export function meanOver(n: number, f: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += f(i);
  return sum / n;
}

export function moments(values: ArrayLike<number>): Moments {
  const mean = total(values) / values.length;
  return { mean, variance: meanOver(values.length, (i) => (values[i] - mean) ** 2) };
}

export function rangeStatistics(x: Values, i: number, length: number): Moments {
  const start = Math.floor(i / length) * length;
  return moments(x.subarray(start, start + length));
}

export function channelMoments(x: Values, c: number): Moments & { sum: number } {
  const values = [0, 1].flatMap((n) => [...x.subarray((n * CHANNELS + c) * PLANE, (n * CHANNELS + c + 1) * PLANE)]);
  return { ...moments(values), sum: total(values) };
}

export const batchStatistics = (x: Values, i: number): Moments => channelMoments(x, channel(i));

export function normalised([x, g, b]: readonly Values[], i: number, { mean, variance }: Moments): number {
  return ((x[i] - mean) / Math.sqrt(variance + 1e-5)) * g[channel(i)] + b[channel(i)];
}

export function product(a: Values, b: Values, index: number, n: number): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[Math.floor(index / n) * n + k] * b[k * n + (index % n)];
  return sum;
}

export function window2(x: Values, i: number): number[] {
  const at = Math.floor(i / 4096) * PLANE + 2 * Math.floor((i % 4096) / 64) * 128 + 2 * (i % 64);
  return [x[at], x[at + 1], x[at + 128], x[at + 129]];
}

export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

export function bilinear(x: Values, i: number): number {
  const source = (o: number) => Math.max(0, (o + 0.5) / 2 - 0.5);
  const [r, c] = [source(Math.floor((i % PLANE) / 128)), source(i % 128)];
  const [r0, c0] = [Math.floor(r), Math.floor(c)];
  const at = (a: number, b: number) => x[Math.floor(i / PLANE) * 4096 + Math.min(a, 63) * 64 + Math.min(b, 63)];
  const row = (a: number) => at(a, c0) * (1 - (c - c0)) + at(a, c0 + 1) * (c - c0);
  return row(r0) * (1 - (r - r0)) + row(r0 + 1) * (r - r0);
}

export function softmaxAt(x: Values, i: number): number {
  const n = Math.floor(i / (4 * PLANE));
  const all = [0, 1, 2, 3].map((c) => Math.exp(x[(n * 4 + c) * PLANE + (i % PLANE)]));
  return all[Math.floor(i / PLANE) % 4] / total(all);
}

export function crossEntropyOf(x: Values, t: Values): number {
  return meanOver(t.length, (p) => -Math.log(softmaxAt(x, pixelIndex(p, t[p]))));
}

/** Batch dice over all four classes, smooth 1e-5. */
export function diceLossOf(x: Values, t: Values): number {
  return meanOver(4, (c) => {
    const p = Float64Array.from(t, (_, i) => softmaxAt(x, pixelIndex(i, c)));
    const overlap = p.reduce((s, v, i) => s + (t[i] === c ? v : 0), 0);
    const count = t.length * meanOver(t.length, (i) => (t[i] === c ? 1 : 0));
    return 1 - (2 * overlap + 1e-5) / (total(p) + count + 1e-5);
  });
}

export function excited([x, a, b]: readonly Values[], i: number): number {
  const n = Math.floor(i / (CHANNELS * PLANE));
  const pooled = Array.from(
    { length: CHANNELS },
    (_, c) => total(x.subarray((n * CHANNELS + c) * PLANE, (n * CHANNELS + c + 1) * PLANE)) / PLANE,
  );
  const hidden = Array.from({ length: 8 }, (_, h) => Math.max(0, total(pooled.map((v, c) => v * a[h * CHANNELS + c]))));
  const gate = total(hidden.map((v, h) => v * b[channel(i) * 8 + h]));
  return x[i] / (1 + Math.exp(-gate));
}
