// Writes event files that TensorBoard shows, with the names of PyTorch's SummaryWriter. For Node.

import { appendFile, mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { encode } from "fast-png";
import { OptionError } from "../errors.ts";
import { encodeEvent, FILE_VERSION, type Event, type Value } from "./event.ts";
import { histogramOf } from "./histogram.ts";
import { encodeRecord } from "./records.ts";

/** A picture: `data` is [height, width, channels], 8 bits each. */
export interface ImageData {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Settings of a SummaryWriter. */
export interface SummaryWriterOptions {
  /** The first step that is written: TensorBoard drops what earlier files of the folder hold from there on. Default 0. */
  readonly purgeStep?: number;
  /** Seconds between writes; default 10. What was added in between waits in memory. */
  readonly flushSeconds?: number;
}

/** Writers of this process get names of their own. */
let writers = 0;

/**
 * Writes a file of events in `folder`, one run of TensorBoard's. The file is made with the first value. Steps are whole
 * numbers from 0. A failed write is reported by the flush() or close() that follows, as the error of the file system.
 *
 *     const writer = new SummaryWriter("runs/first");
 *     writer.addScalar("loss/train", 0.3, step);
 *     await writer.close();
 */
export class SummaryWriter {
  readonly folder: string;
  readonly #path: string;
  readonly #purgeStep: number;
  readonly #flushSeconds: number;
  #waiting: Uint8Array[] = [];
  #writing: Promise<void> = Promise.resolve();
  #failed: unknown = null;
  #begun = false;
  #closed = false;
  #written = Date.now();

  constructor(folder: string, { purgeStep = 0, flushSeconds = 10 }: SummaryWriterOptions = {}) {
    checkStep("purgeStep", purgeStep);
    this.folder = folder;
    this.#purgeStep = purgeStep;
    this.#flushSeconds = flushSeconds;
    const seconds = Math.floor(Date.now() / 1000);
    this.#path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${writers++}`);
  }

  /** A number at a step. Not finite ones are kept as such. Throws OptionError for a step that is none. */
  addScalar(tag: string, value: number, step = 0): void {
    this.#add(step, [{ kind: "scalar", tag, value }]);
  }

  /** Numbers by tag at one step, in one event. Throws as addScalar. */
  addScalars(values: Readonly<Record<string, number>>, step = 0): void {
    this.#add(
      step,
      Object.entries(values).map(([tag, value]) => ({ kind: "scalar", tag, value })),
    );
  }

  /** A picture with 1, 3 or 4 channels. Throws OptionError where `data` does not fit its size. */
  addImage(tag: string, { width, height, data }: ImageData, step = 0): void {
    const channels = data.length / (width * height);
    if (channels !== 1 && channels !== 3 && channels !== 4)
      throw new OptionError(
        `addImage: data must hold 1, 3 or 4 bytes for each of ${width} x ${height} pixels, found ${data.length} bytes`,
      );
    const png = encode({ width, height, data, channels, depth: 8 });
    this.#add(step, [{ kind: "image", tag, width, height, channels, png }]);
  }

  /** A text in Markdown. Throws as addScalar. */
  addText(tag: string, text: string, step = 0): void {
    this.#add(step, [{ kind: "text", tag, text }]);
  }

  /** How `values` are spread, in `bins` of one width; those that are not finite are left out. Throws as addScalar. */
  addHistogram(tag: string, values: ArrayLike<number>, step = 0, bins = 64): void {
    this.#add(step, [{ kind: "histogram", tag, histogram: histogramOf(values, bins) }]);
  }

  /** Resolves when all that was added is in the file. Rejects with the first error of writing it. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
    if (this.#failed !== null) throw this.#failed;
  }

  /** Writes what waits, and takes nothing more. Rejects as flush(). */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #add(step: number, values: readonly Value[]): void {
    checkStep("step", step);
    if (this.#closed) throw new OptionError("SummaryWriter: it is closed; make another one");
    const wallTime = Date.now() / 1000;
    if (!this.#begun) {
      this.#push({ wallTime, fileVersion: FILE_VERSION });
      this.#push({ wallTime, step: this.#purgeStep, sessionStart: true });
      this.#begun = true;
    }
    this.#push({ wallTime, step, values });
    if (Date.now() - this.#written >= 1000 * this.#flushSeconds) this.#write();
  }

  #push(event: Event): void {
    this.#waiting.push(encodeRecord(encodeEvent(event)));
  }

  /** Appends what waits, after what is being written; nothing more follows an error. */
  #write(): void {
    this.#written = Date.now();
    if (this.#waiting.length === 0) return;
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#writing = this.#writing.then(async () => {
      if (this.#failed !== null) return;
      try {
        await mkdir(this.folder, { recursive: true });
        await appendFile(this.#path, bytes);
      } catch (error) {
        this.#failed = error;
      }
    });
  }
}

function checkStep(name: string, step: number): void {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new OptionError(`SummaryWriter: ${name} must be a whole number from 0, got ${step}`);
}
