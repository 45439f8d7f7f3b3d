// One picture of what was found in a scan: axial slices from top to bottom and one coronal one, labels painted over the
// CT, and how many millilitres of each there are.

import { labelColors, overlayPanels, type Box, type PanelOptions } from "./overlay.ts";
import { textSize, write } from "./lettering.ts";
import { blank, grid, paint, paste, type Picture, type Rgb } from "./picture.ts";
import { resizeBilinear, resizeNearest, type Size } from "./resample.ts";
import type { Triple } from "./geometry.ts";

/** A scan and its labels, as a preview draws them. */
export interface PreviewCase {
  readonly name: string;
  /** [S, H, W] Hounsfield units, and labels on the same grid. */
  readonly image: Int16Array;
  readonly labels: Uint8Array;
  readonly shape: Triple;
  /** mm, in the order S, H, W. */
  readonly spacing: Triple;
  /** The header says where the patient's right is. */
  readonly oriented: boolean;
  /** HU shown as black and white; default as of the overlays. */
  readonly window?: readonly [black: number, white: number];
  /** Names of the labels, background first. */
  readonly classes: readonly string[];
  /** Millilitres by name. */
  readonly ml: Readonly<Record<string, number>>;
}

const [COLUMNS, AXIAL, PANEL] = [4, 7, 320];
const HEADER = 58;
const [INK, GREY, WHITE]: Rgb[] = [
  [20, 24, 32],
  [110, 116, 128],
  [255, 255, 255],
];

/** Seven axial slices and a coronal one with legend and volumes, about 1330 x 570 pixels. Left in it is the patient's right. */
export function preview(scan: PreviewCase): Picture {
  const found = boundsOf(scan);
  const tiles = axialSlices(scan, found).map((z) => axialTile(scan, z, found));
  tiles.push(coronalTile(scan, found));
  const sheet = grid(tiles, COLUMNS);
  const out = blank(sheet.width, HEADER + sheet.height, WHITE);
  paste(out, sheet, 0, HEADER);
  writeHeader(out, scan, found !== undefined);
  return out;
}

function writeHeader(out: Picture, { name, shape, spacing, classes, ml }: PreviewCase, found: boolean): void {
  write(out, name, 12, 10, INK, 2);
  const grid = `${shape.join(" X ")} VOXELS OF ${spacing.map((mm) => mm.toFixed(2)).join(" X ")} MM`;
  write(out, grid, out.width - 12 - textSize(grid).width, 10, GREY);
  if (!found) return write(out, "nothing found", 12, 36, GREY);
  let x = 12;
  classes.forEach((label, k) => {
    if (k === 0) return;
    paste(out, blank(14, 14, labelColors[k]), x, 36);
    const text = `${label} ${ml[label].toFixed(1)} ml`;
    write(out, text, x + 22, 36, INK);
    x += 22 + textSize(text).width + 34;
  });
}

/** What holds all labels, in voxels. */
interface Bounds {
  readonly slices: readonly [first: number, end: number];
  readonly box: Box;
}

/** Undefined where there are none. */
function boundsOf({ labels, shape: [S, H, W] }: PreviewCase): Bounds | undefined {
  let [z0, z1, y0, y1, x0, x1] = [S, 0, H, 0, W, 0];
  for (let z = 0, i = 0; z < S; z++)
    for (let y = 0; y < H; y++)
      for (let x = 0; x < W; x++, i++) {
        if (labels[i] === 0) continue;
        [z0, z1] = [Math.min(z0, z), z + 1];
        [y0, y1] = [Math.min(y0, y), Math.max(y1, y + 1)];
        [x0, x1] = [Math.min(x0, x), Math.max(x1, x + 1)];
      }
  return z1 === 0 ? undefined : { slices: [z0, z1], box: [y0, y1, x0, x1] };
}

