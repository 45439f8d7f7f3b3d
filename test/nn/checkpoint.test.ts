// Safetensors: what is written can be read, by us and by the fixtures' reader, and damage is named.
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { nn } from "../../src/index.ts";
import { checkThrows } from "../check.ts";
import { readSafetensors } from "../safetensors.ts";

const { decodeSafetensors, encodeSafetensors, loadSafetensors, saveSafetensors } = nn;

const tensors: nn.StateDict = {
  "a.weight": { shape: [2, 3], dtype: "f32", data: new Float32Array([1, -2, 3.5, 0, 1e-38, -0]) },
  steps: { shape: [], dtype: "i32", data: new Int32Array([-7]) },
  seeds: { shape: [2], dtype: "u32", data: new Uint32Array([1, 4294967295]) },
};

/** A file from any header and data, to be damaged at will. */
function fileOf(
  header: unknown,
  data: Uint8Array = new Uint8Array(0),
  { length }: { length?: number } = {},
): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

const entry = (dtype: string, shape: unknown, data_offsets: unknown) => ({ dtype, shape, data_offsets });

test("what is encoded is decoded, bit by bit", () => {
  const bytes = encodeSafetensors(tensors, { epoch: "3", note: '\u00e9"' });
  const decoded = decodeSafetensors(bytes);
  expect(decoded).toEqual({ tensors, metadata: { epoch: "3", note: '\u00e9"' } });
  expect(Object.is(decoded.tensors["a.weight"].data[5], -0)).toBe(true);
  expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
  expect(decodeSafetensors(encodeSafetensors({}))).toEqual({ tensors: {}, metadata: {} });
});

test("decoding works at any byte offset of a larger buffer", () => {
  const bytes = encodeSafetensors(tensors);
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(decodeSafetensors(shifted.subarray(3)).tensors).toEqual(tensors);
});

test("half-precision, bfloat16 and 64-bit integers are converted", () => {
  const half = new Uint8Array(new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7bff, 0x0400, 0xfc00]).buffer);
  const read = (dtype: string, n: number, data: Uint8Array) => [
    ...decodeSafetensors(fileOf({ x: entry(dtype, [n], [0, data.length]) }, data)).tensors.x.data,
  ];
  expect(read("F16", 6, half)).toEqual([1, -2, 2 ** -24, 65504, 2 ** -14, -Infinity]);
  expect(read("BF16", 3, new Uint8Array(new Uint16Array([0x3f80, 0xc040, 0x0080]).buffer))).toEqual([1, -3, 2 ** -126]);
  expect(read("I64", 2, new Uint8Array(new BigInt64Array([-5n, 2147483647n]).buffer))).toEqual([-5, 2147483647]);
  checkThrows(
    () => read("I64", 1, new Uint8Array(new BigInt64Array([2147483648n]).buffer)),
    "safetensors data: x holds 2147483648, which does not fit 32 bits",
  );
});

test("damage is named, with the file", () => {
  const whole = encodeSafetensors(tensors);
  const cases: [Uint8Array, string][] = [
    [whole.subarray(0, 5), "a safetensors file has at least 8 bytes, got 5; the file is cut off or empty"],
    [whole.subarray(0, 20), "the header has 184 bytes but only 12 follow; the file is cut off"],
    [whole.subarray(0, whole.length - 1), "the tensors need 36 bytes but 35 are there; the file is cut off"],
    [
      fileOf("", undefined, { length: 100_000_001 }),
      "the header would have 100000001 bytes, more than 100000000; this is not a safetensors file",
    ],
    [fileOf("{oops"), "the header is not valid JSON; the file is damaged or not safetensors"],
    [fileOf([1]), "the header must be a JSON object"],
    [fileOf({ __metadata__: { a: 1 } }), "__metadata__ must hold strings only"],
    [fileOf({ x: 3 }), "the header entry of x must be an object"],
    [
      fileOf({ x: entry("F8_E4M3", [1], [0, 1]) }, new Uint8Array(1)),
      "x has dtype F8_E4M3; readable are F32, I32, U32, F16, BF16, I64",
    ],
    [fileOf({ x: entry("F32", [-1], [0, 4]) }), "x must have a shape of whole numbers, got [-1]"],
    [fileOf({ x: entry("F32", [1], [0]) }), "x must have two data_offsets, got [0]"],
    [
      fileOf({ x: entry("F32", [2], [0, 4]) }, new Uint8Array(4)),
      "x F32 [2] needs 8 bytes but its data_offsets span 4",
    ],
    [
      fileOf({ x: entry("F32", [1], [4, 8]) }, new Uint8Array(8)),
      "x begins at byte 4 of the data but the tensor before it ends at 0",
    ],
    [
      fileOf({ x: entry("F32", [1], [0, 4]), y: entry("F32", [1], [0, 4]) }, new Uint8Array(4)),
      "y begins at byte 0 of the data but the tensor before it ends at 4",
    ],
    [fileOf({ x: entry("F32", [1], [0, 4]) }, new Uint8Array(9)), "5 bytes follow the last tensor"],
  ];
  for (const [bytes, fault] of cases)
    checkThrows(() => decodeSafetensors(bytes, "model.safetensors"), `model.safetensors: ${fault}`);
  checkThrows(
    () => encodeSafetensors({ x: { shape: [2], dtype: "f32", data: new Float32Array(3) } }),
    "encodeSafetensors: x has shape [2] but 3 values",
  );
});

test("files are written whole, and the fixtures' reader agrees", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wgrad-"));
  const path = join(folder, "m.safetensors");
  await saveSafetensors(path, tensors, { epoch: "1" });
  await saveSafetensors(path, { "a.weight": tensors["a.weight"] }, { epoch: "2" }); // overwrites
  expect(readdirSync(folder)).toEqual(["m.safetensors"]);
  expect(await loadSafetensors(path)).toEqual({
    tensors: { "a.weight": tensors["a.weight"] },
    metadata: { epoch: "2" },
  });
  const other = readSafetensors(pathToFileURL(path));
  expect([...other.get("a.weight")!.data]).toEqual([...tensors["a.weight"].data]);
  writeFileSync(path, "garbage!");
  await checkThrows(
    () => loadSafetensors(path),
    /^.*m\.safetensors: the header would have \d+ bytes, more than 100000000; this is not a safetensors file$/,
  );
  await checkThrows(() => loadSafetensors(join(folder, "none")), /none: cannot be read: ENOENT/);
  await checkThrows(() => saveSafetensors(join(folder, "no", "m"), tensors), /no\/m: cannot be written: ENOENT/);
});
