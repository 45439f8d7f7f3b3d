// Models as ONNX files for inference.

import { OptionError } from "../errors.ts";
import { namedBuffers, namedModules, namedParameters, type Model } from "../nn/module.ts";
import { showShape } from "../shape.ts";
import { Tensor, type Dtype } from "../tensor.ts";
import { buildGraph, bytesOf, type Built, type WeightNames } from "./build.ts";
import { FREE, type Dims } from "./graph.ts";
import { encodeModel, type OnnxValue } from "./proto.ts";
import { recordOperations, type InputLike } from "./record.ts";

/** What a forward function returns: one tensor, several, or several by name. */
export type Outputs = Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>>;

/** A function of tensors that can be exported. */
export type Forward = (...inputs: Tensor[]) => Outputs;

/** A layer or model; its forward may take options after the tensors, which keep their defaults. */
export interface ForwardModel {
  forward(...inputs: never[]): Outputs;
}

/** Settings of exportOnnx(). */
export interface OnnxOptions {
  /** The model whose tensors give weights their names, where a function is exported. Others are constant_0, ... */
  weights?: Model;
  /** The first dimension of every input may have any size. Default true; false keeps the sizes of the inputs given. */
  dynamicBatch?: boolean;
  /** Of the graph. Default "wgrad". */
  name?: string;
  /** Free text for readers of the file. */
  description?: string;
  /** Named texts for programs that read the file. */
  metadata?: Readonly<Record<string, string>>;
}

/** Protocol buffers, which ONNX files are, end here. */
const MOST_BYTES = 2 ** 31 - 1;

/**
 * The bytes of an ONNX file (operator set 18) that computes what `model.forward`, or a function of tensors, computes.
 * `inputs`: shapes in the order of its arguments, by the names they get in the file; a tensor is one. The outputs are
 * "output", "output0", "output1", ... for a list, or as the object that is returned names them; weights have their names of
 * the state. Nothing is run on the GPU but the reading of the weights.
 *
 *   nn.setTraining(model, false);
 *   const bytes = await exportOnnx(model, { image: { shape: [1, 3, 128, 128] } });
 *
 * Throws OptionError for a model in training mode, for an operation without an ONNX form, which it names, for one that
 * depends on the size of the batch, and for f16.
 */
export async function exportOnnx(
  model: ForwardModel | Forward,
  inputs: Readonly<Record<string, InputLike>>,
  options: OnnxOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { dynamicBatch = true, name = "wgrad", description = "", metadata = {} } = options;
  const weights = options.weights ?? (typeof model === "function" ? {} : model);
  checkInputs(inputs, dynamicBatch);
  checkMode(weights);
  const forward: Forward = typeof model === "function" ? model : (...list) => model.forward(...(list as never[]));
  let outputNames: readonly string[] = [];
  const record = (batch: number | null) =>
    recordOperations(
      (...list) => {
        const outputs = namedOutputs(forward(...list));
        outputNames = outputs.map(([key]) => key);
        return outputs.map(([, t]) => t);
      },
      Object.values(inputs).map(({ shape, dtype }) => ({ shape: batch ? shape.with(0, batch) : shape, dtype })),
    );
  // Sizes above 1, which no operation treats differently.
  const [first, second] = dynamicBatch ? [await record(2), await record(3)] : [await record(null), null];
  const names = { inputs: Object.keys(inputs), outputs: outputNames };
  const built = buildGraph(first, second, names, weightNames(weights));
  await readWeights(built);
  const initializers = [...built.graph.initializers.values()];
  checkNames([...names.inputs, ...names.outputs, ...initializers.map((t) => t.name)]);
  checkBytes(initializers.reduce((n, { bytes }) => n + bytes.length, 0));
  return encodeModel({
    ...{ name, description, metadata, initializers, nodes: built.graph.nodes },
    inputs: values(names.inputs, first.inputs, built.inputs),
    outputs: values(names.outputs, first.result, built.outputs),
  });
}

function checkInputs(inputs: Readonly<Record<string, InputLike>>, dynamicBatch: boolean): void {
  if (Object.keys(inputs).length === 0)
    throw new OptionError("exportOnnx: inputs must name at least one, such as { image: { shape: [1, 3, 128, 128] } }");
  for (const [name, { shape, dtype }] of Object.entries(inputs)) {
    if (dtype === "f16") throw new OptionError(`exportOnnx: ${name} must be f32; networks are exported in f32`);
    if (dynamicBatch && shape.length === 0)
      throw new OptionError(
        `exportOnnx: ${name} has no batch dimension, got ${showShape(shape)}; export with dynamicBatch: false`,
      );
  }
}

function checkMode(weights: Model): void {
  const layer = namedModules(weights).find(([, m]) => "training" in m && m.training === true);
  if (layer)
    throw new OptionError(
      `exportOnnx: ${layer[0] || "the model"} is in training mode; call nn.setTraining(model, false) first`,
    );
}

/** A value of the file has one name. */
function checkNames(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new OptionError(`exportOnnx: two values have the name ${twice}; rename the input`);
}

function checkBytes(bytes: number): void {
  if (bytes > MOST_BYTES)
    throw new OptionError(`exportOnnx: the weights have ${bytes} bytes; an ONNX file holds at most ${MOST_BYTES}`);
}

function namedOutputs(outputs: Outputs): (readonly [string, Tensor])[] {
  if (outputs instanceof Tensor) return [["output", outputs]];
  const named = Array.isArray(outputs)
    ? outputs.map((t: Tensor, i) => [`output${i}`, t] as const)
    : Object.entries(outputs as Readonly<Record<string, Tensor>>);
  if (named.length === 0 || !named.every(([, t]) => t instanceof Tensor))
    throw new OptionError("exportOnnx: the function must return a tensor, a list of tensors or an object of them");
  return named;
}

function weightNames(model: Model): WeightNames {
  const named = [...namedParameters(model), ...namedBuffers(model)];
  return new Map(named.map(([name, t]) => [t.storage, [name, t]]));
}

async function readWeights({ graph, weights }: Built): Promise<void> {
  const read = await Promise.all([...weights].map(async ([name, t]) => [name, t, await t.read()] as const));
  for (const [name, t, data] of read)
    graph.initializer(name, t.dtype === "f16" ? "f32" : t.dtype, t.shape, bytesOf(data));
}

function values(names: readonly string[], tensors: readonly Tensor[], dims: readonly Dims[]): OnnxValue[] {
  return names.map((name, i) => ({
    name,
    type: tensors[i].dtype as Exclude<Dtype, "f16">,
    shape: dims[i].map((n) => (n === FREE ? "batch" : n)),
  }));
}
