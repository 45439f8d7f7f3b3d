// The part of onnx.proto that a model for inference needs, as plain data, and its bytes. Field numbers are those of
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

import { PbfWriter } from "pbf";

/** The operator set that all nodes are of, and the file format that goes with it. */
const OPSET = 18;
const IR_VERSION = 8;

/** TensorProto.DataType. */
export const DATA_TYPES = { f32: 1, i32: 6, i64: 7, bool: 9, f16: 10, u32: 12 } as const;
export type DataType = keyof typeof DATA_TYPES;

export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly type: string;
  /** "" for one that is left out. */
  readonly inputs: readonly string[];
  readonly output: string;
  /** Whole numbers and lists of them; floats are marked. */
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly type: DataType;
  readonly shape: readonly number[];
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array;
}

export interface OnnxValue {
  readonly name: string;
  readonly type: DataType;
  /** Sizes, or the names of those that are free. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxModel {
  readonly name: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** The bytes of an ONNX file. */
export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const pbf = new PbfWriter();
  pbf.writeVarintField(1, IR_VERSION);
  pbf.writeStringField(2, "wgrad");
  if (model.description) pbf.writeStringField(6, model.description);
  pbf.writeMessage(7, writeGraph, model);
  pbf.writeMessage(8, writeOpset, OPSET);
  for (const entry of Object.entries(model.metadata)) pbf.writeMessage(14, writeEntry, entry);
  return pbf.finish() as Uint8Array<ArrayBuffer>;
}

function writeOpset(version: number, pbf: PbfWriter): void {
  pbf.writeStringField(1, "");
  pbf.writeVarintField(2, version);
}

function writeEntry([key, value]: [string, string], pbf: PbfWriter): void {
  pbf.writeStringField(1, key);
  pbf.writeStringField(2, value);
}

function writeGraph({ name, nodes, initializers, inputs, outputs }: OnnxModel, pbf: PbfWriter): void {
  for (const node of nodes) pbf.writeMessage(1, writeNode, node);
  pbf.writeStringField(2, name);
  for (const tensor of initializers) pbf.writeMessage(5, writeTensor, tensor);
  for (const value of inputs) pbf.writeMessage(11, writeValue, value);
  for (const value of outputs) pbf.writeMessage(12, writeValue, value);
}

function writeNode({ type, inputs, output, attributes }: OnnxNode, pbf: PbfWriter): void {
  for (const input of inputs) pbf.writeStringField(1, input);
  pbf.writeStringField(2, output);
  pbf.writeStringField(3, output);
  pbf.writeStringField(4, type);
  for (const entry of Object.entries(attributes)) pbf.writeMessage(5, writeAttribute, entry);
}

const FLOAT = 1;
const INT = 2;
const STRING = 3;
const INTS = 7;

function writeAttribute([name, value]: [string, Attribute], pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  const type = typeof value === "number" ? INT : typeof value === "string" ? STRING : "float" in value ? FLOAT : INTS;
  if (typeof value === "number") pbf.writeVarintField(3, value);
  else if (typeof value === "string") pbf.writeBytesField(4, new TextEncoder().encode(value));
  else if ("float" in value) pbf.writeFloatField(2, value.float);
  else for (const v of value) pbf.writeVarintField(8, v);
  pbf.writeVarintField(20, type);
}

function writeTensor({ name, type, shape, bytes }: OnnxTensor, pbf: PbfWriter): void {
  for (const n of shape) pbf.writeVarintField(1, n);
  pbf.writeVarintField(2, DATA_TYPES[type]);
  pbf.writeStringField(8, name);
  pbf.writeBytesField(9, bytes);
}

function writeValue({ name, type, shape }: OnnxValue, pbf: PbfWriter): void {
  pbf.writeStringField(1, name);
  pbf.writeMessage(2, writeType, { type, shape });
}

type Typed = Pick<OnnxValue, "type" | "shape">;

/** TypeProto with its one case, a tensor. */
function writeType(typed: Typed, pbf: PbfWriter): void {
  pbf.writeMessage(1, writeTensorType, typed);
}

function writeTensorType({ type, shape }: Typed, pbf: PbfWriter): void {
  pbf.writeVarintField(1, DATA_TYPES[type]);
  pbf.writeMessage(2, writeShape, shape);
}

function writeShape(shape: Typed["shape"], pbf: PbfWriter): void {
  for (const n of shape) pbf.writeMessage(1, writeDimension, n);
}

function writeDimension(size: number | string, pbf: PbfWriter): void {
  if (typeof size === "number") pbf.writeVarintField(1, size);
  else pbf.writeStringField(2, size);
}
