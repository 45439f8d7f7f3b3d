import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { kitsGeometry } from "../../src/kits/geometry.ts";
import { readHeader, readImage, readLabels, writeNifti } from "../../src/kits/nifti.ts";
import { quaternionOf } from "../../src/kits/nifti_encode.ts";
import { craftFile, kitsMatrix, niftiBytes, putFile, scratch } from "./craft.ts";
import { shared } from "./shared_data.ts";
import type { Type } from "./craft.ts";

const folder = scratch();
let serial = 0;
const fresh = (end = ".nii.gz") => join(folder, `volume${serial++}${end}`);
const ramp = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Value of file voxel (i0, i1, i2) when the values are a ramp. */
const at = (dims: number[], i0: number, i1: number, i2: number) => i0 + dims[0] * (i1 + dims[1] * i2);

describe("axis order", () => {
  const dims = [3, 4, 5];

  it("KiTS order (slices, H, W): slices are gathered from the fastest axis", async () => {
    const path = craftFile(fresh(), { dims, values: ramp(60), sform: kitsMatrix(5, 0.8, 0.8), pixdim: [5, 0.8, 0.8] });
    const { data, header } = await readImage(path);
    expect(header.shape).toEqual([3, 4, 5]);
    expect(header.axes).toEqual([0, 1, 2]);
    expect(header.spacing.map((v) => +v.toFixed(4))).toEqual([5, 0.8, 0.8]);
    for (let s = 0; s < 3; s++)
      for (let h = 0; h < 4; h++)
        for (let w = 0; w < 5; w++) expect(data[(s * 4 + h) * 5 + w]).toBe(at(dims, s, h, w));
  });

  it("RAS order (x, y, z): the last axis is axial, and all three run the other way", async () => {
    const path = craftFile(fresh(), { dims, values: ramp(60), sform: [[1, 0, 0, 7], [0, 1, 0, 8], [0, 0, 2, 9]] });
    const { data, header } = await readImage(path);
    expect(header.shape).toEqual([5, 4, 3]);
    expect(header.flips).toEqual([true, true, true]);
    for (let s = 0; s < 5; s++)
      for (let h = 0; h < 4; h++)
        for (let w = 0; w < 3; w++) expect(data[(s * 4 + h) * 3 + w]).toBe(at(dims, 2 - w, 3 - h, 4 - s));
  });

  it("a slice axis in the middle is found from the matrix", async () => {
    const path = craftFile(fresh(), { dims, values: ramp(60), sform: [[-1, 0, 0, 0], [0, 0, -1, 0], [0, -4, 0, 0]] });
    const { data, header } = await readImage(path);
    expect(header.shape).toEqual([4, 5, 3]);
    for (let s = 0; s < 4; s++)
      for (let h = 0; h < 5; h++)
        for (let w = 0; w < 3; w++) expect(data[(s * 5 + h) * 3 + w]).toBe(at(dims, w, s, h));
  });

  it("more planes than a block and more than a tile come out right", async () => {
    const big = [37, 35, 70];
    const path = craftFile(fresh(), { dims: big, values: ramp(37 * 35 * 70).map((v) => v % 30011), sform: kitsMatrix(5, 1, 1) });
    const { data } = await readImage(path);
    let wrong = 0;
    for (let s = 0; s < 37; s++)
      for (let h = 0; h < 35; h++)
        for (let w = 0; w < 70; w++) if (data[(s * 35 + h) * 70 + w] !== at(big, s, h, w) % 30011) wrong++;
    expect(wrong).toBe(0);
  });

  it("qform only: the quaternion gives the same axes as the matrix it stands for", async () => {
    const { quaternion, qfac } = quaternionOf(kitsMatrix(3, 0.7, 0.7));
    const path = craftFile(fresh(), { dims, values: ramp(60), type: "uint16", qform: [...quaternion, 1, 2, 3, qfac], pixdim: [3, 0.7, 0.7] });
    const header = await readHeader(path);
    expect(header.affineSource).toBe("qform");
    expect(header.shape).toEqual([3, 4, 5]);
    expect(header.flips).toEqual([false, false, false]);
    const expected = [0, 0, -0.7, 1, 0, -0.7, 0, 2, -3, 0, 0, 3];
    header.affine.flat().forEach((v, i) => expect(v).toBeCloseTo(expected[i], 5)); // float32 quaternion
  });

  it("sform wins over qform", async () => {
    const path = craftFile(fresh(), { dims, values: ramp(60), sform: kitsMatrix(5, 1, 1), qform: [0, 0, 0, 0, 0, 0, 1] });
    expect((await readHeader(path)).affineSource).toBe("sform");
  });

  it("without a matrix the odd spacing, then the odd length, then the last axis is axial", async () => {
    const shapeOf = async (d: number[], pixdim: number[]) =>
      (await readHeader(craftFile(fresh(), { dims: d, values: ramp(d[0] * d[1] * d[2]), pixdim }))).shape;
    expect(await shapeOf([3, 4, 5], [5, 1, 1])).toEqual([3, 4, 5]);
    expect(await shapeOf([3, 8, 8], [1, 1, 1])).toEqual([3, 8, 8]);
    expect(await shapeOf([8, 8, 3], [1, 1, 1])).toEqual([3, 8, 8]);
    expect(await shapeOf([3, 4, 5], [1, 1, 1])).toEqual([5, 4, 3]);
  });

  it("slices need not be square", async () => {
    const path = craftFile(fresh(), { dims: [2, 5, 8], values: ramp(80), sform: kitsMatrix(1, 0.45, 0.45) });
    const { header, data } = await readImage(path);
    expect(header.shape).toEqual([2, 5, 8]);
    expect(data[(1 * 5 + 4) * 8 + 7]).toBe(79);
  });
});

