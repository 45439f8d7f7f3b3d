// NIfTI files, plain and gzipped. Nothing in a plain file guards its voxels, so what is accepted must be what the damaged
// header and bytes say, read here a second time in the plainest way; what is gzipped is guarded by gzip's checksum.

import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { readImage, readLabels, type ImageVolume, type LabelImage } from "../../src/kits/nifti.ts";
import type { Rng } from "../../src/random.ts";
import { kitsMatrix, niftiBytes, type Craft } from "../kits/niftiBytes.ts";
import type { Format } from "./format.ts";
import { damaged, joined, pick, type Bytes } from "./mutateBytes.ts";

const dims = [3, 4, 5];
const ramp = (low: number) => Array.from({ length: 60 }, (_, i) => low + i);
const sform = kitsMatrix(5, 0.8, 0.7);

const crafts: Craft[] = [
  { dims, values: ramp(-30), sform, pixdim: [5, 0.8, 0.7] },
  { dims, values: ramp(0), type: "uint8", sform },
  { dims, values: ramp(-30), type: "float32", slope: 2, inter: -10, qform: [0, 0.7071, 0, 1, 2, 3, -1] },
  { dims, values: ramp(0), type: "float64", bigEndian: true, pixdim: [1, 1, 4] },
  {
    dims: [...dims, 1, 1],
    values: ramp(0),
    type: "int64",
    offset: 400,
    sform: [
      [1, 0, 0, 7],
      [0, 1, 0, 8],
      [0, 0, 2, 9],
    ],
  },
  { dims: [12, 5], values: ramp(0), type: "uint16", bigEndian: true, sform },
  { dims: [20, 30, 40], values: Array.from({ length: 24_000 }, (_, i) => i % 4), type: "uint8", sform },
];

type Field = readonly [at: number, kind: "int16" | "int32" | "float32"];
const row = (at: number, kind: Field[1], count: number): Field[] =>
  Array.from({ length: count }, (_, i) => [at + i * (kind === "int16" ? 2 : 4), kind] as const);
/** What decides how voxels are read; those that matter most more than once. */
const fields: Field[] = [
  ...[
    row(40, "int16", 4),
    row(40, "int16", 8),
    row(70, "int16", 2),
    row(76, "float32", 8),
    row(108, "float32", 3),
  ].flat(),
  ...[row(108, "float32", 3), row(252, "int16", 2), row(256, "float32", 18), row(0, "int32", 1)].flat(),
];
const integers = [-32768, -1, 0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 60, 64, 256, 512, 768, 1024, 1280, 10_000, 32767];
const floats = [
  NaN,
  Infinity,
  -Infinity,
  -1,
  -0,
  0,
  0.5,
  1,
  2,
  348,
  352,
  353,
  400,
  1e10,
  3e38,
  -3e38,
  1e-40,
  2 ** 31,
  2 ** 53,
];

function damageFields(bytes: Uint8Array, bigEndian: boolean, rng: Rng): Bytes {
  const out: Bytes = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  for (let n = 1 + rng.integer(3); n > 0; n--) {
    const [at, kind] = pick(fields, rng);
    if (kind === "int16") view.setInt16(at, pick(integers, rng), !bigEndian);
    else if (kind === "int32") view.setInt32(at, pick(integers, rng), !bigEndian);
    else view.setFloat32(at, pick(floats, rng), !bigEndian);
  }
  return out;
}

function damagePlain(craft: Craft, rng: Rng): Bytes {
  const bytes = niftiBytes(craft);
  if (rng.uniform() < 0.5) return damageFields(bytes, craft.bigEndian ?? false, rng);
  // Most of the bytes are voxels; half of the damages are to the header.
  if (rng.uniform() < 0.5) return joined(damaged(bytes.subarray(0, 352), rng), bytes.subarray(352));
  return damaged(bytes, rng);
}

function damageGzip(craft: Craft, rng: Rng): Bytes {
  const kind = rng.uniform();
  if (kind < 0.4) return new Uint8Array(gzipSync(damagePlain(craft, rng), { level: rng.integer(10) }));
  const bytes = niftiBytes(craft);
  const packed = gzipSync(bytes);
  if (kind < 0.9) return damaged(packed, rng);
  const cut = rng.integer(bytes.length);
  const members = [gzipSync(bytes.subarray(0, cut)), gzipSync(bytes.subarray(cut)), gzipSync(bytes)];
  return joined(...members.slice(0, 1 + rng.integer(3)));
}

