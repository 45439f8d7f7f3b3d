// Convolutions, pooling and resizing.

import { OptionError } from "../../errors.ts";
import { perAxis, type PerAxis } from "../../kernels/axes.ts";
import type { Axis, InterpolateOptions } from "../../kernels/interpolate.ts";
import { fixed, type Call, type Emit, type Graph } from "../graph.ts";
import { gatherAxis } from "./layout.ts";

/** Settings of a convolution as ONNX's attributes: the same amount of padding before and after. */
function convAttributes({ op, shapes: [x], settings }: Call) {
  const axes = x!.length - 2;
  const each = (name: string, missing: number) =>
    perAxis(op, name, (settings[name] as PerAxis | undefined) ?? missing, axes, 0);
  const padding = each("padding", 0);
  const attributes = { strides: each("stride", 1), pads: [...padding, ...padding], dilations: each("dilation", 1) };
  return { ...attributes, group: (settings.groups as number | undefined) ?? 1, each };
}

const conv: Emit = (g, call) => {
  const { each, ...attributes } = convAttributes(call);
  return g.node("Conv", call.inputs, attributes);
};

const convTranspose: Emit = (g, call) => {
  const { each, ...attributes } = convAttributes(call);
  return g.node("ConvTranspose", call.inputs, { ...attributes, output_padding: each("outputPadding", 0) });
};

interface Windows {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
}

/** Padding after the last element so that the windows are those of the result, whatever rounding chose their number. */
function padsAfter(call: Call): number[] {
  const { kernel, stride, padding, dilation } = call.settings as unknown as Windows;
  const [from, to] = [fixed(call.op, call.shapes[0]!.slice(2)), fixed(call.op, call.shape.slice(2))];
  return to.map((n, a) => (n - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 - from[a] - padding[a]);
}

const nonNegative = (list: readonly number[]) => list.map((n) => Math.max(0, n));

const maxPool: Emit = (g, call) => {
  const { kernel, stride, padding, dilation } = call.settings as unknown as Windows;
  const pads = [...padding, ...nonNegative(padsAfter(call))];
  return g.node("MaxPool", call.inputs, { kernel_shape: kernel, strides: stride, pads, dilations: dilation });
};

/** Zeros that count are added before; what windows reach beyond them never counts. */
const avgPool: Emit = (g, call) => {
  const { kernel, stride, padding } = call.settings as unknown as Windows;
  const after = padsAfter(call);
  const attributes = { kernel_shape: kernel, strides: stride, count_include_pad: 0 };
  if (!call.settings.countIncludePad)
    return g.node("AveragePool", call.inputs, { ...attributes, pads: [...padding, ...nonNegative(after)] });
  const rim = [0, 0, ...padding];
  const x = padding.some((n) => n > 0) ? g.node("Pad", [call.inputs[0], g.ints([...rim, ...rim])]) : call.inputs[0];
  const beyond = after.map((n, a) => n - padding[a]);
  return g.node("AveragePool", [x], { ...attributes, pads: [...padding.map(() => 0), ...nonNegative(beyond)] });
};

const interpolate: Emit = (g, call) => {
  const { size, scale, mode, alignCorners, axes } = call.settings as unknown as InterpolateOptions & { axes: Axis[] };
  const x = call.inputs[0]!;
  fixed(call.op, call.shape.slice(2));
  if (mode === "nearest") return axes.reduce((y, axis, a) => gatherAxis(g, y, a + 2, nearest(axis)), x);
  const attributes = {
    axes: axes.map((_, a) => a + 2),
    mode: "linear",
    coordinate_transformation_mode: alignCorners ? "align_corners" : "half_pixel",
  };
  if (size || alignCorners) return g.node("Resize", [x, null, null, g.ints(axes.map(({ out }) => out))], attributes);
  return g.node("Resize", [x, null, factors(g, axes, scale!)], attributes);
};

/** The input that every output takes. As positions these are exact, where ONNX's float32 factors may not be. */
function nearest({ size, out, a, den }: Axis): number[] {
  return Array.from({ length: out }, (_, o) => Math.min(size - 1, Math.floor((a * o) / den)));
}

/** Scale factors, from which ONNX computes sizes and positions in float32. */
function factors(g: Graph, axes: readonly Axis[], scale: number | readonly number[]): string {
  const each = Float32Array.from(typeof scale === "number" ? axes.map(() => scale) : scale);
  axes.forEach(({ size, out }, a) => {
    if (Math.floor(Math.fround(size * each[a])) !== out)
      throw new OptionError(
        `exportOnnx: interpolate by ${each[a]} makes ${out} of ${size}, which ONNX rounds otherwise; give its size`,
      );
  });
  return g.floats([...each]);
}

export const windows: Readonly<Record<string, Emit>> = {
  conv,
  convTranspose,
  maxPool,
  avgPool,
  globalAvgPool: (g, { inputs }) => g.node("GlobalAveragePool", inputs),
  interpolate,
};
