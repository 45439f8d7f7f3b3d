// Reductions, softmax and matrix products.

import { fixed, type Call, type Emit, type Graph } from "../graph.ts";
import { DATA_TYPES } from "../proto.ts";

interface Reduced {
  readonly dims: readonly number[];
  readonly keepDim: boolean;
}

function reduced(g: Graph, type: string, x: string, { dims, keepDim }: Reduced): string {
  return dims.length > 0 ? g.node(type, [x, g.ints(dims)], { keepdims: Number(keepDim) }) : x;
}

const reduction =
  (type: string): Emit =>
  (g, { inputs: [x], settings }) =>
    reduced(g, type, x!, settings as unknown as Reduced);

const variance: Emit = (g, { inputs: [x], settings }) => {
  const { dims, keepDim, scale } = settings as unknown as Reduced & { scale: number };
  const off = g.node("Sub", [x, reduced(g, "ReduceMean", x!, { dims, keepDim: true })]);
  return g.node("Mul", [reduced(g, "ReduceSumSquare", off, { dims, keepDim }), g.full(scale)]);
};

const argmax: Emit = (g, { op, inputs: [x], shape, settings }) => {
  const { dims, keepDim, all } = settings as unknown as Reduced & { all: boolean };
  const flat = all ? g.node("Reshape", [x, g.ints([-1])]) : x;
  const attributes = { axis: all ? 0 : dims[0], keepdims: Number(keepDim && !all) };
  const found = g.node("Cast", [g.node("ArgMax", [flat], attributes)], { to: DATA_TYPES.i32 });
  return all && keepDim ? g.node("Reshape", [found, g.ints(fixed(op, shape))]) : found;
};

const along =
  (type: string): Emit =>
  (g, { inputs, settings }) =>
    g.node(type, inputs, { axis: settings.dim as number });

const matmul: Emit = (g, { inputs: [a, b], shapes: [m, n], settings }) => {
  const swapped = (x: string, rank: number) =>
    g.node("Transpose", [x], { perm: [...Array(rank - 2).keys(), rank - 1, rank - 2] });
  const { transposeA, transposeB } = settings as Record<string, boolean>;
  return g.node("MatMul", [transposeA ? swapped(a!, m!.length) : a, transposeB ? swapped(b!, n!.length) : b]);
};

export const reductions: Readonly<Record<string, Emit>> = {
  sum: reduction("ReduceSum"),
  mean: reduction("ReduceMean"),
  max: reduction("ReduceMax"),
  min: reduction("ReduceMin"),
  logSumExp: reduction("ReduceLogSumExp"),
  norm: reduction("ReduceL2"),
  variance,
  argmax,
  softmax: along("Softmax"),
  logSoftmax: along("LogSoftmax"),
  matmul,
  linear: (g, { inputs }: Call) => g.node("Gemm", inputs, { transB: 1 }),
};