type Volume = ImageVolume | LabelImage;

/** Reads the uncompressed bytes again, voxel by voxel in float64, and compares. */
function judge(bytes: Uint8Array, { header, data }: Volume, isLabel: boolean): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = view.getInt32(0, true) === 348;
  assert(little || view.getInt32(0, false) === 348, "sizeof_hdr is not 348");
  const rank = view.getInt16(40, little);
  const sizes = Array.from({ length: 7 }, (_, i) => (i < rank ? view.getInt16(42 + 2 * i, little) : 1));
  assert.deepEqual(header.dims, sizes.slice(0, 3));
  assert(sizes.slice(3).every((n) => n === 1));
  const offset = view.getFloat32(108, little);
  const [slope, inter] = [view.getFloat32(112, little), view.getFloat32(116, little)];
  const scaled = slope !== 0 && Number.isFinite(slope) && Number.isFinite(inter);
  const width = header.bytesPerVoxel;
  const total = sizes[0] * sizes[1] * sizes[2];
  assert.equal(data.length, total);
  assert.equal(bytes.length, offset + total * width);
  assert.deepEqual([...header.axes].sort(), [0, 1, 2]);
  assert.deepEqual(
    header.shape,
    header.axes.map((axis) => header.dims[axis]),
  );
  assert(header.affine.flat().every(Number.isFinite) && header.affine.flat().length === 12);
  assert(header.spacing.every((mm) => Number.isFinite(mm) && mm > 0));
  const read = readerOf(view, view.getInt16(70, little), little);
  const [S, H, W] = header.shape;
  for (let place = 0; place < total; place++) {
    const axial = [Math.floor(place / (H * W)), Math.floor(place / W) % H, place % W];
    const index = [0, 0, 0];
    header.axes.forEach((axis, d) => (index[axis] = header.flips[d] ? [S, H, W][d] - 1 - axial[d] : axial[d]));
    const stored = read(offset + width * (index[0] + sizes[0] * (index[1] + sizes[1] * index[2])));
    const value = scaled ? stored * slope + inter : stored;
    const found = data[place];
    if (isLabel) assert(Math.abs(value - found) < 1e-3 && value > -0.5 && value < 255.5, `voxel ${place}: ${found}`);
    else if (!Number.isFinite(value)) assert.equal(found, -1024);
    else assert.equal(found, Math.min(32767, Math.max(-32768, Math.round(value))) + 0, `voxel ${place}`);
  }
}

function readerOf(view: DataView, code: number, little: boolean): (at: number) => number {
  const readers: Record<number, (at: number) => number> = {
    2: (at) => view.getUint8(at),
    4: (at) => view.getInt16(at, little),
    8: (at) => view.getInt32(at, little),
    16: (at) => view.getFloat32(at, little),
    64: (at) => view.getFloat64(at, little),
    256: (at) => view.getInt8(at),
    512: (at) => view.getUint16(at, little),
    768: (at) => view.getUint32(at, little),
    1024: (at) => Number(view.getBigInt64(at, little)),
    1280: (at) => Number(view.getBigUint64(at, little)),
  };
  assert(readers[code], `voxel type ${code}`);
  return readers[code];
}

function format(name: string, inputs: number, damage: (craft: Craft, rng: Rng) => Bytes): Format {
  return {
    name,
    inputs,
    prepare: async (folder) => (rng) => {
      const path = join(folder, "volume.nii.gz");
      const bytes = damage(pick(crafts, rng), rng);
      writeFileSync(path, bytes);
      const isLabel = rng.uniform() < 0.4;
      return {
        read: () => (isLabel ? readLabels(path) : readImage(path)),
        judge: (value) => {
          const { header } = value as Volume;
          judge(header.gzip ? gunzipSync(bytes) : bytes, value as Volume, isLabel);
        },
      };
    },
  };
}

export const nifti = format("NIfTI", 5000, damagePlain);
export const gzip = format("NIfTI in gzip", 4000, damageGzip);