describe("voxel types", () => {
  const types: Type[] = ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64", "int64"];
  for (const type of types)
    for (const bigEndian of [false, true])
      for (const end of [".nii", ".nii.gz"])
        it(`${type} ${bigEndian ? "big" : "little"}-endian ${end}`, async () => {
          const values = ramp(24).map((i) => (type.startsWith("u") ? i * 10 : i * 10 - 120)); // fits every type
          const path = craftFile(fresh(end), { dims: [2, 3, 4], values, type, bigEndian, sform: kitsMatrix(2, 1, 1) });
          const { data } = await readImage(path);
          const first = values[0];
          expect(data[0]).toBe(first);
          expect(data[(1 * 3 + 2) * 4 + 3]).toBe(values[23]);
          expect(data.reduce((a, b) => a + b, 0)).toBe(values.reduce((a, b) => a + b, 0));
        });

  it("values are rounded after slope and inter, and kept within int16", async () => {
    const path = craftFile(fresh(), { dims: [4, 1, 1], values: [0, 10, 1e6, -1e6], type: "float32", slope: 2.5, inter: -1024, sform: kitsMatrix(1, 1, 1) });
    expect([...(await readImage(path)).data]).toEqual([-1024, -999, 32767, -32768]);
  });

  it("slope 0 means no scaling", async () => {
    const path = craftFile(fresh(), { dims: [2, 1, 1], values: [3, 4], slope: 0, inter: 9, sform: kitsMatrix(1, 1, 1) });
    expect([...(await readImage(path)).data]).toEqual([3, 4]);
  });

  it("NaN and infinity read as air and are counted", async () => {
    const path = craftFile(fresh(), { dims: [3, 1, 1], values: [NaN, Infinity, 5], type: "float64", sform: kitsMatrix(1, 1, 1) });
    const { data, nonFinite } = await readImage(path);
    expect([...data]).toEqual([-1024, -1024, 5]);
    expect(nonFinite).toBe(2);
  });

  it("voxels start at vox_offset, also behind an extension", async () => {
    const path = craftFile(fresh(), { dims: [2, 3, 4], values: ramp(24), offset: 13168, sform: kitsMatrix(2, 1, 1) });
    expect((await readImage(path)).data[0]).toBe(0);
    expect((await readImage(path)).data[23]).toBe(23);
  });

  it("elements that straddle chunks of the stream survive", async () => {
    // Voxels of 8 bytes shifted by 3 against every chunk; big-endian, so that the bytes at the cut are not zero.
    const dims = [1000, 10, 10];
    const values = ramp(100_000).map((i) => i % 30011);
    const path = craftFile(fresh(), { dims, values, type: "float64", bigEndian: true, offset: 355, sform: kitsMatrix(1, 1, 1) });
    const { data } = await readImage(path);
    let wrong = 0;
    for (let i = 0; i < data.length; i++) {
      const [s, h, w] = [Math.floor(i / 100), Math.floor(i / 10) % 10, i % 10];
      if (data[i] !== at(dims, s, h, w) % 30011) wrong++;
    }
    expect(wrong).toBe(0);
  });

  it("labels are counted, and anything that is no label is refused", async () => {
    const good = craftFile(fresh(), { dims: [4, 1, 1], values: [0, 1, 2, 2], type: "float32", sform: kitsMatrix(1, 1, 1) });
    const labels = await readLabels(good);
    expect([...labels.data]).toEqual([0, 1, 2, 2]);
    expect([...labels.counts.slice(0, 4)]).toEqual([1, 1, 2, 0]);
    for (const value of [0.5, -1, 256, NaN]) {
      const bad = craftFile(fresh(), { dims: [2, 1, 1], values: [0, value], type: "float32", sform: kitsMatrix(1, 1, 1) });
      await expect(readLabels(bad)).rejects.toThrow(`labels must be whole numbers from 0 to 255, found ${value}`);
    }
  });
});

