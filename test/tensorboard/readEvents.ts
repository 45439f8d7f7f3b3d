// Reads event files without what writes them: protocol buffers by hand, as far as TensorBoard's events need them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../src/tensorboard/records.ts";

export interface ReadValue {
  tag: string;
  scalar?: number;
  image?: { height: number; width: number; channels: number; png: Uint8Array };
  text?: string;
  histogram?: { limits: number[]; counts: number[] };
}

export interface ReadEvent {
  wallTime: number;
  step: number;
  version?: string;
  start: boolean;
  values: ReadValue[];
}

/** The events of all files in a folder, oldest file first, as far as their records are whole. */
export function readFolder(folder: string): ReadEvent[][] {
  const files = readdirSync(folder).filter((name) => name.startsWith("events.out.tfevents."));
  const number = (name: string): number => Number(name.split(".").at(-1)) + 1e3 * Number(name.split(".")[3]);
  return files.sort((a, b) => number(a) - number(b)).map((name) => readEvents(readFileSync(join(folder, name))));
}

/** The events of whole records; a torn or damaged one ends them, as in TensorBoard. */
export function readEvents(bytes: Uint8Array): ReadEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const unmasked = (at: number): number => {
    const rotated = (view.getUint32(at, true) - 0xa282ead8) >>> 0;
    return ((rotated << 15) | (rotated >>> 17)) >>> 0;
  };
  const events: ReadEvent[] = [];
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    if (unmasked(at + 8) !== crc32c(bytes.subarray(at, at + 8)) || at + 16 + length > bytes.length) break;
    const data = bytes.subarray(at + 12, at + 12 + length);
    if (unmasked(at + 12 + length) !== crc32c(data)) break;
    events.push(eventOf(data));
    at += 16 + length;
  }
  return events;
}

type Fields = Map<number, (number | Uint8Array)[]>;

function eventOf(data: Uint8Array): ReadEvent {
  const fields = fieldsOf(data);
  const session = bytesOf(fields, 7);
  const summary = bytesOf(fields, 5);
  return {
    wallTime: doubles(bytesOf(fields, 1)!)[0],
    step: (fields.get(2)?.[0] as number) ?? 0,
    version: textOf(bytesOf(fields, 3)),
    start: session !== undefined && fieldsOf(session).get(1)?.[0] === 1,
    values: summary ? (fieldsOf(summary).get(1) as Uint8Array[]).map(valueOf) : [],
  };
}

function valueOf(data: Uint8Array): ReadValue {
  const fields = fieldsOf(data);
  const value: ReadValue = { tag: textOf(bytesOf(fields, 1))! };
  const [scalar, image, histogram, tensor] = [2, 4, 5, 8].map((field) => bytesOf(fields, field));
  if (scalar) value.scalar = new DataView(Uint8Array.from(scalar).buffer).getFloat32(0, true);
  if (image) {
    const of = fieldsOf(image);
    const [height, width, channels] = [1, 2, 3].map((field) => of.get(field)![0] as number);
    value.image = { height, width, channels, png: bytesOf(of, 4)! };
  }
  if (histogram) {
    const of = fieldsOf(histogram);
    value.histogram = { limits: doubles(bytesOf(of, 6)!), counts: doubles(bytesOf(of, 7)!) };
  }
  if (tensor) value.text = textOf(bytesOf(fieldsOf(tensor), 8));
  return value;
}

/** The fields of a message by number: varints as numbers, all others as bytes. */
function fieldsOf(data: Uint8Array): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): number => {
    let [value, scale] = [0, 1];
    for (; data[at] & 128; scale *= 128) value += (data[at++] & 127) * scale;
    return value + data[at++] * scale;
  };
  while (at < data.length) {
    const key = varint();
    const kind = key & 7;
    const length = kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? varint() : 0;
    const value = kind === 0 ? varint() : data.subarray(at, (at += length));
    fields.set(key >>> 3, [...(fields.get(key >>> 3) ?? []), value]);
  }
  return fields;
}

const bytesOf = (fields: Fields, field: number): Uint8Array | undefined =>
  fields.get(field)?.[0] as Uint8Array | undefined;
const textOf = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes);
const doubles = (bytes: Uint8Array): number[] => [...new Float64Array(Uint8Array.from(bytes).buffer)];

/** Scalars by tag and step as TensorBoard shows those of a folder: the start of a session drops its step and later ones. */
export function shownScalars(folder: string): Map<string, Map<number, number>> {
  const shown = new Map<string, Map<number, number>>();
  for (const { start, step, values } of readFolder(folder).flat()) {
    if (start) for (const tag of shown.values()) for (const at of [...tag.keys()]) if (at >= step) tag.delete(at);
    for (const { tag, scalar } of values) {
      if (scalar === undefined) continue;
      if (!shown.has(tag)) shown.set(tag, new Map());
      shown.get(tag)!.set(step, scalar);
    }
  }
  return shown;
}