/** Slices evenly between the first and the last with any label, the one with most of each label among them. */
function axialSlices(scan: PreviewCase, found?: Bounds): number[] {
  const [S] = scan.shape;
  const wanted = Math.min(AXIAL, S);
  const [first, end] = found?.slices ?? [0, S];
  const count = Math.max(end - first, wanted);
  const low = Math.min(Math.max(0, (first + end - count) >> 1), S - count);
  const picks = Array.from({ length: wanted }, (_, k) => low + Math.floor(((k + 0.5) * count) / wanted));
  const kept = new Set<number>();
  for (const z of largestSlices(scan)) {
    const free = picks.filter((pick) => !kept.has(pick));
    const nearest = free.reduce((best, pick) => (Math.abs(pick - z) < Math.abs(best - z) ? pick : best), free[0]);
    if (!kept.has(z) && free.length > 0) picks[picks.indexOf(nearest)] = z;
    kept.add(z);
  }
  return [...new Set(picks)].sort((a, b) => a - b);
}

/** For each label that is there, the slice with most of it. */
function largestSlices({ labels, shape: [S, H, W], classes }: PreviewCase): number[] {
  const areas = classes.map(() => new Float64Array(S));
  for (let z = 0, i = 0; z < S; z++) for (let k = 0; k < H * W; k++, i++) areas[labels[i]][z]++;
  return areas.slice(1).flatMap((area) => {
    const most = area.reduce((a, b) => Math.max(a, b), 0);
    return most > 0 ? [area.indexOf(most)] : [];
  });
}

function axialTile(
  { image, labels, shape: [, H, W], oriented, window }: PreviewCase,
  z: number,
  found?: Bounds,
): Picture {
  const cut = <T extends Int16Array | Uint8Array>(data: T) => data.subarray(z * H * W, (z + 1) * H * W) as T;
  const out = tile(cut(image), cut(labels), [H, W], { window, crop: found?.box });
  write(out, `slice ${z + 1}`, 6, 6, WHITE);
  if (oriented) writeSides(out);
  return out;
}

/** The coronal plane with most of the masses, or else of all labels, with square pixels. */
function coronalTile(scan: PreviewCase, found?: Bounds): Picture {
  const { image, labels, shape, spacing, oriented, window } = scan;
  const [S, H, W] = shape;
  const y = coronalPlane(labels, shape);
  const cut = (data: ArrayLike<number>) =>
    Float32Array.from({ length: S * W }, (_, i) => data[Math.floor(i / W) * H * W + y * W + (i % W)]);
  const rows = Math.max(1, Math.round((S * spacing[0]) / spacing[2]));
  const scale = rows / S;
  const to: Size = [rows, W];
  const row = (z: number) => Math.round(z * scale);
  const box: Box | undefined = found && [row(found.slices[0]), row(found.slices[1]), found.box[2], found.box[3]];
  const planes = [resizeBilinear(cut(image), [S, W], to), resizeNearest(cut(labels), [S, W], to)] as const;
  const out = tile(...planes, to, { window, crop: box });
  write(out, "coronal", 6, 6, WHITE);
  if (oriented) writeSides(out);
  return out;
}

function coronalPlane(labels: Uint8Array, [S, H, W]: Triple): number {
  const score = new Float64Array(H);
  for (let z = 0, i = 0; z < S; z++)
    for (let y = 0; y < H; y++) for (let x = 0; x < W; x++, i++) if (labels[i] > 0) score[y] += labels[i] > 1 ? 1e6 : 1;
  const most = score.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? score.indexOf(most) : H >> 1;
}

/** One plane with its labels over it, in the middle of a panel. */
function tile(
  image: ArrayLike<number>,
  labels: ArrayLike<number>,
  size: Size,
  { window, crop = "body" }: Pick<PanelOptions, "window" | "crop">,
): Picture {
  const panels = overlayPanels(
    { image, reference: labels, prediction: labels, size },
    { panel: PANEL, crop, window, opacity: 0.35 },
  );
  const part = paint(panels.image, panels.reference);
  const out = blank(PANEL, 0.75 * PANEL, [0, 0, 0]);
  paste(out, part, (out.width - part.width) >> 1, (out.height - part.height) >> 1);
  return out;
}

/** The patient's right is left in the picture, as radiologists look at it. */
function writeSides(out: Picture): void {
  const y = (out.height - textSize("R").height) >> 1;
  write(out, "R", 6, y, WHITE);
  write(out, "L", out.width - 4 - textSize("L").width, y, WHITE);
}
