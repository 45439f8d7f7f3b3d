// Which slices make an epoch, and their batches: read from the cache, augmented, normalised. A pure function of (seed, epoch).

import { Rng } from "../random.ts";
import { augment, augmentRng, type AugmentOptions } from "./augment.ts";
import type { SliceCache } from "./cache.ts";

/** One batch on the host: `images` [n, 1, size, size] in [0, 1], `labels` [n, size, size] classes. */
export interface Batch {
  readonly images: Float32Array<ArrayBuffer>;
  readonly labels: Int32Array<ArrayBuffer>;
  readonly count: number;
}

/** Class of each label value; the coarse network does not tell tumour from cyst. */
export const COARSE_CLASSES = ["background", "kidney", "mass"] as const;
export const coarseClassOf = (label: number): number => Math.min(label, 2);

/** The cache's slices of some cases. */
export function slicesOf(cache: SliceCache, ids: readonly string[]): number[] {
  return ids.flatMap((id) => {
    const { first, slices } = cache.caseById(id);
    return Array.from({ length: slices }, (_, i) => first + i);
  });
}

/** Those of `slices` that show any label. */
export function foregroundSlices(cache: SliceCache, slices: readonly number[]): number[] {
  const shown = new Set(
    cache.index.cases.flatMap((c) =>
      c.labelCounts.flatMap((counts, s) => (counts.slice(1).some((n) => n > 0) ? [c.first + s] : [])),
    ),
  );
  return slices.filter((s) => shown.has(s));
}

export interface EpochOptions {
  readonly seed: number;
  readonly slicesPerEpoch: number;
  readonly foreground: number;
}

/**
 * The slices of one epoch in training order. With `slicesPerEpoch` 0 all of them, shuffled; otherwise that many, of which
 * the share `foreground` is drawn from slices with labels and the rest from all, each pool without repetition until it is used up.
 */
export function epochOrder(
  cache: SliceCache,
  slices: readonly number[],
  epoch: number,
  { seed, slicesPerEpoch, foreground }: EpochOptions,
): number[] {
  const rng = new Rng(seed, "epoch").fork(epoch);
  if (slicesPerEpoch === 0) return rng.shuffle(slices);
  const labelled = foregroundSlices(cache, slices);
  const wanted = labelled.length > 0 ? Math.round(slicesPerEpoch * foreground) : 0;
  return rng.shuffle([...draw(labelled, wanted, rng), ...draw(slices, slicesPerEpoch - wanted, rng)]);
}

function draw(pool: readonly number[], count: number, rng: Rng): number[] {
  const out: number[] = [];
  while (out.length < count) out.push(...rng.shuffle(pool).slice(0, count - out.length));
  return out;
}

/** Reads `slices` into a batch; with `augmentation`, each is augmented by the random numbers of (seed, epoch, place in the epoch). */
export function readBatch(
  cache: SliceCache,
  slices: readonly number[],
  augmentation?: { options: AugmentOptions; seed: number; epoch: number; place: number },
): Batch {
  const { size } = cache;
  const plane = size * size;
  const images = new Float32Array(slices.length * plane);
  const labels = new Int32Array(slices.length * plane);
  slices.forEach((slice, i) => {
    const source = { image: new Uint8Array(plane), label: new Uint8Array(plane), height: size, width: size };
    cache.readImage(slice, source.image);
    cache.readLabel(slice, source.label);
    const made = augmentation
      ? augment(source, augmentRng(augmentation.seed, augmentation.epoch, augmentation.place + i), augmentation.options)
      : source;
    for (let p = 0; p < plane; p++) {
      images[i * plane + p] = made.image[p] / 255;
      labels[i * plane + p] = coarseClassOf(made.label[p]);
    }
  });
  return { images, labels, count: slices.length };
}
