// One case of the built-in synthetic phantom, drawn in memory from analytic shapes.

import { Rng } from "../random.ts";
import { kitsGeometry } from "./geometry.ts";
import type { Geometry, Triple } from "./geometry.ts";
import { drawAnatomy, sample } from "./phantom_anatomy.ts";
import type { Anatomy, Point } from "./phantom_anatomy.ts";

/** What the phantom is made of. All of it is written to phantom.json. */
export interface PhantomOptions {
  /** Cases; default 12. */
  cases: number;
  /** Slices per case, before variation; default 24. */
  slices: number;
  /** Rows and columns; default 96. */
  size: number;
  /** Default 0. */
  seed: number;
  /** Standard deviation of the noise in HU; default 14. */
  noise: number;
}

/** The phantom that train:kits draws. */
export const phantomDefaults: PhantomOptions = { cases: 12, slices: 24, size: 96, seed: 0, noise: 14 };
const HEIGHT = 190; // mm of body that is scanned, before variation
const FIELD = 345; // mm across the picture, before variation

/** One case in memory: `image` [S, H, W] HU and `label` [S, H, W]. */
export interface PhantomCase {
  geometry: Geometry;
  image: Int16Array<ArrayBuffer>;
  label: Uint8Array<ArrayBuffer>;
}

/**
 * Draws case `index`. A case depends on the options and its index only, so the same seed gives the same bytes. Slice
 * counts and spacings vary from case to case. Labels are exact at voxel centres; intensities are averaged over the
 * voxel.
 */
export function drawPhantomCase(index: number, options: Partial<PhantomOptions> = {}): PhantomCase {
  const { slices, size, seed, noise } = { ...phantomDefaults, ...options };
  const rng = new Rng(seed, "phantom").fork(index);
  const shape: Triple = [Math.max(1, Math.round(slices * rng.range(0.85, 1.2))), size, size];
  const height = HEIGHT * rng.range(0.9, 1.05);
  const inPlane = (FIELD * rng.range(0.95, 1.05)) / size;
  const geometry = kitsGeometry(shape, [round3(height / shape[0]), round3(inPlane), round3(inPlane)]);
  const anatomy = drawAnatomy(rng.fork("anatomy"));
  const { image, label } = render(anatomy, geometry);
  addNoise(image, geometry.shape, noise, rng.fork("noise"));
  return { geometry, image: Int16Array.from(image, (v) => Math.round(Math.max(-1024, Math.min(3071, v)))), label };
}

function render(anatomy: Anatomy, { shape, spacing }: Geometry) {
  const [S, H, W] = shape;
  const image = new Float32Array(S * H * W);
  const label = new Uint8Array(S * H * W);
  const point: Point = { hu: 0, label: 0 };
  let at = 0;
  for (let s = 0; s < S; s++) {
    const z = (s - (S - 1) / 2) * spacing[0];
    for (let h = 0; h < H; h++) {
      const y = (h - (H - 1) / 2) * spacing[1] - 6; // room for the table
      for (let w = 0; w < W; w++, at++) {
        const x = (w - (W - 1) / 2) * spacing[2];
        image[at] = meanHu(anatomy, x, y, z, spacing, point);
        label[at] = sample(anatomy, x, y, z, point).label;
      }
    }
  }
  return { image, label };
}

/** Four points of the voxel, a quarter off its centre in each direction: the partial-volume blur of a scanner. */
function meanHu(anatomy: Anatomy, x: number, y: number, z: number, spacing: Triple, point: Point): number {
  const [dz, dy, dx] = spacing.map((v) => v / 4);
  let sum = 0;
  sum += sample(anatomy, x - dx, y - dy, z - dz, point).hu;
  sum += sample(anatomy, x + dx, y - dy, z + dz, point).hu;
  sum += sample(anatomy, x - dx, y + dy, z + dz, point).hu;
  sum += sample(anatomy, x + dx, y + dy, z - dz, point).hu;
  return sum / 4;
}

/** Gaussian noise, smoothed along rows as reconstruction filters do, with its standard deviation kept. */
function addNoise(image: Float32Array, [S, H, W]: Triple, sigma: number, rng: Rng): void {
  if (sigma === 0) return;
  const keep = 1 / Math.sqrt(0.25 * 0.25 + 0.5 * 0.5 + 0.25 * 0.25);
  const row = new Float32Array(W + 2);
  for (let r = 0; r < S * H; r++) {
    for (let w = 0; w < W + 2; w++) row[w] = rng.normal();
    for (let w = 0; w < W; w++)
      image[r * W + w] += sigma * keep * (0.25 * row[w] + 0.5 * row[w + 1] + 0.25 * row[w + 2]);
  }
}

function round3(v: number): number {
  return Math.round(v * 1000) / 1000;
}
