// Options and shapes of convolutions: everything that is checked before any GPU work.

import { OptionError, ShapeError } from "../errors.ts";
import { sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { perAxis, triple, type PerAxis, type Triple } from "./axes.ts";
import { checkFloat } from "./checks.ts";

/** Settings of conv1d(), conv2d() and conv3d(). */
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

/** Settings of convTranspose1d(), convTranspose2d() and convTranspose3d(). */
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

/** A convolution without its batch. */
export interface ConvShape {
  readonly groups: number;
  /** Input channels per group. */
  readonly cin: number;
  /** Output channels per group. */
  readonly cout: number;
  readonly input: Triple;
  readonly output: Triple;
  readonly kernel: Triple;
  readonly stride: Triple;
  /** Zeros before the first voxel; "same" padding of an even kernel puts one more behind the last. */
  readonly padding: Triple;
  readonly dilation: Triple;
}

type Lists = Record<"input" | "output" | "kernel" | "stride" | "padding" | "dilation", readonly number[]>;

/** Every list as D, H, W. w: [groups * cout, cin, ...], which in a transposed convolution is [C, out / groups, ...]. */
function shapeOf(w: Tensor, groups: number, lists: Lists): ConvShape {
  return {
    groups,
    cin: w.shape[1],
    cout: w.shape[0] / groups,
    input: triple(lists.input, 1),
    output: triple(lists.output, 1),
    kernel: triple(lists.kernel, 1),
    stride: triple(lists.stride, 1),
    padding: triple(lists.padding, 0),
    dilation: triple(lists.dilation, 1),
  };
}

function checkOperands(op: string, dims: number, x: Tensor, w: Tensor): void {
  const axes = ["D", "H", "W"].slice(3 - dims);
  checkOperand(op, "x", x, ["N", "C", ...axes]);
  checkOperand(op, "w", w, ["channels", "channels / groups", ...axes.map((a) => `K${a}`)]);
}

function checkOperand(op: string, name: string, t: Tensor, form: readonly string[]): void {
  checkFloat(op, name, t);
  if (t.shape.length === form.length) return;
  throw new ShapeError(
    `${op}: ${name} must have ${form.length} dimensions [${form.join(", ")}], got ${showShape(t.shape)}`,
  );
}

/** `expected`: the channels of x that w takes, in words where they need some. */
function checkChannels(op: string, x: Tensor, w: Tensor, channels: number, expected = `${channels}`): void {
  if (x.shape[1] === channels) return;
  const shapes = `(x ${showShape(x.shape)}, w ${showShape(w.shape)})`;
  throw new ShapeError(`${op}: x has ${x.shape[1]} channels but w expects ${expected} ${shapes}`);
}

function checkGroups(op: string, groups: number, channels: Readonly<Record<string, number>>): void {
  if (!Number.isInteger(groups) || groups < 1)
    throw new OptionError(`${op}: groups must be a whole number of at least 1, got ${groups}`);
  for (const [name, count] of Object.entries(channels)) {
    if (count % groups !== 0)
      throw new ShapeError(`${op}: ${name} must be divisible by groups, got ${count} and ${groups}`);
  }
}

function checkBias(op: string, bias: Tensor | null, channels: number): void {
  if (!bias) return;
  checkFloat(op, "bias", bias);
  if (sameShape(bias.shape, [channels])) return;
  const form = `[${channels}], one number per output channel`;
  throw new ShapeError(`${op}: bias must have shape ${form}, got ${showShape(bias.shape)}`);
}

/** The shape of a convolution of `dims` spatial axes, checked. Throws ShapeError or OptionError, naming `op`. */
export function convShape(
  op: string,
  dims: number,
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  options: ConvOptions,
): ConvShape {
  checkOperands(op, dims, x, w);
  const { groups = 1 } = options;
  checkGroups(op, groups, { "input channels": x.shape[1], "output channels": w.shape[0] });
  const each = groups === 1 ? "" : ` (${w.shape[1]} in each of ${groups} groups)`;
  checkChannels(op, x, w, w.shape[1] * groups, `${w.shape[1] * groups}${each}`);
  checkBias(op, bias, w.shape[0]);
  const kernel = w.shape.slice(2);
  const stride = perAxis(op, "stride", options.stride ?? 1, dims, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, dims, 1);
  const reach = kernel.map((k, a) => (k - 1) * dilation[a] + 1);
  const same = options.padding === "same";
  if (same && stride.some((s) => s !== 1))
    throw new OptionError(`${op}: padding "same" must have stride 1, got stride ${showShape(stride)}`);
  const padding = same
    ? reach.map((r) => Math.floor((r - 1) / 2))
    : perAxis(op, "padding", (options.padding ?? 0) as PerAxis, dims, 0);
  const input = x.shape.slice(2);
  const total = reach.map((r, a) => (same ? r - 1 : 2 * padding[a]));
  const padded = input.map((n, a) => n + total[a]);
  if (padded.some((n, a) => n < reach[a])) {
    const sizes = `${showShape(padded)} and ${showShape(reach)}`;
    throw new ShapeError(`${op}: the padded input must be at least as large as the kernel, got ${sizes}`);
  }
  const output = padded.map((n, a) => Math.floor((n - reach[a]) / stride[a]) + 1);
  return shapeOf(w, groups, { input, output, kernel, stride, padding, dilation });
}

/**
 * The shape of the convolution whose input gradient is this transposed convolution:
 * its `output` is x, its `input` the result.
 * Throws ShapeError or OptionError, naming `op`.
 */
export function convTransposeShape(
  op: string,
  dims: number,
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  options: ConvTransposeOptions,
): ConvShape {
  checkOperands(op, dims, x, w);
  const { groups = 1 } = options;
  checkGroups(op, groups, { "input channels": x.shape[1] });
  checkChannels(op, x, w, w.shape[0]);
  checkBias(op, bias, w.shape[1] * groups);
  const kernel = w.shape.slice(2);
  const stride = perAxis(op, "stride", options.stride ?? 1, dims, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, dims, 1);
  const padding = perAxis(op, "padding", options.padding ?? 0, dims, 0);
  const extra = perAxis(op, "outputPadding", options.outputPadding ?? 0, dims, 0);
  if (extra.some((e, a) => e >= Math.max(stride[a], dilation[a]))) {
    const found = `${showShape(extra)} with stride ${showShape(stride)}`;
    throw new OptionError(`${op}: outputPadding must be less than stride or dilation, got ${found}`);
  }
  const small = x.shape.slice(2);
  const large = small.map(
    (n, a) => (n - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + extra[a] + 1,
  );
  if (large.some((n) => n < 1))
    throw new ShapeError(`${op}: the output must not be empty, got ${showShape(large)}; use less padding`);
  return shapeOf(w, groups, { input: large, output: small, kernel, stride, padding, dilation });
}
