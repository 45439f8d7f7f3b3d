// TensorBoard's events as protocol buffers. Field numbers are those of TensorFlow's event.proto, summary.proto and
// tensor.proto; fields stand in the order of their numbers, as other writers put them.

import { PbfWriter } from "pbf";

/** What one tag shows at one step. */
export type Value =
  | { readonly kind: "scalar"; readonly tag: string; readonly value: number }
  | {
      readonly kind: "image";
      readonly tag: string;
      readonly width: number;
      readonly height: number;
      /** Channels: 1 grey, 3 red, green and blue, 4 with opacity. */
      readonly channels: number;
      readonly png: Uint8Array;
    }
  | { readonly kind: "text"; readonly tag: string; readonly text: string }
  | { readonly kind: "histogram"; readonly tag: string; readonly histogram: Histogram };

/** How values are spread: `counts[i]` of them lie above `limits[i - 1]` and not above `limits[i]`. */
export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly count: number;
  readonly sum: number;
  readonly sumSquares: number;
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

/** One message of an event file: its version, the start of a session, or values. */
export interface Event {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  readonly fileVersion?: string;
  /** Values of this step and later ones in earlier files are not to be shown: training goes on from here. */
  readonly sessionStart?: boolean;
  readonly values?: readonly Value[];
}

/** What the first event of a file says. */
export const FILE_VERSION = "brain.Event:2";

const SESSION_START = 1;
const DT_STRING = 7;

/** An event as the bytes of a record. */
export function encodeEvent(event: Event): Uint8Array {
  const pbf = new PbfWriter();
  pbf.writeDoubleField(1, event.wallTime);
  if (event.step) pbf.writeVarintField(2, event.step);
  if (event.fileVersion !== undefined) pbf.writeStringField(3, event.fileVersion);
  if (event.values) pbf.writeMessage(5, writeSummary, event.values);
  if (event.sessionStart) pbf.writeMessage(7, (status, p) => p.writeVarintField(1, status), SESSION_START);
  return pbf.finish();
}

function writeSummary(values: readonly Value[], pbf: PbfWriter): void {
  for (const value of values) pbf.writeMessage(1, writeValue, value);
}

function writeValue(value: Value, pbf: PbfWriter): void {
  pbf.writeStringField(1, value.tag);
  if (value.kind === "scalar") pbf.writeFloatField(2, value.value);
  if (value.kind === "image") pbf.writeMessage(4, writeImage, value);
  if (value.kind === "histogram") pbf.writeMessage(5, writeHistogram, value.histogram);
  if (value.kind !== "text") return;
  pbf.writeMessage(8, writeText, value.text);
  pbf.writeMessage(9, writePlugin, "text");
}

function writeImage({ width, height, channels, png }: Value & { kind: "image" }, pbf: PbfWriter): void {
  pbf.writeVarintField(1, height);
  pbf.writeVarintField(2, width);
  pbf.writeVarintField(3, channels);
  pbf.writeBytesField(4, png);
}

function writeHistogram({ min, max, count, sum, sumSquares, limits, counts }: Histogram, pbf: PbfWriter): void {
  [min, max, count, sum, sumSquares].forEach((value, i) => pbf.writeDoubleField(i + 1, value));
  pbf.writePackedDouble(6, [...limits]);
  pbf.writePackedDouble(7, [...counts]);
}

/** A TensorProto that holds one text. */
function writeText(text: string, pbf: PbfWriter): void {
  pbf.writeVarintField(1, DT_STRING);
  pbf.writeMessage(2, () => undefined, null); // the shape of a scalar
  pbf.writeStringField(8, text);
}

/** A SummaryMetadata that names the plugin for its tag. */
function writePlugin(name: string, pbf: PbfWriter): void {
  pbf.writeMessage(1, (text: string, p) => p.writeStringField(1, text), name);
}
