// A reader of fixture files, apart from the library's own so that the two can check each other.
import { readFileSync } from "node:fs";
import type { Input } from "./check.ts";

interface Entry {
  dtype: "F32" | "F64" | "I32" | "U8";
  shape: number[];
  data_offsets: [number, number];
}

const ARRAYS = { F32: Float32Array, F64: Float64Array, I32: Int32Array, U8: Uint8Array };

/** All tensors of a safetensors file by name: 8 bytes of header length, a JSON header, then little-endian data. */
export function readSafetensors(url: URL): Map<string, Input> {
  const bytes = readFileSync(url);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength)) as Record<string, Entry>;
  delete header.__metadata__;
  const start = 8 + headerLength;
  return new Map(
    Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      const own = new Uint8Array(bytes.subarray(start + from, start + to)); // a copy, so that the offset is aligned
      const integer = dtype === "I32" || dtype === "U8";
      return [name, { shape, data: Float64Array.from(new ARRAYS[dtype](own.buffer)), dtype: integer ? "i32" : "f32" }];
    }),
  );
}
