// Batches are made on the GPU: slices lie there as bytes, and one kernel cuts, augments and normalises them, so that a
// step uploads a few numbers per sample.

import { OptionError } from "../errors.ts";
import { gpu } from "../gpu/device.ts";
import { launch } from "../gpu/program.ts";
import { empty, flush, hostTensor, tensor, type HostTensor, type StepInputs, type Tensor } from "../index.ts";
import {
  affineOf,
  augmentRng,
  drawAugmentation,
  unaugmented,
  type Augmentation,
  type AugmentOptions,
} from "./augment.ts";
import { checkRoi, type Roi } from "./roi.ts";
import type { SliceSource } from "./sample.ts";
import type { Slices } from "./slices.ts";

/** Images [N, 1, size, size] f32 in [0, 1] and classes of the stage [N, size, size] i32, on the GPU. */
export interface BatchTensors {
  readonly images: Tensor;
  readonly labels: Tensor;
}

/** A batch as a compiled step takes it: what it uploads, and whose tensors() makes images and labels of that. */
export interface Batch {
  readonly slices: GpuSlices;
  readonly inputs: StepInputs;
  readonly count: number;
}

/** What a training batch is drawn by: each slice has the random numbers of (seed, epoch, place in the epoch). */
export interface Drawing {
  readonly augment: AugmentOptions;
  readonly seed: number;
  readonly epoch: number;
  readonly place: number;
}

/** What of a SliceSource makes batches. */
export interface BatchSource extends Pick<SliceSource, "size" | "regionOf"> {
  readonly cache: Slices;
  readonly stage: Pick<SliceSource["stage"], "classOf">;
}

export interface SlicesOptions {
  /** Keep the slices on the GPU; default: if they fit. The bits of a batch are the same either way. */
  resident?: boolean;
  /** False for images alone: labels are not read, and those of a batch mean nothing. Default true. */
  labels?: boolean;
}

/**
 * Share of the adapter's largest binding that resident images may take, and as much again for labels. WebGPU does not
 * tell how much memory there is; that limit goes with it, and the network needs most.
 */
const RESIDENT_SHARE = 0.5;

/** The u32 and f32 of a sample: five words of four, see wgsl/slice_batch.wgsl. */
const SAMPLE = 20;

/** Slices for batches: uploaded here, once, if they stay on the GPU; otherwise each batch brings the bytes of its own. */
export async function uploadSlices(
  source: BatchSource,
  slices: readonly number[],
  { resident, labels = true }: SlicesOptions = {},
): Promise<GpuSlices> {
  const limit = RESIDENT_SHARE * gpu().info.limits.maxStorageBufferBindingSize;
  const keep = resident ?? 4 * slices.length * wordsOf(source.cache.size) <= limit;
  const opened = new GpuSlices(source, labels, keep && slices.length > 0 ? slices : null);
  await flush();
  return opened;
}

/** Slices that batches are made of. Use uploadSlices. */
export class GpuSlices {
  readonly #source: BatchSource;
  readonly #withLabels: boolean;
  readonly #classes: Tensor;
  /** Bytes of the slices and where each lies in them; null where each batch brings its own. */
  readonly #resident: { bytes: Readonly<Record<string, Tensor>>; places: ReadonlyMap<number, number> } | null;

