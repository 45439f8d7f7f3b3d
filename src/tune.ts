// The autotuner: where several kernels or tiles can compute an operation, the one that was measured to be the fastest
// for its shape on this adapter, and until something was measured the one that a rule expects to be.

import { OptionError } from "./errors.ts";
import { saveChoices, tuningAllowed } from "./gpu/choices.ts";
import { gpu, type Gpu } from "./gpu/device.ts";
import type { Kernel } from "./gpu/kernel.ts";
import { waitFor } from "./gpu/wait.ts";
import { hashString } from "./random.ts";
import { step } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** An operation with candidates C for each of its shapes S. */
export interface Tunable<S, C> {
  readonly name: string;
  /** The kernels that candidates run: when their text changes, what was measured counts no more. */
  readonly kernels: readonly Kernel[];
  /** All of the shape that times depend on. */
  key(shape: S): string;
  /** What can compute it on this adapter, as plain data; the rule's choice first. */
  candidates(shape: S): readonly C[];
  /** The one that the others are checked against. */
  plain(shape: S): C;
  /** How far a right result may lie from the plain one, relative to the largest value. */
  tolerance(choice: C): number;
  /** Random inputs. */
  inputs(shape: S): readonly Tensor[];
  /** Records the operation. */
  run(choice: C, shape: S, inputs: readonly Tensor[]): Tensor;
}

interface Wish {
  readonly tunable: Tunable<unknown, unknown>;
  readonly shape: unknown;
}

/** Shapes that were asked for and not measured yet, by device. */
const wishes = new WeakMap<Gpu, Map<string, Wish>>();

/** The candidate for a shape: measured, or the rule's. Remembers what tune() could measure. */
export function pick<S, C>(tunable: Tunable<S, C>, shape: S): C {
  const candidates = tunable.candidates(shape);
  if (candidates.length === 1 || !tuningAllowed()) return candidates[0];
  const g = gpu();
  const key = `${tunable.name} ${textHash(tunable.kernels)} ${tunable.key(shape)}`;
  const known = g.choices.entries.get(key);
  if (!known) wishesOf(g).set(key, { tunable: tunable as unknown as Wish["tunable"], shape });
  return (known && candidates.find((c) => sameChoice(c, known.choice))) ?? candidates[0];
}

function wishesOf(g: Gpu): Map<string, Wish> {
  let map = wishes.get(g);
  if (!map) wishes.set(g, (map = new Map()));
  return map;
}

const sameChoice = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const hashes = new Map<Kernel, number>();

function textHash(kernels: readonly Kernel[]): string {
  return kernels
    .map((kernel) => {
      if (!hashes.has(kernel)) hashes.set(kernel, hashString(kernel.code));
      return hashes.get(kernel)!.toString(16);
    })
    .join(".");
}

/** Settings of tune(). */
export interface TuneOptions {
  /** Seconds after which no further shape is begun; one may take long where compiling does. Default 60. */
  seconds?: number;
  /** Told of each shape: what was chosen and what it gains. */
  log?: (line: string) => void;
}

/** What tune() has measured. */
export interface TuneResult {
  /** Shapes that were measured, and those of them where another candidate than the rule's won. */
  readonly measured: number;
  readonly changed: number;
  /** Shapes for which the time did not suffice; the next call goes on with them. */
  readonly left: number;
}

/** A candidate must be this much faster than the rule's to win: closer ones change places from run to run. */
const GAIN = 0.05;

/** For sums in another order: far above rounding, far below a wrong tap. */
export const REORDERED = 1e-4;

/** For factors rounded to f16's 11 bits. */
export const ROUNDED = 1e-2;

/**
 * Measures the operations that have been recorded with shapes unknown so far (convolutions and matrix products), and keeps the fastest kernels
 * and tiles for them, also for later runs on this adapter. Every candidate is first compared with the plain kernel; one that
 * differs is never taken. Compiled steps are traced anew on their next call. Results may differ in the last bits from
 * those before, since sums change their order; they repeat as long as the choices stay. Without effect where
 * WGRAD_TUNE is 0. Call it outside of steps. Throws OptionError unless `seconds` is positive.
 */
export async function tune({ seconds = 60, log = () => {} }: TuneOptions = {}): Promise<TuneResult> {
  if (!(seconds > 0)) throw new OptionError(`tune: seconds must be positive, got ${seconds}`);
  const g = gpu();
  const end = performance.now() + 1000 * seconds;
  let [measured, changed] = [0, 0];
  const wanted = wishesOf(g);
  for (const [key, wish] of [...wanted]) {
    if (performance.now() > end) break;
    const times = await measure(wish);
    const [rule, best] = [times[0], times.reduce((a, b) => (b.ms < a.ms ? b : a))];
    const taken = best.ms < (1 - GAIN) * rule.ms ? best : rule;
    g.choices.entries.set(key, { choice: taken.candidate, ms: taken.ms, ruleMs: rule.ms });
    wanted.delete(key);
    measured++;
    if (taken !== rule) changed++;
    const gain = taken === rule ? "the rule's" : `${(rule.ms / taken.ms).toFixed(2)} times the rule's speed`;
    log(`${wish.tunable.name} ${wish.tunable.key(wish.shape)}: ${JSON.stringify(taken.candidate)}, ${gain}`);
  }
  if (measured > 0) {
    g.choices.version++;
    await saveChoices(g.info, g.choices);
  }
  return { measured, changed, left: wanted.size };
}

interface Timed {
  readonly candidate: unknown;
  readonly ms: number;
}

/** Milliseconds of every candidate that is right, the rule's first. */
async function measure({ tunable, shape }: Wish): Promise<Timed[]> {
  const candidates = tunable.candidates(shape);
  const inputs = tunable.inputs(shape);
  const values = async (choice: unknown) => (await step(() => tunable.run(choice, shape, inputs))).read();
  const expected = await values(tunable.plain(shape));
  const times: Timed[] = [];
  for (const [i, candidate] of candidates.entries()) {
    if (i > 0 && difference(await values(candidate), expected) > tunable.tolerance(candidate)) continue;
    times.push({ candidate, ms: await timed(() => tunable.run(candidate, shape, inputs)) });
  }
  return times;
}

/** The largest difference relative to the largest value. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [error, largest] = [0, 1e-30];
  for (let i = 0; i < a.length; i++) {
    error = Math.max(error, Math.abs(a[i] - b[i]));
    largest = Math.max(largest, Math.abs(b[i]));
  }
  return Number.isFinite(error) ? error / largest : Infinity;
}

const SAMPLES = 3;
const SAMPLE_MS = 20;

/** The least of some samples, each as many runs as take about 20 ms. */
async function timed(work: () => void): Promise<number> {
  await timeRuns(work, 1); // compiles
  const repeats = Math.max(1, Math.min(100, Math.round(SAMPLE_MS / (await timeRuns(work, 1)))));
  let least = Infinity;
  for (let i = 0; i < SAMPLES; i++) least = Math.min(least, (await timeRuns(work, repeats)) / repeats);
  return least;
}

/** Milliseconds from recording `work` that many times to the GPU being done. */
export async function timeRuns(work: () => void, repeats: number): Promise<number> {
  const start = performance.now();
  await step(() => {
    for (let i = 0; i < repeats; i++) work();
  });
  await waitFor(gpu().lastSubmit!, gpu().info.software);
  return performance.now() - start;
}
