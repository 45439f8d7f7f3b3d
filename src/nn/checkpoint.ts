// Safetensors: eight bytes of header length, a JSON header, then the values, little-endian and without gaps. Names and
// layouts are PyTorch's, so weights move both ways. Format: https://github.com/huggingface/safetensors. encode and
// decode touch no files.

import { DataError, OptionError } from "../errors.ts";
import { files } from "../files.ts";
import { sizeOf, type Shape } from "../shape.ts";
import { isRecord, shorten, shown } from "../structure.ts";
import type { Dtype } from "../tensor.ts";
import type { HostTensor, StateDict } from "./module.ts";

const MAX_HEADER = 100_000_000; // bytes, the limit of the reference reader
const WIDTHS = { F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I64: 8 } as const;
type StoredType = keyof typeof WIDTHS;
const STORED: Record<Dtype, StoredType> = { f32: "F32", f16: "F32", i32: "I32", u32: "U32" };

interface Entry {
  readonly dtype: StoredType;
  readonly shape: Shape;
  /** First and one past the last byte, counted from the end of the header. */
  readonly data_offsets: readonly [number, number];
}

/** Tensors by name, and the free text that travels with them. */
export interface Checkpoint {
  readonly tensors: StateDict;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of a safetensors file. Throws OptionError for a tensor whose values do not fill its shape. */
export function encodeSafetensors(
  tensors: StateDict,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  let end = 0;
  for (const [name, { shape, dtype, data }] of Object.entries(tensors)) {
    if (data.length !== sizeOf(shape))
      throw new OptionError(`encodeSafetensors: ${name} has shape [${shape.join(", ")}] but ${data.length} values`);
    const start = end;
    end += data.byteLength;
    header[name] = { dtype: STORED[dtype], shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(text.length / 8) * 8; // spaces fill up, so that the values are aligned
  const bytes = new Uint8Array(8 + length + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  bytes.fill(0x20, 8 + text.length, 8 + length);
  let at = 8 + length;
  for (const { data } of Object.values(tensors)) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * Reads the bytes of a safetensors file. F16 and BF16 become f32, I64 becomes i32. `file` names the source in messages.
 * Throws DataError, naming the file and the fault, for anything that is not a whole, valid file.
 */
export function decodeSafetensors(bytes: Uint8Array, file = "safetensors data"): Checkpoint {
  const fail = (fault: string): never => {
    throw new DataError(`${file}: ${shorten(fault, 300)}`); // names are as long as the file says
  };
  const { header, start } = readHeader(bytes, fail);
  const metadata = checkMetadata(header.__metadata__ ?? {}, fail);
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  const valid = entries.map(([name, entry]) => [name, checkEntry(name, entry, fail)] as const);
  checkLayout(valid, bytes.length - start, fail);
  const tensors = valid.map(([name, entry]) => [
    name,
    valuesOf(name, bytes.subarray(start + entry.data_offsets[0], start + entry.data_offsets[1]), entry, fail),
  ]);
  return { tensors: Object.fromEntries(tensors) as StateDict, metadata };
}

type Fail = (fault: string) => never;

function readHeader(bytes: Uint8Array, fail: Fail): { header: Record<string, unknown>; start: number } {
  if (bytes.length < 8)
    return fail(`a safetensors file has at least 8 bytes, got ${bytes.length}; the file is cut off or empty`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER)
    return fail(`the header would have ${length} bytes, more than ${MAX_HEADER}; this is not a safetensors file`);
  if (8 + length > bytes.length)
    return fail(`the header has ${length} bytes but only ${bytes.length - 8} follow; the file is cut off`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch {
    return fail("the header is not valid JSON; the file is damaged or not safetensors");
  }
  if (!isRecord(header)) return fail("the header must be a JSON object");
  return { header, start: 8 + length };
}

function checkMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isRecord(value) || !Object.values(value).every((v) => typeof v === "string"))
    return fail("__metadata__ must hold strings only");
  return value as Record<string, string>;
}

function checkEntry(name: string, value: unknown, fail: Fail): Entry {
  if (!isRecord(value)) return fail(`the header entry of ${name} must be an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0 && !Object.is(n, -0);
  if (typeof dtype !== "string" || !Object.hasOwn(WIDTHS, dtype)) {
    return fail(`${name} has dtype ${shown(dtype)}; readable are ${Object.keys(WIDTHS).join(", ")}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount))
    return fail(`${name} must have a shape of whole numbers, got ${shown(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return fail(`${name} must have two data_offsets, got ${shown(offsets)}`);
  }
  const entry = {
    dtype: dtype as StoredType,
    shape: shape as number[],
    data_offsets: offsets as unknown as [number, number],
  };
  const needed = sizeOf(entry.shape) * WIDTHS[entry.dtype];
  const given = entry.data_offsets[1] - entry.data_offsets[0];
  if (given !== needed)
    return fail(
      `${name} ${dtype} [${entry.shape.join(", ")}] needs ${needed} bytes but its data_offsets span ${given}`,
    );
  return entry;
}

/** The tensors must cover the data exactly: no gap, no overlap, nothing left. */
function checkLayout(entries: readonly (readonly [string, Entry])[], bytes: number, fail: Fail): void {
  let end = 0;
  for (const [name, { data_offsets: offsets }] of entries.toSorted(
    ([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  )) {
    if (offsets[0] !== end)
      fail(`${name} begins at byte ${offsets[0]} of the data but the tensor before it ends at ${end}`);
    end = offsets[1];
  }
  if (end > bytes) fail(`the tensors need ${end} bytes but ${bytes} are there; the file is cut off`);
  if (end < bytes) fail(`${bytes - end} bytes follow the last tensor`);
}

function valuesOf(name: string, bytes: Uint8Array, { dtype, shape }: Entry, fail: Fail): HostTensor {
  // A copy is aligned and lets the file go. NOTE: slice() of a Node Buffer copies nothing.
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case "F32":
      return { shape, dtype: "f32", data: new Float32Array(buffer) };
    case "I32":
      return { shape, dtype: "i32", data: new Int32Array(buffer) };
    case "U32":
      return { shape, dtype: "u32", data: new Uint32Array(buffer) };
    case "F16":
      return { shape, dtype: "f32", data: Float32Array.from(new Uint16Array(buffer), halfToNumber) };
    case "BF16":
      return {
        shape,
        dtype: "f32",
        data: new Float32Array(Uint32Array.from(new Uint16Array(buffer), (h) => h << 16).buffer),
      };
    case "I64":
      return { shape, dtype: "i32", data: Int32Array.from(new BigInt64Array(buffer), (v) => toInt32(name, v, fail)) };
  }
}

/** The value of an IEEE half-precision number: sign, 5 bits of exponent, 10 of fraction. */
function halfToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 0x1f;
  const fraction = h & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function toInt32(name: string, value: bigint, fail: Fail): number {
  if (BigInt.asIntN(32, value) !== value) fail(`${name} holds ${value}, which does not fit 32 bits`);
  return Number(value);
}

/**
 * Writes a safetensors file (Node). The file appears whole or not at all: it is written beside its place and then
 * renamed.
 * Throws DataError, naming the file, when that fails.
 */
export async function saveSafetensors(
  path: string,
  tensors: StateDict,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { open, rename, rm } = await files();
  const bytes = encodeSafetensors(tensors, metadata);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, "w");
    try {
      await file.writeFile(bytes);
      await file.sync(); // on the disk before the name changes
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new DataError(`${path}: cannot be written: ${(error as Error).message}`, { cause: error });
  }
}

/** Reads a safetensors file (Node). Throws DataError, naming the file and the fault. */
export async function loadSafetensors(path: string): Promise<Checkpoint> {
  const { readFile } = await files();
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new DataError(`${path}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return decodeSafetensors(bytes, path);
}
