// TFRecord framing: how an event file holds its messages, so that a torn end is noticed.
//
//   length   u64, little endian
//   crc      u32: masked CRC-32C of the length
//   data     `length` bytes
//   crc      u32: masked CRC-32C of the data

const HEADER = 12;
const FOOTER = 4;

/** `data` as one record. */
export function encodeRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER + data.length + FOOTER);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(crc32c(out.subarray(0, 8))), true);
  out.set(data, HEADER);
  view.setUint32(HEADER + data.length, masked(crc32c(data)), true);
  return out;
}

/** Castagnoli's polynomial, its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32C of `bytes`, from 0 to 2^32 - 1. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Checksums beside what they are of are rotated and moved, so that a checksum of both is not a constant. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