describe("damaged files", () => {
  const craft = { dims: [10, 20, 30], values: ramp(6000).map((i) => (i * 7919) % 4001), sform: kitsMatrix(2, 1, 1) };

  const refuses = async (path: string, message: RegExp) => {
    const error = await readImage(path).then(() => null, (e: unknown) => e);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toContain(path);
    expect((error as Error).message).toMatch(message);
  };

  it("a missing file, a folder, a text file, an LFS pointer", async () => {
    await refuses(join(folder, "none.nii.gz"), /cannot be opened \(ENOENT\)/);
    await refuses(folder, /must be a file, found a folder/);
    await refuses(putFile(fresh(".nii"), Buffer.alloc(1000, 65)), /is not a NIfTI file/);
    await refuses(putFile(fresh(".nii"), Buffer.from("version https://git-lfs.github.com/spec/v1\n")), /Git LFS pointer/);
  });

  it("cut short, at every length from the header to the last byte", async () => {
    const bytes = gzipSync(niftiBytes(craft));
    for (const keep of [30, 400, 2000, bytes.length - 100, bytes.length - 9, bytes.length - 8, bytes.length - 1]) {
      const path = fresh();
      writeFileSync(path, bytes);
      truncateSync(path, keep);
      await refuses(path, /download it again|download the file again/);
    }
  });

  it("a flipped byte in the data or in the check sum", async () => {
    const bytes = gzipSync(niftiBytes(craft));
    for (const place of [Math.floor(bytes.length / 2), bytes.length - 6]) {
      const copy = Buffer.from(bytes);
      copy[place] ^= 0x10;
      const path = fresh();
      writeFileSync(path, copy);
      await refuses(path, /is damaged|found \d+ bytes/);
    }
  });

  it("a plain file that is shorter or longer than its header says", async () => {
    const bytes = niftiBytes(craft);
    await refuses(putFile(fresh(".nii"), bytes.subarray(0, bytes.length - 2)), /cannot hold more than/);
    await refuses(putFile(fresh(".nii"), Buffer.concat([bytes, Buffer.alloc(10)])), /found 12362 bytes/);
    await refuses(putFile(fresh(), Buffer.concat([bytes, Buffer.alloc(10)])), /found 12362 bytes/);
  });

  it("a header that claims 10^12 voxels is refused before memory is taken", async () => {
    const bytes = niftiBytes({ ...craft });
    for (let axis = 0; axis < 3; axis++) bytes.writeInt16LE(10000, 42 + 2 * axis);
    await refuses(putFile(fresh(), bytes), /claims \[10000,10000,10000\] int16 voxels .* cannot hold more than/);
    await refuses(putFile(fresh(".nii"), bytes), /cannot hold more than/);
  });

  it("headers that make no sense", async () => {
    const edit = (change: (b: Buffer) => void) => {
      const bytes = niftiBytes(craft);
      change(bytes);
      return putFile(fresh(), bytes);
    };
    await refuses(edit((b) => b.writeInt16LE(32, 70)), /voxel type code 32 is not supported/);
    await refuses(edit((b) => b.writeInt16LE(-3, 42)), /must be one 3-D volume/);
    await refuses(edit((b) => { b.writeInt16LE(4, 40); b.writeInt16LE(2, 48); }), /must be one 3-D volume, found dims \[10,20,30,2\]/);
    await refuses(edit((b) => b.writeFloatLE(100, 108)), /vox_offset must be a whole number of at least 348/);
    await refuses(edit((b) => b.writeFloatLE(NaN, 108)), /vox_offset/);
    await refuses(edit((b) => { b.writeInt16LE(0, 254); b.writeFloatLE(0, 80); }), /spacing must be positive/);
    await refuses(edit((b) => b.write("ni1", 344)), /\.hdr\/\.img pair/);
  });

  it("a gzip file of several members is read whole", async () => {
    const bytes = niftiBytes(craft);
    const path = fresh();
    writeFileSync(path, Buffer.concat([gzipSync(bytes.subarray(0, 5000)), gzipSync(bytes.subarray(5000))]));
    const { data } = await readImage(path);
    expect(data[0]).toBe(craft.values[0]);
    expect(data[5999]).toBe(craft.values[5999]);
  });
});