  constructor(source: BatchSource, withLabels: boolean, resident: readonly number[] | null) {
    this.#source = source;
    this.#withLabels = withLabels;
    this.#classes = tensor(Int32Array.from({ length: 256 }, (_, label) => source.stage.classOf(label)));
    this.#resident = resident && {
      bytes: Object.fromEntries(
        Object.entries(this.#read(resident)).map(([name, { shape, data }]) => [
          name,
          hostTensor(shape, "u32", () => data),
        ]),
      ),
      places: new Map(resident.map((slice, i) => [slice, i])),
    };
  }

  /** Bytes that stay on the GPU; 0 where each batch brings its own. */
  get residentBytes(): number {
    return Object.values(this.#resident?.bytes ?? {}).reduce((n, { storage }) => n + storage.buffer!.capacity, 0);
  }

  /**
   * A batch of `slices`; with `drawing`, regions are drawn and slices augmented, else all are shown as `shown` says. Throws
   * OptionError for a slice that is not among those that were opened to stay on the GPU.
   */
  batch(slices: readonly number[], drawing?: Drawing, shown: Augmentation = unaugmented): Batch {
    const { size, cache, regionOf } = this.#source;
    const words = new Uint32Array(SAMPLE * slices.length);
    slices.forEach((slice, i) => {
      const rng = drawing && augmentRng(drawing.seed, drawing.epoch, drawing.place + i);
      const augmentation = rng ? drawAugmentation(rng, size, drawing.augment) : shown;
      const region = regionOf(slice, rng?.fork("region") ?? null);
      writeSample(words.subarray(SAMPLE * i), this.#placeOf(slice, i), region, augmentation, size, cache.size);
    });
    return this.#batchOf(words, this.#resident ? {} : this.#read(slices));
  }

  /** A batch of that many samples for prepare(): its shapes are right, its values mean nothing. */
  blank(count: number): Batch {
    const zeros = inWords(new Uint32Array(count * wordsOf(this.#source.cache.size)));
    const bytes = { imageBytes: zeros, ...(this.#withLabels && { labelBytes: zeros }) };
    return this.#batchOf(new Uint32Array(SAMPLE * count), this.#resident ? {} : bytes);
  }

  /** Images and labels of a batch from its inputs as tensors: records one kernel. */
  tensors(inputs: Readonly<Record<string, Tensor>>): BatchTensors {
    const { size, cache } = this.#source;
    // Without labels their bindings are not touched, but must be there.
    const { samples, imageBytes, labelBytes = imageBytes } = { ...this.#resident?.bytes, ...inputs };
    const n = samples.size / SAMPLE;
    const images = empty([n, 1, size, size]);
    const labels = empty(this.#withLabels ? [n, size, size] : [1], "i32");
    launch("slice_batch", {
      consts: { SIZE: size, FROM: cache.size, LABELS: this.#withLabels },
      buffers: { imageBytes, labelBytes, classes: this.#classes, samples, images, labels },
      grid: [Math.ceil(size ** 2 / 64), n, 1],
    });
    return { images, labels };
  }

  #batchOf(samples: Uint32Array<ArrayBuffer>, bytes: Readonly<Record<string, HostTensor>>): Batch {
    return { slices: this, inputs: { samples: inWords(samples), ...bytes }, count: samples.length / SAMPLE };
  }

  /** Where a slice lies among the bytes: resident, or the batch's own in its order. */
  #placeOf(slice: number, i: number): number {
    if (!this.#resident) return i;
    const place = this.#resident.places.get(slice);
    if (place === undefined)
      throw new OptionError(`batch: slice must be one of the ${this.#resident.places.size} opened, found ${slice}`);
    return place;
  }

  #read(slices: readonly number[]): Record<string, HostTensor> {
    const { size } = this.#source.cache;
    const read = (copy: (slice: number, out: Uint8Array, offset: number) => void): HostTensor => {
      const words = new Uint32Array(slices.length * wordsOf(size));
      const bytes = new Uint8Array(words.buffer); // four in a word, the first lowest: every platform is little-endian
      slices.forEach((slice, i) => copy(slice, bytes, 4 * i * wordsOf(size)));
      return inWords(words);
    };
    const { cache } = this.#source;
    const imageBytes = read((...to) => cache.readImage(...to));
    return this.#withLabels ? { imageBytes, labelBytes: read((...to) => cache.readLabel(...to)) } : { imageBytes };
  }
}

/** A batch's inputs as tensors, outside a compiled step. */
export function hostTensors(inputs: StepInputs): Record<string, Tensor> {
  const entries = Object.entries(inputs).map(([name, { shape, dtype, data }]) => [
    name,
    hostTensor(shape, dtype, () => data),
  ]);
  return Object.fromEntries(entries) as Record<string, Tensor>;
}

/** Words of a slice: it begins at a whole one. */
function wordsOf(size: number): number {
  return Math.ceil(size ** 2 / 4);
}

function inWords(data: Uint32Array<ArrayBuffer>): HostTensor {
  return { shape: [data.length], dtype: "u32", data };
}

/** A sample as the kernel reads it; `place`: of its slice among the bytes, `from`: pixels of the slice. */
function writeSample(
  words: Uint32Array<ArrayBuffer>,
  place: number,
  region: Roi,
  augmentation: Augmentation,
  size: number,
  from: number,
): void {
  checkRoi("batch", region);
  const { brightness, fill, salt, saltRng, sigma, noiseRng } = augmentation;
  const { x, y } = affineOf(augmentation, size);
  const threshold = (p: number) => Math.ceil(p * 2 ** 24); // uniform() < p is the same as uint32() >> 8 < threshold
  words.set([place, saltRng.seed, saltRng.stream, noiseRng.stream]);
  words.set([saltRng.counter, noiseRng.counter, threshold(salt / 2), threshold(salt)], 4);
  new Float32Array(words.buffer, words.byteOffset + 32, 12).set([
    ...x,
    brightness,
    ...y,
    fill,
    region.x * from,
    region.y * from,
    (region.side * from) / size,
    sigma,
  ]);
}
