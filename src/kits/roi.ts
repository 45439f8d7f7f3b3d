// Regions of interest: the square of each axial slice that a stage of the cascade looks at, found in the labels of the
// stage before. Batches cut them out (batch.ts); the way back is restoreRoi in resample.ts.

import { OptionError, ShapeError } from "../errors.ts";
import type { Rng } from "../random.ts";
import { connectedComponents } from "./postprocess.ts";

/**
 * A square of a slice in fractions of its height and width, so that it holds on every grid: top left corner and side.
 * It may reach beyond the slice, where images and labels are 0.
 */
export interface Roi {
  y: number;
  x: number;
  side: number;
}

/** See RoiSource. */
export const ROI_SOURCES = ["slice", "neighbours", "case", "kidney", "full"] as const;

/**
 * Where a region came from: the slice's own labels, those of slices close by, of the whole case, the kidney's region
 * because the case has none of the labels, or the full slice because there is nothing at all.
 */
export type RoiSource = (typeof ROI_SOURCES)[number];

export interface SliceRoi extends Roi {
  source: RoiSource;
}

/** The regions of one case, slice by slice; null where the stage skips the slice. */
export type CaseRois = (SliceRoi | null)[];

export interface RoiOptions {
  /** The labels that the region must hold, as a list or a rule. */
  inside: readonly number[] | ((label: number) => boolean);
  /** Added on each side of the box, as a fraction of the slice; default 10/128. */
  margin?: number;
  /** An empty slice takes the boxes of this many slices before and after; default 2. */
  neighbours?: number;
  /** In-plane components (8-connected) of fewer pixels do not count; default 0, all count. */
  minPixels?: number;
  /** Regions for a case without any such label, per slice: the kidney's. Default: the full slice. */
  fallback?: readonly (SliceRoi | null)[];
  /** "none" gives null for every slice without such labels; default "fallback". */
  emptySlices?: "fallback" | "none";
}

/** Default margin: 10 pixels of a slice of 128. */
export const ROI_MARGIN = 10 / 128;
/** Default reach of the neighbour rule, in slices. */
export const ROI_NEIGHBOURS = 2;

/** Pixels [y0, y1) x [x0, x1). */
interface Box {
  y0: number;
  y1: number;
  x0: number;
  x1: number;
}

/**
 * The region of interest of every axial slice. `labels`: [S, H, W] with `shape` = [S, H, W]. A slice takes the box of
 * its own labels; without any, the union of the boxes within `neighbours` slices; then that of the case; then the
 * `fallback` or the full slice. Boxes are widened by `margin` and padded to a square about their centre. A fallback
 * counts as source "kidney" unless it is a full slice itself. Throws ShapeError if sizes differ, OptionError for
 * options out of range.
 */
export function roisOf(labels: Uint8Array, shape: readonly number[], options: RoiOptions): CaseRois {
  const [S, H, W] = shape;
  const { margin = ROI_MARGIN, neighbours = ROI_NEIGHBOURS, minPixels = 0, fallback, emptySlices } = options;
  if (shape.length !== 3 || S * H * W !== labels.length || labels.length === 0) {
    throw new ShapeError(`roisOf: labels must fill shape [S, H, W], found ${labels.length} voxels for [${shape}]`);
  }
  if (fallback && fallback.length !== S) {
    throw new ShapeError(`roisOf: fallback must hold one region per slice, found ${fallback.length} for ${S} slices`);
  }
  checkOptions(margin, neighbours, minPixels);
  const table = insideTable(options.inside);
  const boxes = Array.from({ length: S }, (_, s) =>
    sliceBox(labels.subarray(s * H * W, (s + 1) * H * W), H, W, table, minPixels),
  );
  const whole = union(boxes);
  const make = (box: Box, source: RoiSource): SliceRoi => ({ ...squareAbout(box, H, W, margin), source });
  return boxes.map((box, s) => {
    if (box) return make(box, "slice");
    if (emptySlices === "none") return null;
    const near = union(boxes.slice(Math.max(0, s - neighbours), s + neighbours + 1));
    if (near) return make(near, "neighbours");
    if (whole) return make(whole, "case");
    const given = fallback?.[s];
    return given ? { ...given, source: given.source === "full" ? "full" : "kidney" } : fullRoi();
  });
}

