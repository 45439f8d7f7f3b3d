// Options and shapes of convolutions: everything that is checked before any GPU work.

import { OptionError, ShapeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** One number for every spatial axis, or one per axis in the order (depth,) height, width. */
export type PerAxis = number | readonly number[];

export interface ConvOptions {
  /** Step between outputs, in voxels. Default 1. */
  stride?: PerAxis;
  /** Zeros added on both sides, in voxels; "same" keeps the size, for stride 1. Default 0. */
  padding?: PerAxis | "same";
  /** Distance between taps, in voxels. Default 1. */
  dilation?: PerAxis;
  /** Channels are split into this many independent convolutions. Default 1. */
  groups?: number;
}

export interface ConvTransposeOptions {
  /** Distance between inputs in the output, in voxels. Default 1. */
  stride?: PerAxis;
  /** Voxels cut off on both sides of the output. Default 0. */
  padding?: PerAxis;
  /** Voxels added at the end of each axis of the output; less than stride or dilation. Default 0. */
  outputPadding?: PerAxis;
  /** Distance between taps, in voxels. Default 1. */
  dilation?: PerAxis;
  /** Channels are split into this many independent convolutions. Default 1. */
  groups?: number;
}

/** Depth, height, width. */
export type Three = readonly [number, number, number];

/** A convolution without its batch. */
export interface ConvShape {
  readonly groups: number;
  /** Input channels per group. */
  readonly cin: number;
  /** Output channels per group. */
  readonly cout: number;
  readonly input: Three;
  readonly output: Three;
  readonly kernel: Three;
  readonly stride: Three;
  /** Zeros before the first voxel; "same" padding of an even kernel puts one more behind the last. */
  readonly padding: Three;
  readonly dilation: Three;
}

/** [h, w] as [1, h, w]: a convolution of fewer dimensions is a 3-d one with extent `fill` in front. */
function three(values: readonly number[], fill: number): Three {
  const padded = [fill, fill, fill, ...values].slice(-3);
  return [padded[0], padded[1], padded[2]];
}

/** An option as one whole number per axis, at least `least`. */
function perAxis(op: string, name: string, value: PerAxis, dims: number, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(dims).fill(value) : [...value];
  if (list.length !== dims) throw new OptionError(`${op}: ${name} must have ${dims} numbers, found [${list.join(", ")}]`);
  if (!list.every((v) => Number.isInteger(v) && v >= least)) {
    throw new OptionError(`${op}: ${name} must be whole numbers of at least ${least}, found ${showOption(value)}`);
  }
  return list;
}

function showOption(value: PerAxis): string {
  return typeof value === "number" ? `${value}` : showShape(value);
}

function checkRanks(op: string, dims: number, x: Tensor, w: Tensor): void {
  const names = `[N, C, ${["D", "H", "W"].slice(3 - dims).join(", ")}]`;
  for (const [name, t] of [["x", x], ["w", w]] as const) {
    if (t.shape.length !== dims + 2) {
      const form = name === "x" ? names : names.replace("[N, C", "[channels, channels / groups").replace(/D|H|W/g, "K$&");
      throw new ShapeError(`${op}: ${name} must have ${dims + 2} dimensions ${form}, found ${showShape(t.shape)}`);
    }
    if (t.dtype !== "f32") throw new ShapeError(`${op}: ${name} must be f32, found ${t.dtype}`);
  }
}

function checkGroups(op: string, groups: number, channels: readonly (readonly [string, number])[]): void {
  if (!Number.isInteger(groups) || groups < 1) throw new OptionError(`${op}: groups must be a whole number of at least 1, found ${groups}`);
  for (const [name, count] of channels) {
    if (count % groups !== 0) throw new ShapeError(`${op}: ${name} must be divisible by groups, found ${count} and ${groups}`);
  }
}

function checkBias(op: string, bias: Tensor | null, channels: number): void {
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== channels)) {
    throw new ShapeError(`${op}: bias must have shape [${channels}], one number per output channel, found ${showShape(bias.shape)}`);
  }
}

