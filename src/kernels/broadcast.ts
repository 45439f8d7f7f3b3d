// Elementwise kernel calls with NumPy's broadcasting, without gradients: what binary.ts and the gradient closures are
// made of.

import { ShapeError } from "../errors.ts";
import { linearGrid, type Grid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { showShape, stridesOf, type Shape } from "../shape.ts";
import { emptyFrom, hostTensor, type Tensor } from "../tensor.ts";

/** In the order of the cases in binary.wgsl. */
export const OPS = [
  "add",
  "sub",
  "mul",
  "div",
  "pow",
  "minimum",
  "maximum",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "greater",
  "greaterEqual",
  "prelu",
] as const;
export type BinaryOp = (typeof OPS)[number];

/** In the order of the cases in binary_backward.wgsl. */
const SLOPES = ["divByB", "minimumByA", "maximumByA", "preluByA", "preluByB"] as const;
export type BinarySlope = (typeof SLOPES)[number];

/** A tensor seen with another shape of the same size. */
export interface View {
  readonly tensor: Tensor;
  readonly shape: Shape;
}

const MAX_DIMS = 6;
const WG = 64;

/** The grid of a kernel whose threads take four elements each. */
export function vec4Grid(size: number): Grid {
  return linearGrid(Math.ceil(size / 4), WG);
}

/** `tensor` seen with `shape`, by default its own. */
export function view(tensor: Tensor, shape: Shape = tensor.shape): View {
  return { tensor, shape };
}

/** A tensor of one element with a value that may change every step without a new kernel. */
export function scalar(value: number): Tensor {
  const data = Float32Array.of(value);
  return hostTensor([], "f32", () => data);
}

/** f(a, b) of shape `shape`, to which both broadcast. */
export function callBinary(op: BinaryOp, a: View, b: View, shape: Shape): Tensor {
  const y = emptyFrom(shape, a.tensor, b.tensor);
  const consts = { OP: OPS.indexOf(op), ...layoutConsts(op, shape, { A: a.shape, B: b.shape }) };
  launch(wgsl.binary, { consts, buffers: { a: a.tensor, b: b.tensor, y }, grid: vec4Grid(y.size), flops: y.size });
  return y;
}

/** slope(a, b) * dy, of dy's shape. */
export function callSlope(slope: BinarySlope, a: View, b: View, dy: Tensor): Tensor {
  const g = emptyFrom(dy.shape, dy);
  const consts = { OP: SLOPES.indexOf(slope), ...layoutConsts(slope, dy.shape, { A: a.shape, B: b.shape }) };
  const buffers = { a: a.tensor, b: b.tensor, dy, g };
  launch(wgsl.binary_backward, { consts, buffers, grid: vec4Grid(g.size), flops: 3 * g.size });
  return g;
}

/** a where cond is not 0, else b; of shape `shape`, to which all three broadcast. */
export function callWhere(cond: Tensor, a: Tensor, b: Tensor, shape: Shape): Tensor {
  const y = emptyFrom(shape, a, b);
  const consts = layoutConsts("where", shape, { C: cond.shape, A: a.shape, B: b.shape });
  launch(wgsl.where, { consts, buffers: { cond, a, b, y }, grid: vec4Grid(y.size) });
  return y;
}

/** `scale` times `x`, repeated to `shape`. */
export function expand(x: View, shape: Shape, scale = 1): Tensor {
  return callBinary("mul", x, view(scalar(scale)), shape);
}

interface Layout {
  /** The output's dimensions, neighbours merged where every operand allows, outermost first. */
  readonly dims: number[];
  /** For each operand its stride along each of them; 0 where it repeats. */
  readonly strides: number[][];
}

/**
 * The fewest dimensions in which operands of these shapes can be read while the output of shape `out` is walked in
 * order.
 */
export function mergeDims(out: Shape, operands: readonly Shape[]): Layout {
  const full = operands.map((shape) => broadcastStrides(out, shape));
  const dims: number[] = [];
  const strides: number[][] = operands.map(() => []);
  for (const [axis, n] of out.entries()) {
    if (n === 1) continue;
    const last = dims.length - 1;
    if (last >= 0 && full.every((s, k) => strides[k][last] === s[axis] * n)) {
      dims[last] *= n;
      full.forEach((s, k) => (strides[k][last] = s[axis]));
    } else {
      dims.push(n);
      full.forEach((s, k) => strides[k].push(s[axis]));
    }
  }
  return dims.length > 0 ? { dims, strides } : { dims: [1], strides: operands.map(() => [0]) };
}

function broadcastStrides(out: Shape, shape: Shape): number[] {
  const own = stridesOf(shape);
  const lead = out.length - shape.length;
  return out.map((_, axis) => (axis < lead || shape[axis - lead] === 1 ? 0 : own[axis - lead]));
}

const vector = (values: readonly number[]): string => `array<u32, ${MAX_DIMS}>(${values.join(", ")})`;

/**
 * Outermost in front, the others at the end: the kernel divides by all but the first, whose size (often the batch) it
 * does not know.
 */
function slots(values: readonly number[], filler: number): number[] {
  return [values[0], ...new Array<number>(MAX_DIMS - values.length).fill(filler), ...values.slice(1)];
}

type LayoutConsts<K extends string> = Record<"ROW" | `${K}_RUN`, boolean> & Record<"D" | K, string>;

function layoutConsts<K extends string>(op: string, out: Shape, operands: Readonly<Record<K, Shape>>): LayoutConsts<K> {
  const names = Object.keys(operands) as K[];
  const { dims, strides } = mergeDims(
    out,
    names.map((name) => operands[name]),
  );
  if (dims.length > MAX_DIMS) {
    const shapes = names.map((name) => showShape(operands[name])).join(", ");
    throw new ShapeError(
      `${op}: at most ${MAX_DIMS} separate dimensions, shapes ${shapes} have ${dims.length}; reshape first`,
    );
  }
  const inner = dims.length - 1;
  const consts: Record<string, boolean | string> = {
    ROW: inner === 0 || dims[inner] % 4 === 0,
    D: vector(slots([1, ...dims.slice(1)], 1)),
  };
  names.forEach((name, k) => {
    consts[`${name}_RUN`] = strides[k][inner] === 1;
    consts[name] = vector(slots(strides[k], 0));
  });
  return consts as LayoutConsts<K>;
}
