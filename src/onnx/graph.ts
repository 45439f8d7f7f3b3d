// An ONNX graph as it grows: nodes in the order of computing, and the constants they read.

import { OptionError } from "../errors.ts";
import { sizeOf, type Shape } from "../shape.ts";
import type { Dtype } from "../tensor.ts";
import type { Attribute, DataType, OnnxNode, OnnxTensor } from "./proto.ts";

/** Sizes of a tensor; FREE for the one that grows with the batch. */
export type Dims = readonly number[];
export const FREE = -1;

/** An operation of the model: its operands are names of values, null where they were left out. */
export interface Call {
  readonly op: string;
  readonly inputs: readonly (string | null)[];
  readonly shapes: readonly (Dims | null)[];
  /** Shape and type of the result. */
  readonly shape: Dims;
  readonly dtype: Dtype;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Adds the nodes of an operation to a graph; returns the name of its result. */
export type Emit = (g: Graph, call: Call) => string;

/** The sizes as numbers. Throws OptionError where one of them depends on the batch. */
export function fixed(op: string, dims: Dims): number[] {
  if (dims.includes(FREE))
    throw new OptionError(`exportOnnx: ${op} needs a size that depends on the batch; export with dynamicBatch: false`);
  return [...dims];
}

/** A graph being made. Values are called by name. */
export class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers = new Map<string, OnnxTensor>();
  readonly #outputs = new Set<string>();
  #made = 0;

  /** Adds a node and returns the name of its result. Inputs that are null are left out. */
  node(type: string, inputs: readonly (string | null)[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const output = `${type}_${this.#made++}`;
    const given = inputs.map((name) => name ?? "");
    while (given.at(-1) === "") given.pop();
    this.nodes.push({ type, inputs: given, output, attributes });
    return output;
  }

  /** Adds a constant under a name of its own. Throws OptionError for a name that is taken. */
  initializer(name: string, type: DataType, shape: Shape, bytes: Uint8Array): string {
    if (this.initializers.has(name)) throw new OptionError(`exportOnnx: two values have the name ${name}`);
    this.initializers.set(name, { name, type, shape, bytes });
    return name;
  }

  /** A constant list of whole numbers: shapes, axes. */
  ints(values: readonly number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(`ints_${values.join("_")}`, "i64", [values.length], bytes);
  }

  /** A constant of f32: `value` everywhere, by default a single number. */
  full(value: number, shape: Shape = []): string {
    const bytes = new Uint8Array(new Float32Array(sizeOf(shape)).fill(value).buffer);
    return this.#constant(["float", value, ...shape].join("_"), "f32", shape, bytes);
  }

  /** A constant list of f32. */
  floats(values: readonly number[]): string {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    return this.#constant(`floats_${values.join("_")}`, "f32", [values.length], bytes);
  }

  /** The same constant is kept once. */
  #constant(name: string, type: DataType, shape: Shape, bytes: Uint8Array): string {
    return this.initializers.has(name) ? name : this.initializer(name, type, shape, bytes);
  }

  /** Gives a value the name of an output; an input, a constant or an output of another name passes through a node. */
  output(value: string, name: string): void {
    const at = this.nodes.findIndex((node) => node.output === value);
    if (at < 0 || this.#outputs.has(value)) {
      this.nodes.push({ type: "Identity", inputs: [value], output: name, attributes: {} });
    } else {
      this.nodes.forEach((node, i) => {
        const inputs = node.inputs.map((input) => (input === value ? name : input));
        this.nodes[i] = { ...node, inputs, output: i === at ? name : node.output };
      });
    }
    this.#outputs.add(name);
  }
}
