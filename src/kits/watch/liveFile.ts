// live.json in the run folder: how far a run is that is under way, for the dashboard. It is written once per second at
// most, stays small however long a training is, and is removed when the run ends.

import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.ts";
import { amount, count, listOf, nullable, number, object, text, whole } from "../../structure.ts";
import { readJson } from "../json.ts";
import { watchProgress, type Advance } from "../progress.ts";
import { Thinned } from "./thinned.ts";
import type { TrainingStart } from "./runWatch.ts";

/** What live.json holds; numbers that are not finite are null. */
export interface Live {
  /** The process of the run, and its machine. */
  readonly pid: number;
  readonly host: string;
  /** Milliseconds since 1970. */
  readonly written: number;
  /** The loop that is running. */
  readonly phase:
    (Pick<Advance, "label" | "unit"> & Record<Exclude<keyof Advance, "label" | "unit">, number | null>) | null;
  /** The training that is running or ran last. */
  readonly training: {
    readonly stage: string;
    readonly epochs: number;
    /** Terms of the steps: `values[i][k]` is the mean of the k-th about epoch `x[i]`. */
    readonly names: readonly string[];
    readonly x: readonly number[];
    readonly values: readonly (readonly (number | null)[])[];
  } | null;
}

const livePath = (folder: string): string => join(folder, "live.json");

const liveFile = object<Live>({
  pid: whole(1, 2 ** 31 - 1),
  host: text,
  written: amount,
  phase: nullable(
    object<Advance>({
      ...{ label: text, unit: text, total: nullable(number) },
      ...{ done: nullable(number), rate: nullable(number), left: nullable(number) },
    }),
  ),
  training: nullable(
    object<NonNullable<Live["training"]>>({
      ...{ stage: text, epochs: count, names: listOf(text), x: listOf(number) },
      values: listOf(listOf(nullable(number))),
    }),
  ),
});

/** live.json of a run folder. Throws DataError if it is missing or damaged. */
export function readLive(folder: string): Promise<Live> {
  return readJson<Live>(livePath(folder), liveFile, "it is written while a run is under way");
}

const EVERY = 1000; // ms between writes

/** The loss and how sure the discriminators are. */
const shownTerms = /^loss$|\.confidence(Label|Prediction)$/;

export class LiveFile {
  readonly #path: string;
  readonly #unwatch: () => void;
  #phase: Advance | null = null;
  #training: { start: TrainingStart; names: readonly string[]; places: number[]; points: Thinned } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(folder: string) {
    this.#path = livePath(folder);
    this.#unwatch = watchProgress((phase) => {
      this.#phase = phase;
      this.#changed();
    });
  }

  training(start: TrainingStart): void {
    this.#training = { start, names: [], places: [], points: new Thinned() };
    this.#changed();
  }

  /** Terms of a step that ended at `epoch`, counted with fractions. */
  step(epoch: number, names: readonly string[], values: ArrayLike<number>): void {
    const training = this.#training!;
    if (training.names.length === 0) {
      training.places = [...names.keys()].filter((k) => shownTerms.test(names[k]));
      training.names = training.places.map((k) => names[k]);
    }
    training.points.add(
      epoch,
      training.places.map((k) => values[k]),
    );
    this.#changed();
  }

  /** Removes the file: the run has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    if (this.#timer) clearTimeout(this.#timer);
    await this.#writing;
    await rm(this.#path, { force: true }).catch(() => undefined);
  }

  /** Writes some time later, unless that is planned already. */
  #changed(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#writing = writeFileAtomic(this.#path, JSON.stringify(this.#content()))
        .catch(() => undefined) // the next one may succeed, and nothing depends on it
        .finally(() => (this.#timer = null));
    }, EVERY).unref();
  }

  #content(): Live {
    const training = this.#training;
    return {
      ...{ pid: process.pid, host: hostname(), written: Date.now(), phase: this.#phase },
      training: training && {
        ...{ stage: training.start.stage, epochs: training.start.epochs, names: training.names },
        ...training.points.content,
      },
    };
  }
}
