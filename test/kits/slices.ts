// Slices in memory for tests of batches, and a float64 reference of wgsl/slice_batch.wgsl.
import { compile, Rng, type Tensor } from "../../src/index.ts";
import type { Augmentation } from "../../src/kits/augment.ts";
import { uploadSlices, type Batch, type BatchSource, type SlicesOptions } from "../../src/kits/batch.ts";
import type { Roi } from "../../src/kits/roi.ts";

/** Slices [size, size], one after the other. */
export interface Slices {
  size: number;
  images: Uint8Array;
  labels: Uint8Array;
}

export const whole: Roi = { y: 0, x: 0, side: 1 };

/** A source whose network sees `to` x `to` pixels of a region; its classes are the labels. */
export function sourceOf({ size, images, labels }: Slices, to = size, region: Roi = whole): BatchSource {
  const copy =
    (from: Uint8Array) =>
    (slice: number, out: Uint8Array, offset: number = 0) =>
      out.set(from.subarray(slice * size * size, (slice + 1) * size * size), offset);
  return {
    size: to,
    cache: { size, readImage: copy(images), readLabel: copy(labels) },
    stage: { classOf: (label) => label },
    regionOf: () => region,
  };
}

/** Random grey levels, and blocks of labels 0 to 3. */
export function randomSlices(size: number, count: number, seed = 0): Slices {
  const rng = new Rng(seed, "slices");
  const images = Uint8Array.from({ length: count * size * size }, () => rng.integer(256));
  const blocks = Array.from({ length: 997 }, () => rng.integer(4));
  const labels = images.map((_, i) => blocks[(Math.floor(i / size / 5) * 31 + Math.floor((i % size) / 4)) % 997]);
  return { size, images, labels };
}

export interface Values {
  /** Grey levels, 255 times the images. */
  greys: number[];
  images: Float32Array;
  labels: Int32Array;
}

/** What the GPU makes of a batch. */
export async function valuesOf({ slices, inputs }: Batch): Promise<Values> {
  const run = compile((tensors: Record<string, Tensor>) => slices.tensors(tensors));
  const made = await run(inputs);
  const [images, labels] = [(await made.images.read()) as Float32Array, (await made.labels.read()) as Int32Array];
  run.free();
  return { images, labels, greys: Array.from(images, (v) => 255 * v) };
}

/** The batch of one slice of a source. */
export async function sliceValues(source: BatchSource, slice = 0, options: SlicesOptions = {}): Promise<Values> {
  return valuesOf((await uploadSlices(source, [slice], options)).batch([slice]));
}

/** Grey levels and labels of one sample in float64, and the pixels whose label hangs on the last digits. */
export function reference(
  { size, images, labels }: Slices,
  to: number,
  region: Roi,
  augmentation: Augmentation,
): { greys: number[]; labels: number[]; ties: boolean[] } {
  const scale = (region.side * size) / to;
  const [top, left] = [region.y * size, region.x * size];
  const { fill, brightness, salt, sigma } = augmentation;
  const [saltRng, noiseRng] = [augmentation.saltRng, augmentation.noiseRng].map(
    ({ seed, stream, counter }) => new Rng(seed, stream, counter),
  );
  const within = (v: number) => Math.max(0, Math.min(255, v));
  const out = { greys: [] as number[], labels: [] as number[], ties: [] as boolean[] };
  for (let i = 0; i < to * to; i++) {
    const { x, y } = placeOf(augmentation, to, i % to, Math.floor(i / to));
    const rows = triangle(top + (y + 0.5) * scale, scale);
    const columns = triangle(left + (x + 0.5) * scale, scale);
    let grey = within(filter(images, size, rows, columns, fill) * brightness);
    if (salt > 0) {
      const u = saltRng.uniform();
      grey = u < salt / 2 ? 0 : u < salt ? 255 : grey;
    }
    if (sigma > 0) grey = within(grey + sigma * noiseRng.normal());
    out.greys.push(grey);
    const [px, py] = [Math.round(x), Math.round(y)];
    const near = (v: number) => Math.abs(v - Math.floor(v) - 0.5) < 1e-3;
    const found = labelOf(labels, size, top + py * scale, left + px * scale, scale);
    out.labels.push(found.label);
    out.ties.push(found.tie || near(x) || near(y));
  }
  return out;
}

/** Where pixel [Y, X] of the augmented picture comes from: mirrors, then the rotation, then the zoom, each undone. */
function placeOf(motion: Augmentation, size: number, X: number, Y: number): { x: number; y: number } {
  const middle = (size - 1) / 2;
  const dx = (motion.mirrorHorizontal ? size - 1 - X : X) - middle;
  const dy = (motion.mirrorVertical ? size - 1 - Y : Y) - middle;
  const angle = (motion.degrees * Math.PI) / 180;
  const x = middle + Math.cos(angle) * dx + Math.sin(angle) * dy;
  const y = middle - Math.sin(angle) * dx + Math.cos(angle) * dy;
  const { zoom } = motion;
  return zoom ? { x: (x + 0.5 - zoom.left) / zoom.x - 0.5, y: (y + 0.5 - zoom.top) / zoom.y - 0.5 } : { x, y };
}

type Weights = [pixel: number, weight: number][];

/** Weights that sum to 1 of the pixels about `centre`, also of those outside. */
function triangle(centre: number, scale: number): Weights {
  const reach = Math.max(1, scale);
  const all = span(centre - reach - 1, centre + reach + 1).map((s): Weights[number] => [
    s,
    Math.max(0, 1 - Math.abs(s + 0.5 - centre) / reach),
  ]);
  const sum = all.reduce((n, [, w]) => n + w, 0);
  return all.map(([s, w]) => [s, w / sum]);
}

function span(low: number, high: number): number[] {
  const first = Math.floor(low);
  return Array.from({ length: Math.ceil(high) - first }, (_, i) => first + i);
}

function pixel(plane: Uint8Array, size: number, y: number, x: number, fill = 0): number {
  return y >= 0 && y < size && x >= 0 && x < size ? plane[y * size + x] : fill;
}

function filter(plane: Uint8Array, size: number, rows: Weights, columns: Weights, fill: number): number {
  let sum = 0;
  for (const [y, v] of rows) for (const [x, w] of columns) sum += v * w * pixel(plane, size, y, x, fill);
  return sum;
}

function labelOf(
  plane: Uint8Array,
  size: number,
  y: number,
  x: number,
  scale: number,
): { label: number; tie: boolean } {
  if (scale < 1 - 1e-9) {
    const [cy, cx] = [y + scale / 2, x + scale / 2];
    const tie = [cy, cx].some((c) => Math.abs(c - Math.round(c)) < 1e-3);
    return { label: pixel(plane, size, Math.floor(cy), Math.floor(cx)), tie };
  }
  const area = new Float64Array(256);
  const covered = (s: number, low: number) => Math.max(0, Math.min(low + scale, s + 1) - Math.max(low, s));
  for (const py of span(y - 1, y + scale + 1))
    for (const px of span(x - 1, x + scale + 1)) area[pixel(plane, size, py, px)] += covered(py, y) * covered(px, x);
  const [first, second] = [...area].map((a, label) => ({ a, label })).sort((p, q) => q.a - p.a || q.label - p.label);
  return { label: first.label, tie: first.a - second.a < 3e-3 };
}
