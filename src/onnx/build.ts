// From what was recorded to a graph: the operations that the outputs need, their operands by name.

import { OptionError } from "../errors.ts";
import type { Storage } from "../gpu/storage.ts";
import type { Operation } from "../observe.ts";
import { sameShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { FREE, Graph, type Call, type Dims } from "./graph.ts";
import { operations as forms } from "./operations/index.ts";
import type { Recording } from "./record.ts";

/** The tensors of a model by their storage, with the names they have in its state. */
export type WeightNames = ReadonlyMap<Storage, readonly [name: string, tensor: Tensor]>;

/** A graph whose weights are still on the GPU. */
export interface Built {
  readonly graph: Graph;
  readonly inputs: readonly Dims[];
  readonly outputs: readonly Dims[];
  /** Tensors from outside that it reads, by name. */
  readonly weights: ReadonlyMap<string, Tensor>;
}

/**
 * The graph of `first`. `second`: the same function recorded with another batch size, which shows what depends on it; null
 * where the batch is to stay as it is. Inputs and outputs are called `names`.
 */
export function buildGraph(
  first: Recording<readonly Tensor[]>,
  second: Recording<readonly Tensor[]> | null,
  names: { readonly inputs: readonly string[]; readonly outputs: readonly string[] },
  weightNames: WeightNames,
): Built {
  const other = second ?? first;
  checkSame(first, other);
  const values = new Values();
  first.inputs.forEach((t, i) => values.set(t, names.inputs[i]));
  const producers = producersOf(first);
  const graph = new Graph();
  const weights = new Map<string, Tensor>();

  const nameOf = (t: Tensor): string => {
    const known = values.get(t);
    if (known !== undefined) return known;
    if (first.made.has(t.storage)) throw withoutForm(first, t);
    const [name, own] = weightNames.get(t.storage) ?? [];
    const called = name !== undefined && sameShape(own!.shape, t.shape) ? name : `constant_${weights.size}`;
    weights.set(called, t);
    values.set(t, called);
    return called;
  };
  for (const i of neededFor(first.result, producers, first.operations)) {
    const operation = first.operations[i];
    const call = callOf(operation, other.operations[i], nameOf);
    values.set(operation.output, emit(graph, call, i));
  }
  first.result.forEach((t, i) => {
    graph.output(nameOf(t), names.outputs[i]);
    if (producers.get(t) !== undefined) values.set(t, names.outputs[i]);
  });
  return {
    graph,
    inputs: first.inputs.map((t, i) => dimsOf(t, other.inputs[i])),
    outputs: first.result.map((t, i) => dimsOf(t, other.result[i])),
    weights,
  };
}

/** Something known of tensors. Two tensors of one storage and shape are the same values: nothing is changed in place. */
class Values<T extends string | number = string> {
  readonly #known = new Map<Storage, Map<string, T>>();

  get({ storage, shape }: Tensor): T | undefined {
    return this.#known.get(storage)?.get(shape.join());
  }

  set({ storage, shape }: Tensor, value: T): void {
    const shapes = this.#known.get(storage) ?? new Map<string, T>();
    this.#known.set(storage, shapes.set(shape.join(), value));
  }
}

/** Which operation made each tensor. One made of others counts for all of it, since it tells last. */
function producersOf({ inputs, operations }: Recording<unknown>): Values<number> {
  const producers = new Values<number>();
  const isInput = (t: Tensor) => inputs.some((x) => x.storage === t.storage && sameShape(x.shape, t.shape));
  operations.forEach(({ op, inputs: operands, output }, i) => {
    if (op === "assign") throw new OptionError("exportOnnx: assign changes a tensor in place, which ONNX cannot");
    const isView = operands.some((x) => x?.storage === output.storage);
    if (!isView || (producers.get(output) === undefined && !isInput(output))) producers.set(output, i);
  });
  return producers;
}

/** The operations that `outputs` depend on, in the order of computing. */
function neededFor(
  outputs: readonly Tensor[],
  producers: Values<number>,
  operations: readonly Operation[],
): readonly number[] {
  const needed = new Set<number>();
  const open: (Tensor | null)[] = [...outputs];
  while (open.length > 0) {
    const t = open.pop();
    const i = t ? producers.get(t) : undefined;
    if (i === undefined || needed.has(i)) continue;
    needed.add(i);
    open.push(...operations[i].inputs);
  }
  return [...needed].sort((a, b) => a - b);
}

const callOf = (
  { op, inputs, output, settings }: Operation,
  other: Operation,
  nameOf: (t: Tensor) => string,
): Call => ({
  op,
  inputs: inputs.map((t) => t && nameOf(t)),
  shapes: inputs.map((t, k) => t && dimsOf(t, other.inputs[k]!)),
  shape: dimsOf(output, other.output),
  dtype: output.dtype,
  settings,
});

function emit(graph: Graph, call: Call, i: number): string {
  if (call.dtype === "f16") throw new OptionError(`exportOnnx: ${call.op} gives f16; networks are exported in f32`);
  if (call.op === "constant" || call.op === "full") return constant(graph, call, `value_${i}`);
  const form = Object.hasOwn(forms, call.op) ? forms[call.op] : undefined;
  if (!form) throw new OptionError(`exportOnnx: ${call.op} has no ONNX form; leave it out of what is exported`);
  return form(graph, call);
}

const ARRAYS = { f32: Float32Array, f16: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** A tensor that the function makes of numbers. */
function constant(graph: Graph, { op, shape, dtype, settings }: Call, name: string): string {
  if (shape.includes(FREE))
    throw new OptionError(`exportOnnx: a constant has a size of the batch; export with dynamicBatch: false`);
  const count = shape.reduce((a, b) => a * b, 1);
  const array =
    op === "full"
      ? new ARRAYS[dtype](count).fill(settings.value as number)
      : (settings.data as () => Float32Array<ArrayBuffer>)();
  return graph.initializer(name, dtype, shape, bytesOf(array));
}

/** The bytes of numbers, as they lie in memory: little-endian on every platform that runs this. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function dimsOf(t: Tensor, other: Tensor): Dims {
  return t.shape.map((n, d) => (n === other.shape[d] ? n : FREE));
}

const FIXED = "export with dynamicBatch: false";

/** Throws OptionError where the two recordings differ in more than the size of the batch. */
function checkSame(a: Recording<unknown>, b: Recording<unknown>): void {
  const differs = (op: string) => new OptionError(`exportOnnx: ${op} depends on the size of the batch; ${FIXED}`);
  a.operations.forEach(({ op, inputs, output, settings }, i) => {
    const other = b.operations.at(i);
    const [t, o] = [
      [...inputs, output],
      [...(other?.inputs ?? []), other?.output],
    ];
    const alike =
      op === other?.op &&
      t.length === o.length &&
      t.every((x, k) => x?.shape.length === o[k]?.shape.length) &&
      JSON.stringify(settings) === JSON.stringify(other.settings) &&
      (op !== "constant" || sameConstant(settings, other.settings));
    if (!alike) throw differs(op);
  });
  if (b.operations.length > a.operations.length) throw differs(b.operations[a.operations.length].op);
}

function sameConstant(a: Operation["settings"], b: Operation["settings"]): boolean {
  const [x, y] = [a, b].map(({ data }) => (data as () => Float32Array)());
  return x.length === y.length && x.every((v, i) => Object.is(v, y[i]));
}

/** A tensor that was made in the function by something that did not tell. */
function withoutForm({ calls }: Recording<unknown>, { storage }: Tensor): OptionError {
  const kernel = calls.find(({ buffers }) => buffers.includes(storage))?.kernel.name ?? "a tensor without values";
  return new OptionError(`exportOnnx: ${kernel} has no ONNX form; leave it out of what is exported`);
}
