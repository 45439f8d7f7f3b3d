// Operations that only move elements: views, permutations, concatenation, slices, padding.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid, MAX_WORKGROUPS } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { broadcastShapes, normalDim, sameShape, showShape, sizeOf, stridesOf, type Shape } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";
import { gather, widen } from "./gather.ts";
import { spread } from "./pad.ts";
import { sumTo } from "./reduction.ts";

/**
 * The same elements in row-major order under another shape; shares the storage of `x`. One dimension may be -1: it
 * takes what is left.
 * Throws ShapeError when the counts differ.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const dims = inferShape(x.shape, shape);
  const y = tell("reshape", [x], new Tensor(dims, x.dtype, x.storage));
  return record(y, [x], (dy) => [reshape(dy, x.shape)]);
}

/** The same as `reshape`: all tensors are contiguous, so every reshape is a view. */
export const view = reshape;

function inferShape(from: Shape, shape: Shape): number[] {
  const known = sizeOf(shape.filter((n) => n !== -1));
  const dims = shape.map((n) => (n === -1 ? sizeOf(from) / known : n));
  const valid = shape.filter((n) => n === -1).length <= 1 && dims.every((n) => Number.isInteger(n) && n > 0);
  if (valid && sizeOf(dims) === sizeOf(from)) return dims;
  throw new ShapeError(
    `reshape: ${showShape(from)} has ${sizeOf(from)} elements, which do not fit ${showShape(shape)}`,
  );
}

/** Merges the dimensions from `start` to `end` (inclusive, by default all) into one. Shares storage. */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  if (x.shape.length === 0) return reshape(x, [1]);
  const first = normalDim("flatten", start, x.shape.length);
  const last = normalDim("flatten", end, x.shape.length);
  if (first > last) throw new ShapeError(`flatten: start ${start} lies after end ${end} in ${showShape(x.shape)}`);
  return reshape(x, [...x.shape.slice(0, first), sizeOf(x.shape.slice(first, last + 1)), ...x.shape.slice(last + 1)]);
}

/** Removes dimension `dim`, which must have size 1, or without `dim` all dimensions of size 1. Shares storage. */
export function squeeze(x: Tensor, dim?: number): Tensor {
  if (dim === undefined)
    return reshape(
      x,
      x.shape.filter((n) => n !== 1),
    );
  const d = normalDim("squeeze", dim, x.shape.length);
  if (x.shape[d] !== 1)
    throw new ShapeError(`squeeze: dim ${dim} of ${showShape(x.shape)} must have size 1, got ${x.shape[d]}`);
  return reshape(x, x.shape.toSpliced(d, 1));
}

/** Inserts a dimension of size 1 before `dim` (negative: counted from the back of the result). Shares storage. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  return reshape(x, x.shape.toSpliced(normalDim("unsqueeze", dim, x.shape.length + 1), 0, 1));
}

/**
 * Dimension i of the result is dimension `order[i]` of `x`. Throws ShapeError unless `order` names each dimension once.
 */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const from = order.map((d) => normalDim("permute", d, x.shape.length));
  if (from.length !== x.shape.length || new Set(from).size !== from.length) {
    throw new ShapeError(
      `permute: the order must name each dimension of ${showShape(x.shape)} once, got [${order.join(", ")}]`,
    );
  }
  const strides = stridesOf(x.shape);
  const y = gather(
    x,
    from.map((d) => x.shape[d]),
    from.map((d) => strides[d]),
  );
  tell("permute", [x], y, { order: from });
  const back = from.map((_, d) => from.indexOf(d));
  return record(y, [x], (dy) => [permute(dy, back)]);
}

/** Swaps two dimensions, by default the last two. */
export function transpose(x: Tensor, dim0 = -2, dim1 = -1): Tensor {
  const a = normalDim("transpose", dim0, x.shape.length);
  const b = normalDim("transpose", dim1, x.shape.length);
  return permute(
    x,
    x.shape.map((_, d) => (d === a ? b : d === b ? a : d)),
  );
}

