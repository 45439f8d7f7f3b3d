// Operations that only move elements, in float64.
import { type NdArray, array, at, frontDim, generate } from "./array.ts";

/** The arrays one after another along `dim`. */
export function concat(list: readonly NdArray[], dim: number): NdArray {
  const axis = frontDim(dim, list[0].shape.length);
  const shape = [...list[0].shape];
  shape[axis] = list.reduce((sum, x) => sum + x.shape[axis], 0);
  return generate(shape, (position) => {
    let k = 0;
    while (position[axis] >= list[k].shape[axis]) position[axis] -= list[k++].shape[axis];
    return at(list[k], position);
  });
}

/** The block from `start` (inclusive) to `end` (exclusive), one number per dimension. */
export function slice(x: NdArray, start: readonly number[], end: readonly number[]): NdArray {
  return generate(end.map((e, a) => e - start[a]), (position) => at(x, position.map((p, a) => p + start[a])));
}

/** The same elements in row-major order under another shape. */
export function reshape(x: NdArray, shape: readonly number[]): NdArray {
  return array(shape, x.data);
}

/** Dimension i of the result is dimension `order[i]` of x. */
export function permute(x: NdArray, order: readonly number[]): NdArray {
  return generate(order.map((d) => x.shape[d]), (position) => {
    const source = new Array<number>(order.length);
    order.forEach((d, i) => (source[d] = position[i]));
    return at(x, source);
  });
}

export type PadMode = "constant" | "reflect" | "replicate" | "circular";

/** The source index of `i` in a line of `n` elements, or -1 for the constant. */
function padSource(i: number, n: number, mode: PadMode): number {
  if (i >= 0 && i < n) return i;
  if (mode === "constant") return -1;
  if (mode === "replicate") return i < 0 ? 0 : n - 1;
  if (mode === "circular") return (i + n) % n;
  return i < 0 ? -i : 2 * (n - 1) - i;
}

/** Padding as PyTorch writes it: [before, after] of the last dimension, then of the one before, and so on. */
export function pad(x: NdArray, amounts: readonly number[], { mode = "constant" as PadMode, value = 0 } = {}): NdArray {
  const rank = x.shape.length;
  const before = x.shape.map((_, a) => amounts[2 * (rank - 1 - a)] ?? 0);
  const after = x.shape.map((_, a) => amounts[2 * (rank - 1 - a) + 1] ?? 0);
  const shape = x.shape.map((n, a) => n + before[a] + after[a]);
  return generate(shape, (p) => at(x, p.map((v, a) => padSource(v - before[a], x.shape[a], mode)), value));
}

/** [N, C * r * r, H, W] to [N, C, H * r, W * r]. Shi et al. 2016, arXiv:1609.05158. */
export function pixelShuffle(x: NdArray, r: number): NdArray {
  const [n, c, h, w] = x.shape;
  return generate([n, c / (r * r), h * r, w * r], ([b, k, i, j]) =>
    at(x, [b, k * r * r + (i % r) * r + (j % r), Math.floor(i / r), Math.floor(j / r)]),
  );
}