describe("writeNifti", () => {
  it("gives back the same voxels, dims and matrix for every axis order", async () => {
    const matrices = [
      kitsMatrix(5, 0.8, 0.7),
      [[1, 0, 0, 7], [0, 1.5, 0, 8], [0, 0, 2, 9]],
      [[-1, 0, 0, 0], [0, 0, -1, 0], [0, -4, 0, 5]],
      [[0, 2, 0, 1], [3, 0, 0, 2], [0, 0, -4, 3]],
    ];
    for (const sform of matrices) {
      const values = ramp(37 * 5 * 34).map((i) => i % 4);
      const source = await readLabels(craftFile(fresh(), { dims: [37, 5, 34], values, type: "uint8", sform }));
      const path = fresh();
      await writeNifti(path, source.data, source.header);
      const copy = await readLabels(path);
      expect(copy.header.dims).toEqual([37, 5, 34]);
      expect(copy.header.affine).toEqual(source.header.affine);
      expect(Buffer.compare(copy.data, source.data)).toBe(0);
      // Independent of the reader: the voxels in file order.
      const raw = gunzipSync(readFileSync(path));
      expect(raw.length).toBe(352 + values.length);
      expect([...raw.subarray(352)]).toEqual(values);
    }
  });

  it("writes a qform that agrees with the sform, codes equal", async () => {
    const geometry = kitsGeometry([2, 3, 4], [5, 0.5, 0.5]);
    geometry.affine[0][3] = 11;
    const path = fresh(".nii");
    await writeNifti(path, new Uint8Array(24), geometry);
    const bytes = readFileSync(path);
    expect([bytes.readInt16LE(252), bytes.readInt16LE(254)]).toEqual([1, 1]);
    bytes.writeInt16LE(0, 254); // leave only the qform
    const header = await readHeader(putFile(fresh(".nii"), bytes));
    expect(header.affineSource).toBe("qform");
    const expected = geometry.affine.flat();
    header.affine.flat().forEach((v, i) => expect(v).toBeCloseTo(expected[i], 5)); // float32 quaternion
  });

  it("leaves no file behind when it fails, and refuses wrong sizes and names", async () => {
    const geometry = kitsGeometry([2, 3, 4], [1, 1, 1]);
    await expect(writeNifti(fresh(), new Uint8Array(23), geometry)).rejects.toThrow("data must hold [2, 3, 4] = 24 voxels, found 23");
    await expect(writeNifti(fresh(".nrrd"), new Uint8Array(24), geometry)).rejects.toThrow("must end in .nii or .nii.gz");
    const before = readdirSync(folder).length;
    const broken = { ...geometry, affine: [] };
    await expect(writeNifti(fresh(), new Uint8Array(24), broken)).rejects.toThrow();
    expect(readdirSync(folder).length).toBe(before);
  });
});

const published = shared("kits-labels");
describe.skipIf(published.missing)(`published volumes: ${published.missing ?? "found"}`, () => {
  it("KiTS19 case 15: uint16, qform only", async () => {
    const { header } = await readLabels(shared("kits-labels/kits19/case_00015/segmentation.nii.gz").path);
    expect(header.datatype).toBe("uint16");
    expect(header.affineSource).toBe("qform");
    expect(header.shape).toEqual([75, 512, 512]);
    expect(header.axes).toEqual([0, 1, 2]);
  });

  it("KiTS23 case 160: slices of 512 x 796, with the tumour volume that other tools count", async () => {
    const { header, counts } = await readLabels(shared("kits-labels/kits23/case_00160/segmentation.nii.gz").path);
    expect(header.shape).toEqual([252, 512, 796]);
    expect(counts[2]).toBe(241177);
  });

  it("a whole-body mask with vox_offset 13168", async () => {
    const { header, counts } = await readLabels(shared("real-ct/masks/example_seg.nii.gz").path);
    expect(header.voxOffset).toBe(13168);
    expect(counts[2]).toBe(3947); // right kidney, as counted with numpy
  });
});
