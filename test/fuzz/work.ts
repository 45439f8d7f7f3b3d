// Reads a range of damaged inputs of one format, and notes what must not happen: errors that are not the library's own,
// wrong results, allocations beyond reason, inputs that take long.

import { WgradError } from "../../src/errors.ts";
import { Rng } from "../../src/random.ts";
import type { Format, Input } from "./format.ts";

export interface Finding {
  readonly input: number;
  readonly what: string;
}

export interface Tally {
  accepted: number;
  refused: number;
  faults: Finding[];
  seconds: number;
  /** The largest array that reading made, in bytes. */
  largest: number;
}

/** Valid files are some kilobytes; a compressed one of them cannot hold more than this. */
const MOST_BYTES = 32 * 2 ** 20;
const MOST_SECONDS = 5;
/** An error is for a person to read. */
const LONGEST_MESSAGE = 2000;

/** Runs inputs `first` to `first + count`, each a function of `seed` and its number alone. `onInput` hears which is next. */
export async function work(
  format: Format,
  folder: string,
  { seed, first, count }: { seed: number; first: number; count: number },
  onInput: (input: number) => void,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, refused: 0, faults: [], seconds: 0, largest: 0 };
  const damage = await format.prepare(folder);
  const allocated = watchAllocations();
  const start = process.cpuUsage();
  for (let input = first; input < first + count; input++) {
    onInput(input);
    const one = await damage(new Rng(seed, `${format.name} ${input}`));
    const before = process.cpuUsage();
    allocated.largest = 0;
    const what = await fault(one, tally, allocated);
    tally.largest = Math.max(tally.largest, allocated.largest);
    const { user, system } = process.cpuUsage(before);
    const slow = (user + system) / 1e6 > MOST_SECONDS ? `it took ${(user + system) / 1e6} s` : null;
    if (what ?? slow) tally.faults.push({ input, what: (what ?? slow)! });
  }
  const { user, system } = process.cpuUsage(start);
  tally.seconds = (user + system) / 1e6;
  return tally;
}

/** Reads one input and judges what comes of it. */
async function fault(input: Input, tally: Tally, allocated: { largest: number }): Promise<string | null> {
  let value: unknown;
  try {
    value = await input.read();
  } catch (error) {
    if (!(error instanceof WgradError)) return `untyped error: ${describe(error)}`;
    if (error.message.length > LONGEST_MESSAGE) return `a message of ${error.message.length} characters`;
    tally.refused++;
    return null;
  }
  if (allocated.largest > MOST_BYTES) return `an array of ${allocated.largest} bytes`;
  try {
    input.judge(value);
  } catch (error) {
    return `accepted a wrong result: ${describe(error)}`;
  }
  tally.accepted++;
  return null;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = error.stack?.split("\n").find((line) => /^\s+at /.test(line)) ?? "";
  return `${error.name}: ${error.message.split("\n")[0].slice(0, 200)}${place}`;
}

/** Keeps the bytes of the largest array that is made from here on, before it is made. */
function watchAllocations(): { largest: number } {
  const watch = { largest: 0 };
  const note = (bytes: unknown) => {
    if (typeof bytes === "number" && bytes > watch.largest) watch.largest = bytes;
  };
  const watched = <T extends new (...args: never[]) => object>(type: T, width: number): T =>
    new Proxy(type, {
      construct(target, args: unknown[], newTarget) {
        if (typeof args[0] === "number") note(args[0] * width);
        return Reflect.construct(target, args, newTarget) as object;
      },
    });
  const arrays = {
    Uint8Array,
    Int8Array,
    Uint16Array,
    Int16Array,
    Uint32Array,
    Int32Array,
    Float32Array,
    Float64Array,
  };
  for (const [name, type] of Object.entries(arrays))
    Object.assign(globalThis, { [name]: watched(type as new () => object, type.BYTES_PER_ELEMENT) });
  Object.assign(globalThis, { ArrayBuffer: watched(ArrayBuffer, 1) });
  return watch;
}