/** The shape of a convolution of `dims` spatial axes, checked. Throws ShapeError or OptionError, naming `op`. */
export function convShape(op: string, dims: number, x: Tensor, w: Tensor, bias: Tensor | null, options: ConvOptions): ConvShape {
  checkRanks(op, dims, x, w);
  const { groups = 1 } = options;
  checkGroups(op, groups, [["input channels", x.shape[1]], ["output channels", w.shape[0]]]);
  if (x.shape[1] !== w.shape[1] * groups) {
    const times = groups === 1 ? "" : ` (${w.shape[1]} in each of ${groups} groups)`;
    throw new ShapeError(`${op}: x has ${x.shape[1]} channels but w expects ${w.shape[1] * groups}${times} (x ${showShape(x.shape)}, w ${showShape(w.shape)})`);
  }
  checkBias(op, bias, w.shape[0]);
  const kernel = w.shape.slice(2);
  const stride = perAxis(op, "stride", options.stride ?? 1, dims, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, dims, 1);
  const reach = kernel.map((k, a) => (k - 1) * dilation[a] + 1);
  const same = options.padding === "same";
  if (same && stride.some((s) => s !== 1)) throw new OptionError(`${op}: padding "same" must have stride 1, found stride ${showOption(options.stride ?? 1)}`);
  const padding = same ? reach.map((r) => Math.floor((r - 1) / 2)) : perAxis(op, "padding", (options.padding ?? 0) as PerAxis, dims, 0);
  const input = x.shape.slice(2);
  const total = reach.map((r, a) => (same ? r - 1 : 2 * padding[a]));
  if (input.some((n, a) => n + total[a] < reach[a])) {
    throw new ShapeError(`${op}: the padded input must be at least as large as the kernel, found ${showShape(input.map((n, a) => n + total[a]))} and ${showShape(reach)}`);
  }
  const output = input.map((n, a) => Math.floor((n + total[a] - reach[a]) / stride[a]) + 1);
  return {
    groups, cin: w.shape[1], cout: w.shape[0] / groups, input: three(input, 1), output: three(output, 1),
    kernel: three(kernel, 1), stride: three(stride, 1), padding: three(padding, 0), dilation: three(dilation, 1),
  };
}

/**
 * The shape of the convolution whose input gradient is this transposed convolution: its `output` is x, its `input` the result.
 * Throws ShapeError or OptionError, naming `op`.
 */
export function convTransposeShape(op: string, dims: number, x: Tensor, w: Tensor, bias: Tensor | null, options: ConvTransposeOptions): ConvShape {
  checkRanks(op, dims, x, w);
  const { groups = 1 } = options;
  checkGroups(op, groups, [["input channels", x.shape[1]]]);
  if (x.shape[1] !== w.shape[0]) {
    throw new ShapeError(`${op}: x has ${x.shape[1]} channels but w expects ${w.shape[0]} (x ${showShape(x.shape)}, w ${showShape(w.shape)})`);
  }
  checkBias(op, bias, w.shape[1] * groups);
  const kernel = w.shape.slice(2);
  const stride = perAxis(op, "stride", options.stride ?? 1, dims, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, dims, 1);
  const padding = perAxis(op, "padding", options.padding ?? 0, dims, 0);
  const extra = perAxis(op, "outputPadding", options.outputPadding ?? 0, dims, 0);
  if (extra.some((e, a) => e >= Math.max(stride[a], dilation[a]))) {
    throw new OptionError(`${op}: outputPadding must be less than stride or dilation, found ${showShape(extra)} with stride ${showShape(stride)}`);
  }
  const small = x.shape.slice(2);
  const large = small.map((n, a) => (n - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + extra[a] + 1);
  if (large.some((n) => n < 1)) throw new ShapeError(`${op}: the output must not be empty, found ${showShape(large)}; use less padding`);
  return {
    groups, cin: w.shape[1], cout: w.shape[0] / groups, input: three(large, 1), output: three(small, 1),
    kernel: three(kernel, 1), stride: three(stride, 1), padding: three(padding, 0), dilation: three(dilation, 1),
  };
}
