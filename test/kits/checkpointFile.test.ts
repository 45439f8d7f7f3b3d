import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadCheckpoint, saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { saveSafetensors, type StateDict } from "../../src/nn/index.ts";
import { scratch } from "./craft.ts";

const path = join(scratch(), "x.safetensors");
const data = Float32Array.from([1, 2]);

test("f16 comes back as the f32 that files have", async () => {
  await saveCheckpoint(path, { a: { shape: [2], dtype: "f16", data } }, { epoch: "1" });
  expect(await loadCheckpoint(path)).toEqual({
    tensors: { a: { shape: [2], dtype: "f32", data } },
    metadata: { epoch: "1" },
  });
});

test("an empty tensor does not take those before it out of the checksum", async () => {
  const tensors: StateDict = {
    a: { shape: [2], dtype: "f32", data },
    b: { shape: [0], dtype: "f32", data: new Float32Array(0) },
  };
  await saveCheckpoint(path, tensors, {});
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1; // of a
  writeFileSync(path, bytes);
  await expect(loadCheckpoint(path)).rejects.toThrow("the checksum does not fit; the file is damaged");
});

test("a file without a checksum is not taken", async () => {
  await saveSafetensors(path, { a: { shape: [2], dtype: "f32", data } });
  await expect(loadCheckpoint(path)).rejects.toThrow(`${path}: it has no checksum; the file is damaged, or not a`);
});
