// NIfTI in memory, as a browser reads and makes it: the same volumes, errors and files as by paths.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DataError } from "../../src/errors.ts";
import { readImage, readLabels, writeNifti } from "../../src/kits/nifti.ts";
import { encodeNifti, parseImage, parseLabels } from "../../src/kits/nifti_bytes.ts";
import { craftFile, kitsMatrix, niftiBytes, scratch, type Craft } from "./craft.ts";

const folder = scratch();
let number = 0;
const fresh = (end = ".nii.gz") => join(folder, `${number++}${end}`);
const ramp = (n: number) => Array.from({ length: n }, (_, i) => i - 5);
const plain: Craft = { dims: [5, 30, 70], values: ramp(10_500), sform: kitsMatrix(4, 0.8, 0.7), pixdim: [4, 0.8, 0.7] };

describe("bytes and files give the same volume", () => {
  const crafts: [string, Craft][] = [
    ["as KiTS stores it", plain],
    [
      "qform, float64, big-endian",
      { ...plain, type: "float64", bigEndian: true, sform: undefined, qform: [0, 0, 0, 1, 2, 3, 1] },
    ],
    ["scaled, behind an extension", { ...plain, type: "float32", slope: 0.5, inter: -3, offset: 355 }],
  ];
  test.each(crafts)("%s", async (_, craft) => {
    for (const end of [".nii", ".nii.gz"]) {
      const path = craftFile(fresh(end), craft);
      const { header, data, nonFinite } = await readImage(path);
      const bytes = readFileSync(path);
      for (const given of [bytes, new Blob([bytes])])
        expect(await parseImage(given, path)).toEqual({ header, data, nonFinite });
    }
  });

  test("labels, and a file that is written again", async () => {
    const path = craftFile(fresh(), { ...plain, type: "uint8", values: ramp(10_500).map((v) => Math.abs(v) % 4) });
    const byPath = await readLabels(path);
    const { header, data, counts } = await parseLabels(readFileSync(path), path);
    expect({ header, data, counts }).toEqual(byPath);
    const written = fresh();
    await writeNifti(written, data, header, { like: header.raw });
    const encoded = await (await encodeNifti(data, header, { like: header.raw })).bytes();
    expect(gunzipSync(encoded)).toEqual(gunzipSync(readFileSync(written)));
  });
});

describe("what is wrong is one DataError that names the file", () => {
  const packed = gzipSync(niftiBytes(plain));
  const faults: [string, Uint8Array, RegExp][] = [
    ["cut short", packed.subarray(0, packed.length >> 1), /^scan\.nii\.gz: the file is damaged or cut short/],
    [
      "one bit",
      packed.map((v, i) => (i === packed.length >> 1 ? v ^ 16 : v)),
      /^scan\.nii\.gz: the (file is damaged|header claims)/,
    ],
    ["no NIfTI", new TextEncoder().encode("<html>".repeat(100)), /^scan\.nii\.gz: is not a NIfTI file/],
    ["empty", new Uint8Array(), /^scan\.nii\.gz: must hold a 348-byte NIfTI header, found 0 bytes/],
    [
      "fewer voxels",
      gzipSync(niftiBytes(plain).subarray(0, 5000)),
      /claims \[5,30,70\] int16 voxels \(21352 bytes\), found 5000 bytes/,
    ],
  ];
  test.each(faults)("%s", async (_, bytes, message) => {
    const error = await parseImage(bytes, "scan.nii.gz").catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toMatch(message);
    const path = fresh();
    writeFileSync(path, bytes);
    await expect(readImage(path)).rejects.toThrow(DataError);
  });
});
