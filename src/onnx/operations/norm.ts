// Normalisations, and squeeze and excitation.

import { OptionError } from "../../errors.ts";
import { fixed, type Call, type Emit, type Graph } from "../graph.ts";

const floatOf = (settings: Call["settings"], name: string) => ({ float: settings[name] as number });

/** What the operation applies in the same pass. */
function activated(g: Graph, y: string, { settings }: Call): string {
  return settings.activation === "relu" ? g.node("Relu", [y]) : y;
}

const batchNorm: Emit = (g, call) => {
  const { inputs, shapes, settings } = call;
  if (settings.training)
    throw new OptionError(
      "exportOnnx: batchNorm is in training mode; call nn.setTraining(model, false), or pass training: false",
    );
  const [x, weight, bias, mean, variance, residual] = inputs;
  const channels = [shapes[0]![1]];
  const affine = [weight ?? g.full(1, channels), bias ?? g.full(0, channels)];
  const y = g.node("BatchNormalization", [x, ...affine, mean, variance], { epsilon: floatOf(settings, "eps") });
  return activated(g, residual ? g.node("Add", [y, residual]) : y, call);
};

/** Groups of channels are the channels of ONNX's instance normalisation, which takes no groups. */
const groupNorm: Emit = (g, call) => {
  const [x, weight, bias] = call.inputs;
  const [channels, ...space] = fixed(call.op, call.shapes[0]!.slice(1));
  const groups = call.settings.groups as number;
  const grouped = g.node("Reshape", [x, g.ints([0, groups, -1])]); // 0: the batch, as it is
  const affine = [g.full(1, [groups]), g.full(0, [groups])];
  const epsilon = floatOf(call.settings, "eps");
  const normal = g.node("InstanceNormalization", [grouped, ...affine], { epsilon });
  let y = g.node("Reshape", [normal, g.ints([0, channels, ...space])]);
  const perChannel = g.ints([channels, ...space.map(() => 1)]);
  if (weight) y = g.node("Mul", [y, g.node("Reshape", [weight, perChannel])]);
  if (bias) y = g.node("Add", [y, g.node("Reshape", [bias, perChannel])]);
  return activated(g, y, call);
};

const layerNorm: Emit = (g, { op, inputs: [x, weight, bias], shapes: [dims], settings }) => {
  const rank = settings.rank as number;
  const scale = weight ?? g.full(1, fixed(op, dims!.slice(-rank)));
  return g.node("LayerNormalization", [x, scale, bias], { axis: -rank, epsilon: floatOf(settings, "eps") });
};

const squeezeExcitation: Emit = (g, { inputs: [x, w1, b1, w2, b2], shapes: [dims] }) => {
  const space = g.ints(dims!.slice(2).map((_, a) => a + 2));
  const means = g.node("ReduceMean", [x, space], { keepdims: 0 });
  const hidden = g.node("Relu", [g.node("Gemm", [means, w1, b1], { transB: 1 })]);
  const gate = g.node("Sigmoid", [g.node("Gemm", [hidden, w2, b2], { transB: 1 })]);
  return g.node("Mul", [x, g.node("Unsqueeze", [gate, space])]);
};

export const norms: Readonly<Record<string, Emit>> = {
  batchNorm,
  groupNorm,
  instanceNorm: groupNorm,
  layerNorm,
  squeezeExcitation,
};
