// Plain float64 arrays for the reference loops: nothing is fast here, everything should be plain to see.

/** A dense row-major array of float64 values. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** The number of elements of `shape`; 1 for a scalar (`[]`). */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** An array of `shape` from `data`, or of zeros. Throws if their sizes differ. */
export function array(shape: readonly number[], data?: ArrayLike<number>): NdArray {
  const size = sizeOf(shape);
  if (data && data.length !== size) throw new Error(`array: shape [${shape}] holds ${size} values, got ${data.length}`);
  return { shape: [...shape], data: data ? Float64Array.from(data) : new Float64Array(size) };
}

/** A scalar, shape []. */
export function scalar(value: number): NdArray {
  return array([], [value]);
}

/** `f(value, flat index)` of every element. */
export function map(x: NdArray, f: (value: number, index: number) => number): NdArray {
  return { shape: x.shape, data: x.data.map(f) };
}

/** The position of the flat index `i` in `shape`. */
export function unravel(i: number, shape: readonly number[]): number[] {
  const position = new Array<number>(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    position[axis] = i % shape[axis];
    i = Math.floor(i / shape[axis]);
  }
  return position;
}

/** The flat index of `position` in `shape`. */
export function ravel(position: readonly number[], shape: readonly number[]): number {
  return position.reduce((flat, p, axis) => flat * shape[axis] + p, 0);
}

/** A new array whose element at each position is `f(position, flat index)`. */
export function generate(shape: readonly number[], f: (position: number[], index: number) => number): NdArray {
  const y = array(shape);
  for (let i = 0; i < y.data.length; i++) y.data[i] = f(unravel(i, shape), i);
  return y;
}

/** The element of `x` at `position`, or `outside` where the position lies outside. */
export function at(x: NdArray, position: readonly number[], outside = 0): number {
  const inside = position.every((p, axis) => p >= 0 && p < x.shape[axis]);
  return inside ? x.data[ravel(position, x.shape)] : outside;
}

/** The shape that `a` and `b` broadcast to, aligned at the last dimension; throws if they do not. */
export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) throw new Error(`[${a}] and [${b}] do not broadcast`);
    return m === 1 ? n : m;
  });
}

/** The element of `x` that broadcasting puts at `position` of a result of higher or equal rank. */
export function atBroadcast(x: NdArray, position: readonly number[]): number {
  const own = position.slice(position.length - x.shape.length);
  return x.data[ravel(own.map((p, axis) => (x.shape[axis] === 1 ? 0 : p)), x.shape)];
}

/** `dim` as an index from the front; negative counts from the back. */
export function frontDim(dim: number, rank: number): number {
  return dim < 0 ? dim + rank : dim;
}

/** `value` repeated for each of `rank` axes, or the list itself. */
export function perAxis(value: number | readonly number[], rank: number): number[] {
  return typeof value === "number" ? new Array<number>(rank).fill(value) : [...value];
}
