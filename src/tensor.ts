// A tensor: a shape, a dtype and a storage. No mathematics here; operations are functions in kernels/.

import type { Node } from "./autograd.ts";
import { AdapterError, GpuError, OptionError, ShapeError } from "./errors.ts";
import { gpu } from "./gpu/device.ts";
import { linearGrid } from "./gpu/grid.ts";
import * as wgsl from "./gpu/kernels.gen.ts";
import { launch, upload, type HostData } from "./gpu/program.ts";
import { readStorage } from "./gpu/read.ts";
import { Storage } from "./gpu/storage.ts";
import { tell } from "./observe.ts";
import { flush, own } from "./scope.ts";
import { checkShape, showShape, sizeOf, type Shape } from "./shape.ts";

/**
 * Element types: 32-bit floats, signed and unsigned integers, and 16-bit floats, which halve memory: kernels compute with
 * f32 and round what they store. On the host f16 tensors are Float32Arrays.
 */
export type Dtype = "f32" | "f16" | "i32" | "u32";

const ARRAYS = { f32: Float32Array, f16: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** A tensor's values on the host, row-major. */
export interface HostTensor {
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly data: HostData;
}

/** An n-dimensional array on the GPU, row-major. Made by tensor(), zeros() and the operations, not by `new`. */
export class Tensor {
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly storage: Storage;
  /** True for parameters and for whatever is computed from them. */
  requiresGrad = false;
  /** The gradient that backward() left, for leaves with requiresGrad. */
  grad: Tensor | null = null;
  /** How this tensor was computed; null for leaves. */
  node: Node | null = null;

  constructor(shape: Shape, dtype: Dtype, storage: Storage) {
    this.shape = shape;
    this.dtype = dtype;
    this.storage = storage;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /**
   * Copies the values to the host, in row-major order. Runs what has been recorded first. Throws GpuError for a tensor
   * whose step has ended.
   */
  async read(): Promise<Float32Array | Int32Array | Uint32Array> {
    // Recorded now: after a wait another step might be under way.
    if (this.dtype === "f16" && !this.storage.released) return converted(this, "f32").read();
    await flush();
    if (this.storage.released)
      throw new GpuError(
        `read: this tensor ${showShape(this.shape)} ended with its step; return it from step() or keep() it`,
      );
    if (!this.storage.buffer)
      throw new GpuError(
        `read: this tensor ${showShape(this.shape)} was never computed; an earlier error stopped its program`,
      );
    if (this.storage.buffer.pool !== gpu().pool)
      throw new GpuError(`read: this tensor ${showShape(this.shape)} was lost when the GPU was closed; make it again`);
    return new ARRAYS[this.dtype](await readStorage(this.storage));
  }

  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new ShapeError(`item: the tensor must have one element, got shape ${showShape(this.shape)}`);
    return (await this.read())[0];
  }

  /** The same values, cut off from the gradient graph. */
  detach(): Tensor {
    return new Tensor(this.shape, this.dtype, this.storage);
  }

  toString(): string {
    return `Tensor ${this.dtype} ${showShape(this.shape)}`;
  }
}

/**
 * A tensor without values: the kernel launched next must write every element. Throws AdapterError for f16 where the
 * adapter lacks it, ShapeError for f16 with an odd number of elements.
 */
export function empty(shape: Shape, dtype: Dtype = "f32"): Tensor {
  checkShape("empty", shape);
  const half = dtype === "f16";
  if (half) checkHalf(shape);
  const storage = new Storage((half ? 2 : 4) * sizeOf(shape), half);
  own(storage);
  return new Tensor([...shape], dtype, storage);
}

/** True where the adapter takes f16 tensors (WebGPU's feature shader-f16). */
export function hasF16(): boolean {
  return gpu().info.features.has("shader-f16");
}

/** Buffers are bound in multiples of 4 bytes, and kernels tell counts from what is bound. */
function checkHalf(shape: Shape): void {
  if (!hasF16()) throw new AdapterError("f16: this adapter has no shader-f16; use f32");
  if (sizeOf(shape) % 2 !== 0)
    throw new ShapeError(`f16: a tensor must have an even number of elements, got ${showShape(shape)}; use f32`);
}

/**
 * A tensor without values for what is computed from `inputs`: f16 where all of them are, those without dimensions left
 * out, and its size is even; else f32.
 */
export function emptyFrom(shape: Shape, ...inputs: Tensor[]): Tensor {
  const counted = inputs.filter((t) => t.shape.length > 0);
  const half = counted.length > 0 && counted.every((t) => t.dtype === "f16") && sizeOf(shape) % 2 === 0;
  return empty(shape, half ? "f16" : "f32");
}

/** The same numbers in another dtype, without a gradient. */
export function converted(x: Tensor, dtype: Dtype): Tensor {
  const y = empty(x.shape, dtype);
  launch(wgsl.cast, {
    consts: { FROM: x.dtype, TO: dtype },
    buffers: { x, y },
    grid: linearGrid(Math.ceil(x.size / 4), 64),
  });
  return y;
}

/** A number, or arrays in arrays of equal lengths: the nesting is the shape. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** Settings of tensor(), and but for the shape of zeros(), ones() and full(). */
export interface TensorOptions {
  /** Default: the nesting of the data; one dimension for typed arrays. */
  shape?: Shape;
  /** Default: f32, or that of the typed array. */
  dtype?: Dtype;
  /** True for parameters: backward() leaves a gradient. Default false. */
  requiresGrad?: boolean;
}

/**
 * A tensor from numbers, nested arrays or a typed array, which is copied. Throws OptionError for values that are not
 * numbers, ShapeError when the count does not fit the shape or the rows of nested arrays differ in length.
 */
export function tensor(
  data: NestedNumbers | HostData,
  { shape, dtype, requiresGrad = false }: TensorOptions = {},
): Tensor {
  const type = dtype ?? (data instanceof Int32Array ? "i32" : data instanceof Uint32Array ? "u32" : "f32");
  const values = ARRAYS[type].from(isTyped(data) ? data : flatten(data)) as HostData;
  const dims = shape ?? (isTyped(data) ? [data.length] : nesting(data));
  if (sizeOf(dims) !== values.length)
    throw new ShapeError(
      `tensor: shape ${showShape(dims)} has ${sizeOf(dims)} elements but the data has ${values.length}`,
    );
  if (!shape && !isTyped(data) && !isNested(data, dims))
    throw new ShapeError(
      `tensor: nested arrays must have rows of equal length, found others than ${showShape(dims)}; fill the rows up`,
    );
  const t = hostTensor(dims, type, () => values);
  t.requiresGrad = requiresGrad;
  return t;
}

/** A tensor whose values `data` supplies at each run of the program it is recorded in: for what changes every step. */
export function hostTensor(shape: Shape, dtype: Dtype, data: () => HostData): Tensor {
  const t = empty(shape, dtype === "f16" ? "f32" : dtype);
  upload(t.storage, data);
  return tell("constant", [], dtype === "f16" ? converted(t, dtype) : t, { data });
}

function isTyped(data: NestedNumbers | HostData): data is HostData {
  return ArrayBuffer.isView(data);
}

/** The numbers of nested arrays, in row-major order. TypeScript sees to it that they are numbers, JavaScript does not. */
function flatten(data: NestedNumbers): number[] {
  const flat: unknown[] = Array.isArray(data) ? data.flat(Infinity) : [data];
  const wrong = flat.findIndex((value) => typeof value !== "number");
  if (wrong < 0) return flat as number[];
  const found = flat[wrong];
  const fix = typeof found === "boolean" ? "give 1 for true and 0 for false" : "convert it, or leave it out";
  const what = `the ${typeof found} ${String(found).slice(0, 80)}`;
  throw new OptionError(`tensor: every value must be a number, found ${what} at index ${wrong}; ${fix}`);
}

function nesting(data: NestedNumbers): number[] {
  return typeof data === "number" ? [] : [data.length, ...nesting(data[0] ?? 0)];
}

function isNested(data: NestedNumbers, [length, ...inner]: Shape): boolean {
  if (typeof data === "number") return length === undefined;
  return data.length === length && data.every((row) => isNested(row, inner));
}

/** A tensor with every element equal to `value`. */
export function full(
  shape: Shape,
  value: number,
  { dtype = "f32", requiresGrad = false }: Omit<TensorOptions, "shape"> = {},
): Tensor {
  if (!Number.isFinite(value)) throw new OptionError(`full: the value must be finite, got ${value}`);
  const y = empty(shape, dtype);
  launch(wgsl.fill, {
    consts: { T: dtype, VALUE: fillValue(value, dtype) },
    buffers: { y },
    grid: linearGrid(y.size, 256),
  });
  y.requiresGrad = requiresGrad;
  return tell("full", [], y, { value });
}

function fillValue(value: number, dtype: Dtype): string {
  return `${dtype}(${dtype === "f32" || dtype === "f16" ? Math.fround(value) : Math.trunc(value)})`;
}

/** Zeros of a shape. */
export function zeros(shape: Shape, options: Omit<TensorOptions, "shape"> = {}): Tensor {
  return full(shape, 0, options);
}

/** Ones of a shape. */
export function ones(shape: Shape, options: Omit<TensorOptions, "shape"> = {}): Tensor {
  return full(shape, 1, options);
}

/** The numbers from `start` (default 0) up to, not including, `end`. Throws OptionError when there are none. */
export function arange(
  end: number,
  { start = 0, step = 1, dtype = "f32" }: { start?: number; step?: number; dtype?: Dtype } = {},
): Tensor {
  const count = Math.ceil((end - start) / step);
  if (!(count > 0 && Number.isFinite(count)))
    throw new OptionError(`arange: there must be at least one number, got ${start} to ${end} in steps of ${step}`);
  return tensor(
    Array.from({ length: count }, (_, i) => start + i * step),
    { dtype },
  );
}
