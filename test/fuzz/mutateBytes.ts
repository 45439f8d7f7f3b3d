// Damage to bytes: what disks, networks and half-finished writes do to a file, and what a fuzzer adds.

import type { Rng } from "../../src/random.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

export function pick<T>(items: readonly T[], rng: Rng): T {
  return items[rng.integer(items.length)];
}

type Damage = (bytes: Bytes, rng: Rng) => Bytes;

const flipBits: Damage = (bytes, rng) => {
  for (let n = 1 + rng.integer(3); n > 0; n--) bytes[rng.integer(bytes.length)] ^= 1 << rng.integer(8);
  return bytes;
};

const overwrite: Damage = (bytes, rng) => {
  const at = rng.integer(bytes.length);
  const fill = pick([0, 0xff, 0x7f, 0x80, -1], rng);
  const end = Math.min(bytes.length, at + 1 + rng.integer(16));
  for (let i = at; i < end; i++) bytes[i] = fill >= 0 ? fill : rng.integer(256);
  return bytes;
};

const cutShort: Damage = (bytes, rng) =>
  bytes.slice(0, pick([rng.integer(bytes.length), bytes.length - 1 - rng.integer(Math.min(9, bytes.length))], rng));

const extend: Damage = (bytes, rng) => {
  const more = new Uint8Array(1 + rng.integer(64));
  if (rng.uniform() < 0.5) more.forEach((_, i) => (more[i] = rng.integer(256)));
  return joined(bytes, more);
};

/** A part of the file in the place of another. */
const splice: Damage = (bytes, rng) => {
  const length = 1 + rng.integer(Math.min(64, bytes.length));
  const from = rng.integer(bytes.length - length + 1);
  bytes.copyWithin(rng.integer(bytes.length - length + 1), from, from + length);
  return bytes;
};

const remove: Damage = (bytes, rng) => {
  const at = rng.integer(bytes.length);
  return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + rng.integer(16)));
};

const insert: Damage = (bytes, rng) => {
  const at = rng.integer(bytes.length);
  const more = Uint8Array.from({ length: 1 + rng.integer(16) }, () => rng.integer(256));
  return joined(bytes.subarray(0, at), more, bytes.subarray(at));
};

/** The file twice in one. */
const twice: Damage = (bytes) => joined(bytes, bytes);

const nothing: Damage = () => new Uint8Array(0);

const common = [flipBits, flipBits, overwrite, overwrite, cutShort, extend, splice, remove, insert];

/** A copy of `bytes` with one to three damages of any kind. */
export function damaged(bytes: Uint8Array, rng: Rng): Bytes {
  let out: Bytes = new Uint8Array(bytes);
  if (rng.uniform() < 0.02) return pick([twice, nothing], rng)(out, rng);
  for (let n = 1 + rng.integer(3); n > 0 && out.length > 0; n--) out = pick(common, rng)(out, rng);
  return out;
}

export function joined(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
