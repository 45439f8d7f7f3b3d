// Shape arithmetic. Shapes are PyTorch's: [N, C, (D,) H, W].

import { ShapeError } from "./errors.ts";

/** Sizes of all dimensions, outermost first; [] is a single number. */
export type Shape = readonly number[];

/** The number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** True where both have the same dimensions. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** For messages: [2, 3, 4]. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** The shape both broadcast to, by NumPy's rule. Throws ShapeError, naming `op`, when there is none. */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const m = a[a.length - rank + i] ?? 1;
    const n = b[b.length - rank + i] ?? 1;
    if (m !== n && m !== 1 && n !== 1)
      throw new ShapeError(`${op}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast`);
    out[i] = m === 1 ? n : m;
  }
  return out;
}

/** A dimension counted from the front; negative ones count from the back. */
export function normalDim(op: string, dim: number, rank: number): number {
  const d = dim < 0 ? dim + rank : dim;
  if (!Number.isInteger(d) || d < 0 || d >= rank)
    throw new ShapeError(`${op}: dim ${dim} is outside a tensor of ${rank} dimensions`);
  return d;
}

/** Throws ShapeError unless every dimension is a positive whole number. */
export function checkShape(op: string, shape: Shape): void {
  if (!shape.every((n) => Number.isInteger(n) && n > 0))
    throw new ShapeError(`${op}: dimensions must be whole numbers above 0, got ${showShape(shape)}`);
}