/**
 * Repeats dimensions of size 1, and new leading ones, to fill `shape`; -1 keeps a dimension. Throws ShapeError when
 * `x` does not broadcast to it.
 */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  const lead = shape.length - x.shape.length;
  const dims = shape.map((n, i) => (n === -1 && i >= lead ? x.shape[i - lead] : n));
  if (lead < 0 || !sameShape(broadcastShapes("broadcastTo", x.shape, dims), dims)) {
    throw new ShapeError(`broadcastTo: ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
  }
  if (sameShape(x.shape, dims)) return x;
  const strides = stridesOf(x.shape);
  const y = gather(
    x,
    dims,
    dims.map((_, i) => (i < lead || x.shape[i - lead] === 1 ? 0 : strides[i - lead])),
  );
  tell("broadcastTo", [x], y);
  return record(y, [x], (dy) => [sumTo(dy, x.shape)]);
}

/** The same as `broadcastTo`, under PyTorch's name. */
export const expand = broadcastTo;

/** Reverses the order of elements along `dims`. */
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  const flipped = new Set([dims].flat().map((d) => normalDim("flip", d as number, x.shape.length)));
  const strides = stridesOf(x.shape);
  const base = [...flipped].reduce((at, d) => at + (x.shape[d] - 1) * strides[d], 0);
  const y = gather(
    x,
    x.shape,
    strides.map((s, d) => (flipped.has(d) ? -s : s)),
    base,
  );
  tell("flip", [x], y, { dims: [...flipped] });
  return record(y, [x], (dy) => [flip(dy, dims)]);
}

/**
 * [N, C r^2, H, W] to [N, C, rH, rW]. Throws ShapeError when r^2 does not divide the channels. Source: Shi et al.
 * 2016, arXiv:1609.05158.
 */
export function pixelShuffle(x: Tensor, r: number): Tensor {
  const [n, c, h, w] = x.shape;
  if (x.shape.length !== 4 || !Number.isInteger(r) || r < 1 || c % (r * r) !== 0) {
    throw new ShapeError(`pixelShuffle: x must be [N, C, H, W] with C a multiple of ${r}^2, got ${showShape(x.shape)}`);
  }
  const split = reshape(x, [n, c / (r * r), r, r, h, w]);
  return reshape(permute(split, [0, 1, 4, 2, 5, 3]), [n, c / (r * r), h * r, w * r]);
}

/**
 * The tensors one after another along `dim`. All other dimensions and the dtype must agree.
 * Throws ShapeError naming the first tensor that does not fit.
 */
export function concat(list: readonly Tensor[], dim: number): Tensor {
  const [first, ...rest] = list;
  if (!first) throw new OptionError("concat: the list must hold at least one tensor");
  const d = normalDim("concat", dim, first.shape.length);
  for (const x of rest) {
    const fits = x.dtype === first.dtype && sameShape(x.shape.toSpliced(d, 1, 0), first.shape.toSpliced(d, 1, 0));
    if (!fits)
      throw new ShapeError(
        `concat: ${x.dtype} ${showShape(x.shape)} and ${first.dtype} ${showShape(first.shape)} ` +
          `must agree in all but dim ${dim}`,
      );
  }
  if (rest.length === 0) return first;
  const total = list.reduce((n, x) => n + x.shape[d], 0);
  const y = empty(first.shape.with(d, total), first.dtype);
  if (list.length === 2) concatPair(list[0], list[1], d, y);
  else concatMany(list, d, y);
  tell("concat", list, y, { dim: d });
  return record(y, list, (dy, needs) => {
    let start = 0;
    return list.map((x, i) => {
      const from = start;
      start += x.shape[d];
      return needs[i] ? slice(dy, { dim: d, start: from, end: start }) : null;
    });
  });
}

function concatPair(a: Tensor, b: Tensor, dim: number, y: Tensor): void {
  const [T, [A, B]] = widen(a.dtype, [rowOf(a, dim), rowOf(b, dim)]);
  launch(wgsl.concat_pair, {
    consts: { T, A, B },
    buffers: { a, b, y },
    grid: linearGrid((y.size / rowOf(y, dim)) * (A + B), 64),
  });
}

function concatMany(list: readonly Tensor[], dim: number, y: Tensor): void {
  let start = 0;
  for (const x of list) {
    copyChunks(x, y, { xRow: rowOf(x, dim), xStart: 0, yRow: rowOf(y, dim), yStart: start, chunk: rowOf(x, dim) });
    start += rowOf(x, dim);
  }
}

/** Elements in one index of the dimensions before `dim`. */
function rowOf(x: Tensor, dim: number): number {
  return sizeOf(x.shape.slice(dim));
}

interface Chunks {
  xRow: number;
  xStart: number;
  yRow: number;
  yStart: number;
  chunk: number;
}

function copyChunks(x: Tensor, y: Tensor, { xRow, xStart, yRow, yStart, chunk }: Chunks): void {
  const [T, [x_row, x_start, y_row, y_start, wide]] = widen(x.dtype, [xRow, xStart, yRow, yStart, chunk]);
  const rows = x.size / xRow;
  const ACROSS = Math.min(64, 2 ** Math.ceil(Math.log2(wide)));
  const [down, folded] = linearGrid(rows, 64 / ACROSS);
  launch(wgsl.copy_chunks, {
    consts: { T, ACROSS },
    immediates: { rows, x_row, x_start, y_row, y_start, chunk: wide },
    buffers: { x, y },
    grid: [Math.min(MAX_WORKGROUPS, Math.ceil(wide / ACROSS)), down, folded],
  });
}

/**
 * Overwrites the values of `target` with those of `source`, which must agree in shape and dtype. Not differentiated.
 * Throws ShapeError when they do not agree.
 */
export function assign(target: Tensor, source: Tensor): void {
  if (target.dtype !== source.dtype || !sameShape(target.shape, source.shape)) {
    const found = `${target.dtype} ${showShape(target.shape)} and ${source.dtype} ${showShape(source.shape)}`;
    throw new ShapeError(`assign: target and source must agree, got ${found}`);
  }
  const n = source.size;
  copyChunks(source, target, { xRow: n, xStart: 0, yRow: n, yStart: 0, chunk: n });
  tell("assign", [source], target);
}

/** One new dimension at `dim` holding the tensors, which must have equal shapes. */
export function stack(list: readonly Tensor[], dim = 0): Tensor {
  if (list.length === 0) throw new OptionError("stack: the list must hold at least one tensor");
  return concat(
    list.map((x) => unsqueeze(x, dim)),
    dim < 0 ? dim + list[0].shape.length + 1 : dim,
  );
}

/** [start, end) with a step (default 1); negative positions count from the back; null takes the whole dimension. */
export type Range = readonly [start: number, end: number, step?: number] | null;

/** Which part to cut: one dimension, or a range for each. */
export type SliceOptions =
  | { dim: number; start?: number; end?: number; step?: number }
  /** One range per dimension, from the first; missing ones take the whole dimension. */
  | { ranges: readonly Range[] };

interface Cut {
  readonly start: number;
  readonly step: number;
  readonly size: number;
}

/**
 * A block of `x`: `slice(x, { dim: 1, start: 0, end: 4 })` or `slice(x, { ranges: [null, [0, 4]] })`. `start` is
 * inclusive, `end` exclusive, both are clamped as in Python. Copies. Every new position compiles a kernel: cut
 * windows that move on the host.
 * Throws ShapeError when nothing is left, OptionError for a step below 1.
 */
export function slice(x: Tensor, options: SliceOptions): Tensor {
  const cuts = x.shape.map((n, d) => cutOf(x, d, rangeOf(x, options, d), n));
  const shape = cuts.map((c) => c.size);
  const partial = cuts.flatMap((c, d) => (c.size === x.shape[d] ? [] : [d]));
  if (partial.length === 0) return x;
  const y =
    partial.length === 1 && cuts[partial[0]].step === 1
      ? sliceRows(x, partial[0], cuts[partial[0]])
      : sliceAny(x, shape, cuts);
  tell("slice", [x], y, { cuts: cuts.map((c, d) => (partial.includes(d) ? c : null)) });
  return record(y, [x], (dy) => [
    spread(
      dy,
      x.shape,
      cuts.map((c) => c.start),
      cuts.map((c) => c.step),
    ),
  ]);
}

function rangeOf(x: Tensor, options: SliceOptions, d: number): Range {
  if ("ranges" in options) {
    if (options.ranges.length > x.shape.length)
      throw new ShapeError(`slice: ${options.ranges.length} ranges for x ${showShape(x.shape)}`);
    return options.ranges[d] ?? null;
  }
  if (d !== normalDim("slice", options.dim, x.shape.length)) return null;
  return [options.start ?? 0, options.end ?? x.shape[d], options.step ?? 1];
}

function cutOf(x: Tensor, d: number, range: Range, n: number): Cut {
  if (!range) return { start: 0, step: 1, size: n };
  const [start, end, step = 1] = range;
  if (!Number.isInteger(step) || step < 1)
    throw new OptionError(`slice: the step must be a whole number above 0, got ${step}`);
  const clamped = (p: number) => Math.min(Math.max(p < 0 ? p + n : p, 0), n);
  const size = Math.ceil((clamped(end) - clamped(start)) / step);
  if (!(size > 0))
    throw new ShapeError(`slice: [${start}, ${end}) leaves nothing of dim ${d} of ${showShape(x.shape)}`);
  return { start: clamped(start), step, size };
}

function sliceRows(x: Tensor, dim: number, { start, size }: Cut): Tensor {
  const y = empty(x.shape.with(dim, size), x.dtype);
  const inner = rowOf(x, dim + 1);
  copyChunks(x, y, { xRow: rowOf(x, dim), xStart: start * inner, yRow: size * inner, yStart: 0, chunk: size * inner });
  return y;
}

function sliceAny(x: Tensor, shape: Shape, cuts: readonly Cut[]): Tensor {
  const strides = stridesOf(x.shape);
  const base = cuts.reduce((at, c, d) => at + c.start * strides[d], 0);
  return gather(
    x,
    shape,
    strides.map((s, d) => s * cuts[d].step),
    base,
  );
}

/** Cuts dimension `dim` into pieces of `size` (the last may be smaller), or of the sizes listed, which must add up. */
export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  const d = normalDim("split", dim, x.shape.length);
  const n = x.shape[d];
  if (typeof size === "number" && !(Number.isInteger(size) && size > 0))
    throw new OptionError(`split: the size must be a whole number above 0, got ${size}`);
  const sizes =
    typeof size === "number"
      ? Array.from({ length: Math.ceil(n / size) }, (_, i) => Math.min(size, n - i * size))
      : size;
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== n)
    throw new ShapeError(
      `split: sizes [${sizes.join(", ")}] add up to ${total} but dim ${dim} of ${showShape(x.shape)} has ${n}`,
    );
  let start = 0;
  return sizes.map((s) => slice(x, { dim: d, start, end: (start += s) }));
}

/** Cuts dimension `dim` into at most `count` pieces of equal size; the last may be smaller. */
export function chunk(x: Tensor, count: number, dim = 0): Tensor[] {
  if (!Number.isInteger(count) || count < 1)
    throw new OptionError(`chunk: the count must be a whole number above 0, got ${count}`);
  return split(x, Math.ceil(x.shape[normalDim("chunk", dim, x.shape.length)] / count), dim);
}