function checkOptions(margin: number, neighbours: number, minPixels: number): void {
  if (!(margin >= 0 && Number.isFinite(margin))) {
    throw new OptionError(`roisOf: margin must be a fraction of at least 0, found ${margin}; the default is 10/128`);
  }
  if (!(Number.isInteger(neighbours) && neighbours >= 0)) {
    throw new OptionError(`roisOf: neighbours must be a whole number of slices from 0, found ${neighbours}`);
  }
  if (!(minPixels >= 0)) throw new OptionError(`roisOf: minPixels must be at least 0, found ${minPixels}`);
}

/** The whole slice as region, for every one of `slices` slices. */
export function fullRois(slices: number): SliceRoi[] {
  if (!(Number.isInteger(slices) && slices >= 0)) {
    throw new OptionError(`fullRois: slices must be a whole number from 0, found ${slices}`);
  }
  return Array.from({ length: slices }, fullRoi);
}

function fullRoi(): SliceRoi {
  return { y: 0, x: 0, side: 1, source: "full" };
}

function insideTable(inside: RoiOptions["inside"]): Uint8Array {
  const has = typeof inside === "function" ? inside : (label: number) => inside.includes(label);
  return Uint8Array.from({ length: 256 }, (_, label) => (has(label) ? 1 : 0));
}

/** The box of one slice, or null. A row is searched from both ends and only as far as it could widen the box. */
function sliceBox(slice: Uint8Array, H: number, W: number, table: Uint8Array, minPixels: number): Box | null {
  let [y0, y1, x0, x1] = [H, 0, W, 0];
  for (let y = 0; y < H; y++) {
    const row = y * W;
    let left = 0;
    while (left < W && table[slice[row + left]] === 0) left++;
    if (left === W) continue;
    let right = W;
    while (right > x1 && table[slice[row + right - 1]] === 0) right--;
    if (y < y0) y0 = y;
    y1 = y + 1;
    if (left < x0) x0 = left;
    if (right > x1) x1 = right;
  }
  if (y1 === 0) return null;
  return minPixels > 1 ? boxOfLarge(slice, H, W, table, minPixels) : { y0, y1, x0, x1 };
}

function boxOfLarge(slice: Uint8Array, H: number, W: number, table: Uint8Array, minPixels: number): Box | null {
  const labels = [...table.keys()].filter((label) => table[label] === 1);
  const { components } = connectedComponents(slice, [1, H, W], { labels });
  const large = components.filter((component) => component.voxels >= minPixels);
  return union(large.map(({ box: [, [y0, y1], [x0, x1]] }) => ({ y0, y1, x0, x1 })));
}

function union(boxes: readonly (Box | null)[]): Box | null {
  let all: Box | null = null;
  for (const box of boxes) {
    if (!box) continue;
    all ??= { ...box };
    all.y0 = Math.min(all.y0, box.y0);
    all.y1 = Math.max(all.y1, box.y1);
    all.x0 = Math.min(all.x0, box.x0);
    all.x1 = Math.max(all.x1, box.x1);
  }
  return all;
}

function squareAbout({ y0, y1, x0, x1 }: Box, H: number, W: number, margin: number): Roi {
  const side = Math.max((y1 - y0) / H, (x1 - x0) / W) + 2 * margin;
  return { y: (y0 + y1) / (2 * H) - side / 2, x: (x0 + x1) / (2 * W) - side / 2, side };
}

/**
 * A region moved and resized at random, for training: the centre shifts by up to `jitter` of the side on each axis and
 * the side becomes 1 - jitter to 1 + 2 * jitter times as long. Advances `rng` by three. Throws OptionError unless
 * 0 <= jitter < 1.
 */
export function jitterRoi(roi: Roi, rng: Rng, jitter: number): Roi {
  checkRoi("jitterRoi", roi);
  if (!(jitter >= 0 && jitter < 1)) {
    throw new OptionError(`jitterRoi: jitter must be a share of the side in [0, 1), found ${jitter}`);
  }
  const dy = rng.range(-jitter, jitter) * roi.side;
  const dx = rng.range(-jitter, jitter) * roi.side;
  const side = roi.side * rng.range(1 - jitter, 1 + 2 * jitter);
  const grown = (roi.side - side) / 2;
  return { y: roi.y + dy + grown, x: roi.x + dx + grown, side };
}

/** Throws OptionError unless `roi` has finite numbers and a positive side. */
export function checkRoi(op: string, { y, x, side }: Roi): void {
  if (Number.isFinite(y) && Number.isFinite(x) && Number.isFinite(side) && side > 0) return;
  throw new OptionError(
    `${op}: roi must have a corner and a positive side in fractions of the slice, ` +
      `found y ${y}, x ${x}, side ${side}`,
  );
}
