// Hand-made NIfTI-1 files, byte by byte and independent of the writer under test.

export const codes = { uint8: 2, int16: 4, int32: 8, float32: 16, float64: 64, int8: 256, uint16: 512, int64: 1024 } as const;
const sizes = { uint8: 1, int16: 2, int32: 4, float32: 4, float64: 8, int8: 1, uint16: 2, int64: 8 } as const;
export type Type = keyof typeof codes;

export interface Craft {
  dims: number[];
  /** In file order, fastest axis first. */
  values: ArrayLike<number>;
  type?: Type;
  bigEndian?: boolean;
  pixdim?: number[];
  sform?: number[][];
  /** b, c, d, x, y, z and qfac. */
  qform?: number[];
  offset?: number;
  slope?: number;
  inter?: number;
}

/** Dims (S, H, W) and -spacing on the anti-diagonal. */
export const kitsMatrix = (z: number, y: number, x: number) => [[0, 0, -x, 0], [0, -y, 0, 0], [-z, 0, 0, 0]];

export function niftiBytes(c: Craft): Buffer {
  const { type = "int16", bigEndian = false, offset = 352 } = c;
  const bytes = Buffer.alloc(offset + c.values.length * sizes[type]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = !bigEndian;
  view.setInt32(0, 348, little);
  [c.dims.length, ...c.dims].forEach((n, i) => view.setInt16(40 + 2 * i, n, little));
  view.setInt16(70, codes[type], little);
  view.setInt16(72, 8 * sizes[type], little);
  [c.qform?.[6] ?? 1, ...(c.pixdim ?? [1, 1, 1])].forEach((v, i) => view.setFloat32(76 + 4 * i, v, little));
  [offset, c.slope ?? 1, c.inter ?? 0].forEach((v, i) => view.setFloat32(108 + 4 * i, v, little));
  if (c.qform) view.setInt16(252, 1, little);
  c.qform?.slice(0, 6).forEach((v, i) => view.setFloat32(256 + 4 * i, v, little));
  if (c.sform) view.setInt16(254, 2, little);
  c.sform?.forEach((row, r) => row.forEach((v, i) => view.setFloat32(280 + 16 * r + 4 * i, v, little)));
  bytes.write("n+1\0", 344, "latin1");
  // A byte that is not zero where an extension lies, so that reading from 352 would be seen.
  if (offset > 352) bytes.fill(0x55, 352, offset);
  for (let i = 0; i < c.values.length; i++) put(view, type, offset + i * sizes[type], c.values[i], little);
  return bytes;
}

function put(view: DataView, type: Type, at: number, v: number, little: boolean): void {
  if (type === "uint8") view.setUint8(at, v);
  else if (type === "int8") view.setInt8(at, v);
  else if (type === "int16") view.setInt16(at, v, little);
  else if (type === "uint16") view.setUint16(at, v, little);
  else if (type === "int32") view.setInt32(at, v, little);
  else if (type === "float32") view.setFloat32(at, v, little);
  else if (type === "float64") view.setFloat64(at, v, little);
  else view.setBigInt64(at, BigInt(v), little);
}
