// Functions of every element by itself, with NumPy's broadcasting, which is ONNX's too.

import type { Emit, Graph } from "../graph.ts";
import { DATA_TYPES } from "../proto.ts";

/** A node of the operands as they are. */
const plain =
  (type: string): Emit =>
  (g, { inputs }) =>
    g.node(type, inputs);

/** A node whose single float attribute is the operation's first parameter. */
const alpha =
  (type: string): Emit =>
  (g, { inputs, settings }) =>
    g.node(type, inputs, { alpha: { float: settings.P as number } });

/** A composition of nodes of one operand. */
const of =
  (build: (g: Graph, x: string) => string): Emit =>
  (g, { inputs: [x] }) =>
    build(g, x!);

const comparison =
  (type: string, negate = false): Emit =>
  (g, { inputs }) => {
    const found = g.node(type, inputs);
    return g.node("Cast", [negate ? g.node("Not", [found]) : found], { to: DATA_TYPES.f32 });
  };

const times = (g: Graph, a: string, b: string): string => g.node("Mul", [a, b]);

export const elementwise: Readonly<Record<string, Emit>> = {
  neg: plain("Neg"),
  exp: plain("Exp"),
  log: plain("Log"),
  sqrt: plain("Sqrt"),
  rsqrt: of((g, x) => g.node("Reciprocal", [g.node("Sqrt", [x])])),
  abs: plain("Abs"),
  sign: plain("Sign"),
  square: of((g, x) => times(g, x, x)),
  reciprocal: plain("Reciprocal"),
  sin: plain("Sin"),
  cos: plain("Cos"),
  erf: plain("Erf"),
  floor: plain("Floor"),
  round: plain("Round"),
  clamp: (g, { inputs: [x], settings: { P, Q } }) => g.node("Clip", [x, g.full(P as number), g.full(Q as number)]),
  relu: plain("Relu"),
  leakyRelu: alpha("LeakyRelu"),
  elu: alpha("Elu"),
  gelu: of((g, x) => {
    const erf = g.node("Erf", [times(g, x, g.full(Math.SQRT1_2))]);
    return times(g, times(g, x, g.full(0.5)), g.node("Add", [erf, g.full(1)]));
  }),
  geluTanh: of((g, x) => {
    const cubic = times(g, times(g, times(g, x, x), x), g.full(0.044715));
    const inner = times(g, g.node("Add", [x, cubic]), g.full(Math.sqrt(2 / Math.PI)));
    return times(g, times(g, x, g.full(0.5)), g.node("Add", [g.node("Tanh", [inner]), g.full(1)]));
  }),
  silu: of((g, x) => times(g, x, g.node("Sigmoid", [x]))),
  sigmoid: plain("Sigmoid"),
  tanh: plain("Tanh"),
  softplus: plain("Softplus"),
  hardswish: plain("HardSwish"),
  mish: of((g, x) => times(g, x, g.node("Tanh", [g.node("Softplus", [x])]))),
  logSigmoid: of((g, x) => g.node("Neg", [g.node("Softplus", [g.node("Neg", [x])])])),
  // One slope per channel: ONNX aligns shapes at the last dimension.
  prelu: (g, { inputs: [x, weight], shapes: [dims] }) =>
    g.node("PRelu", [x, g.node("Reshape", [weight, g.ints([-1, ...dims!.slice(2).map(() => 1)])])]),
  cast: (g, { inputs, dtype }) => g.node("Cast", inputs, { to: DATA_TYPES[dtype] }),

  add: plain("Add"),
  sub: plain("Sub"),
  mul: plain("Mul"),
  div: plain("Div"),
  pow: plain("Pow"),
  minimum: plain("Min"),
  maximum: plain("Max"),
  equal: comparison("Equal"),
  notEqual: comparison("Equal", true),
  less: comparison("Less"),
  lessEqual: comparison("LessOrEqual"),
  greater: comparison("Greater"),
  greaterEqual: comparison("GreaterOrEqual"),
  where: (g, { inputs: [cond, a, b] }) => g.node("Where", [g.node("Cast", [cond], { to: DATA_TYPES.bool }), a, b]),
};
