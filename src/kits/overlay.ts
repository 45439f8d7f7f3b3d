// Pictures of segmentations: CT slice | reference | prediction, and a contact sheet of a test set.
// Colours are those of the paper's figure: kidney red, tumour blue, cyst green. Voxels are drawn as they are: labels
// are enlarged by nearest neighbour and never smoothed.

import { encode } from "fast-png";
import { OptionError, ShapeError } from "../errors.ts";
import type { Labels, LabelVolume } from "./metrics.ts";
import { resizeBilinear, resizeNearest, type Size } from "./resample.ts";

/** An RGB picture: `data` is [height, width, 3], 8 bits each. */
export interface Picture {
  width: number;
  height: number;
  data: Uint8Array<ArrayBuffer>;
}

export type Rgb = readonly [red: number, green: number, blue: number];

/** Colour per label: 1 kidney red, 2 tumour blue, 3 cyst green. */
export const labelColors: Readonly<Record<number, Rgb>> = { 1: [235, 54, 48], 2: [64, 128, 255], 3: [46, 204, 96] };

export interface PanelOptions {
  /** Width of one panel in pixels; default 320. Its height is three quarters of that: bodies are wider than high. */
  panel?: number;
  /** Values shown as black and white; default [-130, 410] HU, the training window. Give [0, 255] for 8-bit slices. */
  window?: readonly [black: number, white: number];
  /** What a panel shows: the whole slice, the body, or the surroundings of the labels. Default "labels". */
  crop?: "none" | "body" | "labels";
  /** Opacity of the fill, 0 to 1; default 0.45. Borders are opaque. */
  opacity?: number;
}

/** One axial slice: `image`, `reference`, `prediction` are [H, W] with `size` = [H, W]. */
export interface OverlaySlice {
  image: ArrayLike<number>;
  reference: Labels;
  prediction: Labels;
  size: Size;
}

/** One case: three volumes of one shape [D, H, W]. */
export interface OverlayCase {
  id: string;
  image: { data: ArrayLike<number>; shape: readonly number[] };
  reference: Pick<LabelVolume, "data" | "shape">;
  prediction: Pick<LabelVolume, "data" | "shape">;
}

export interface ContactSheetOptions extends PanelOptions {
  /** Cases side by side; default 1. */
  columns?: number;
}

/** Where the slices of one case are in the sheet, for captions: slice numbers from 0. */
export interface ContactSheetRow {
  id: string;
  largest: number;
  worst: number;
  /** Mislabelled voxels in the worst slice. */
  worstErrors: number;
}

export interface ContactSheet extends Picture {
  rows: ContactSheetRow[];
}

const SEPARATOR = 2; // pixels between the panels of one slice
const GAP = 10; // pixels between slices and between cases
const SEPARATOR_COLOR: Rgb = [120, 120, 120];
const PAPER: Rgb = [255, 255, 255];

const ASPECT = 0.75; // height of a panel over its width

type Box = readonly [y0: number, y1: number, x0: number, x1: number];

/**
 * Draws one slice as image | reference | prediction. The light outline in the prediction panel is the reference, so
 * that an error shows at once: fill outside it is too much, no fill inside it is missed.
 * Throws ShapeError if the planes differ in size, OptionError on an unknown crop.
 */
export function overlaySlice(slice: OverlaySlice, options: PanelOptions = {}): Picture {
  const { panel = 320, opacity = 0.45 } = options;
  checkSlice(slice, panel);
  const box = cropBox(slice, options);
  const height = Math.round(panel * ASPECT);
  const scale = Math.min(height / (box[1] - box[0]), panel / (box[3] - box[2]));
  const to: Size = [
    Math.max(1, Math.round((box[1] - box[0]) * scale)),
    Math.max(1, Math.round((box[3] - box[2]) * scale)),
  ];
  const grey = greyPanel(slice, box, to, options.window ?? [-130, 410]);
  const reference = labelPanel(slice.reference, slice.size, box, to);
  const prediction = labelPanel(slice.prediction, slice.size, box, to);
  const thickness = Math.max(1, Math.round(panel / 250));

  const image = picture(to, (i) => [grey[i], grey[i], grey[i]]);
  const left = tint(image, reference, to, opacity, thickness);
  const right = tint(image, prediction, to, opacity, 0);
  outline(right, reference, to, thickness, 0.6);

  const out = blank(3 * panel + 2 * SEPARATOR, height, SEPARATOR_COLOR);
  [image, left, right].forEach((part, k) => {
    const x = k * (panel + SEPARATOR);
    paste(out, blank(panel, height, [0, 0, 0]), x, 0);
    paste(out, part, x + ((panel - part.width) >> 1), (height - part.height) >> 1);
  });
  return out;
}

/**
 * The two slices of a case worth a look. `largest`: most reference voxels. `worst`: most mislabelled voxels among the
 * others; not the lowest Dice, which is nearly always an end slice of a few voxels.
 */
export function pickSlices(
  reference: Labels,
  prediction: Labels,
  shape: readonly number[],
): Omit<ContactSheetRow, "id"> {
  const [d, h, w] = shape;
  const area = new Float64Array(d);
  const errors = new Float64Array(d);
  for (let z = 0; z < d; z++) {
    for (let i = z * h * w; i < (z + 1) * h * w; i++) {
      if (reference[i] > 0) area[z]++;
      if (reference[i] !== prediction[i]) errors[z]++;
    }
  }
  const largest = indexOfLargest(area);
  const worst = d === 1 ? 0 : indexOfLargest(errors, largest);
  return { largest, worst, worstErrors: errors[worst] };
}

/**
 * Draws every case on one line: its slice of largest reference area, then its worst slice (see `pickSlices`), each as
 * image | reference | prediction. `cases` may be asynchronous: only one case has to be in memory at a time.
 * Returns the picture and which slices it shows. Throws OptionError if there are no cases.
 */
export async function contactSheet(
  cases: Iterable<OverlayCase> | AsyncIterable<OverlayCase>,
  options: ContactSheetOptions = {},
): Promise<ContactSheet> {
  const { columns = 1, panel = 256 } = options;
  const rows: ContactSheetRow[] = [];
  const tiles: Picture[] = [];
  for await (const one of cases) {
    checkCase(one);
    const picked = pickSlices(one.reference.data, one.prediction.data, one.reference.shape);
    rows.push({ id: one.id, ...picked });
    const [first, second] = [picked.largest, picked.worst].map((z) =>
      overlaySlice(sliceOf(one, z), { ...options, panel }),
    );
    const tile = blank(first.width + GAP + second.width, first.height, PAPER);
    paste(tile, first, 0, 0);
    paste(tile, second, first.width + GAP, 0);
    tiles.push(tile);
  }
  if (tiles.length === 0) throw new OptionError("contactSheet: needs at least one case, found none");
  return { ...grid(tiles, columns), rows };
}

/** Axial slice `z` of a case, as views of its volumes. */
export function sliceOf({ image, reference, prediction }: OverlayCase, z: number): OverlaySlice {
  const [, h, w] = image.shape;
  const cut = (data: ArrayLike<number>): ArrayLike<number> => viewOf(data, z * h * w, (z + 1) * h * w);
  return { image: cut(image.data), reference: cut(reference.data), prediction: cut(prediction.data), size: [h, w] };
}

/** A picture as the bytes of a PNG file. */
export function encodePng({ width, height, data }: Picture): Uint8Array {
  return encode({ width, height, data, channels: 3, depth: 8 });
}

/** Pictures in a grid with gaps, filled line by line; all have the size of the first. */
export function grid(tiles: readonly Picture[], columns = 1): Picture {
  const { width, height } = tiles[0];
  const across = Math.min(columns, tiles.length);
  const down = Math.ceil(tiles.length / across);
  const out = blank(across * (width + GAP) + GAP, down * (height + GAP) + GAP, PAPER);
  tiles.forEach((tile, i) => {
    paste(out, tile, GAP + (i % across) * (width + GAP), GAP + Math.floor(i / across) * (height + GAP));
  });
  return out;
}

function viewOf(data: ArrayLike<number>, start: number, end: number): ArrayLike<number> {
  return ArrayBuffer.isView(data)
    ? (data as Uint8Array).subarray(start, end)
    : Array.prototype.slice.call(data, start, end);
}

function checkCase({ id, image, reference, prediction }: OverlayCase): void {
  for (const [name, other] of [
    ["reference", reference],
    ["prediction", prediction],
  ] as const) {
    if (other.shape.length === 3 && other.shape.every((n, axis) => n === image.shape[axis])) continue;
    throw new ShapeError(`${id}: ${name} must have the image's shape, found [${other.shape}] and [${image.shape}]`);
  }
}

function checkSlice({ image, reference, prediction, size: [h, w] }: OverlaySlice, panel: number): void {
  if (!Number.isInteger(panel) || panel < 16) {
    throw new OptionError(`overlaySlice: panel must be a whole number of pixels from 16, found ${panel}`);
  }
  const lengths = [image.length, reference.length, prediction.length];
  if (lengths.some((length) => length !== h * w)) {
    throw new ShapeError(
      `overlaySlice: image, reference and prediction must be [${h},${w}], found ${lengths} elements`,
    );
  }
}

function greyPanel(
  { image, size }: OverlaySlice,
  box: Box,
  to: Size,
  [black, white]: readonly [number, number],
): Uint8Array {
  const planes = resizeBilinear(cropPlane(image, size, box), [box[1] - box[0], box[3] - box[2]], to);
  return Uint8Array.from(planes, (v) => Math.round(255 * Math.min(1, Math.max(0, (v - black) / (white - black)))));
}

function labelPanel(labels: Labels, size: Size, box: Box, to: Size): Uint8Array {
  return resizeNearest(cropPlane(labels, size, box), [box[1] - box[0], box[3] - box[2]], to);
}

function cropPlane(plane: ArrayLike<number>, [, w]: Size, [y0, y1, x0, x1]: Box): Float32Array {
  const out = new Float32Array((y1 - y0) * (x1 - x0));
  let o = 0;
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) out[o++] = plane[y * w + x];
  return out;
}

/** The part of the slice that is shown, with a margin. */
function cropBox(slice: OverlaySlice, { crop = "labels", window = [-130, 410] }: PanelOptions): Box {
  const { size, image, reference, prediction } = slice;
  const whole: Box = [0, size[0], 0, size[1]];
  if (crop === "none") return whole;
  if (crop !== "body" && crop !== "labels") {
    throw new OptionError(
      `overlaySlice: crop must be none, body or labels, found ${String(crop)}; leave it out for labels`,
    );
  }
  if (crop === "labels") {
    const box = boundingBox(size, 1, (i) => reference[i] > 0 || prediction[i] > 0);
    if (box) return grow(box, size, 0.12, 0.35);
  }
  const tissue = window[0] + 0.1 * (window[1] - window[0]); // a tenth into the window: air is black, muscle is not
  const box = boundingBox(size, 3, (i) => image[i] > tissue); // lines with fewer pixels are noise, table, tubes
  return box ? grow(box, size, 0.02, 0.35) : whole;
}

/** The smallest box that holds every row and column with at least `least` pixels inside. */
function boundingBox([h, w]: Size, least: number, inside: (i: number) => boolean): Box | undefined {
  const perRow = new Int32Array(h);
  const perColumn = new Int32Array(w);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (!inside(y * w + x)) continue;
      perRow[y]++;
      perColumn[x]++;
    }
  }
  const enough = (n: number): boolean => n >= least;
  const y0 = perRow.findIndex(enough);
  const x0 = perColumn.findIndex(enough);
  if (y0 < 0 || x0 < 0) return undefined;
  return [y0, perRow.findLastIndex(enough) + 1, x0, perColumn.findLastIndex(enough) + 1];
}

/** Adds `margin` (a share of the box), then up to `least` (a share of the height), in the panel's aspect. */
function grow([y0, y1, x0, x1]: Box, [h, w]: Size, margin: number, least: number): Box {
  const wide = Math.max((x1 - x0) * (1 + 2 * margin), ((y1 - y0) * (1 + 2 * margin)) / ASPECT, (h * least) / ASPECT);
  const side = (a: number, b: number, length: number, n: number): [number, number] => {
    const taken = Math.min(n, Math.ceil(length));
    const start = Math.min(Math.max(0, Math.round((a + b - taken) / 2)), n - taken);
    return [start, start + taken];
  };
  const [top, bottom] = side(y0, y1, wide * ASPECT, h);
  const [left, right] = side(x0, x1, wide, w);
  return [top, bottom, left, right];
}

/** A copy of `image` with filled labels, and opaque borders if `thickness` > 0. */
function tint(image: Picture, labels: Uint8Array, size: Size, opacity: number, thickness: number): Picture {
  const out = { ...image, data: image.data.slice() };
  for (let i = 0; i < labels.length; i++) {
    const color = labelColors[labels[i]];
    if (!color) continue;
    for (let k = 0; k < 3; k++)
      out.data[3 * i + k] = Math.round((1 - opacity) * out.data[3 * i + k] + opacity * color[k]);
  }
  if (thickness > 0) outline(out, labels, size, thickness);
  return out;
}

/**
 * Paints the inner border of every label: pixels with another label, or the edge, within `thickness` pixels.
 * `white`: share of white mixed into the colour.
 */
function outline(out: Picture, labels: Uint8Array, [h, w]: Size, thickness: number, white = 0): void {
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const i = y * w + x;
      const color = labelColors[labels[i]];
      if (!color) continue;
      let border = y < thickness || x < thickness || y >= h - thickness || x >= w - thickness;
      for (let t = 1; t <= thickness && !border; t++) {
        border = [i - t, i + t, i - t * w, i + t * w].some((j) => labels[j] !== labels[i]);
      }
      if (border)
        out.data.set(
          color.map((v) => Math.round(v + white * (255 - v))),
          3 * i,
        );
    }
  }
}

function picture([height, width]: Size, color: (i: number) => Rgb): Picture {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) data.set(color(i), 3 * i);
  return { width, height, data };
}

function blank(width: number, height: number, color: Rgb): Picture {
  return picture([height, width], () => color);
}

function paste(out: Picture, part: Picture, x0: number, y0: number): void {
  for (let y = 0; y < part.height; y++) {
    const row = part.data.subarray(3 * y * part.width, 3 * (y + 1) * part.width);
    out.data.set(row, 3 * ((y0 + y) * out.width + x0));
  }
}

/** The index of the largest value, the middle one among equals that are all zero; `except` is left out. */
function indexOfLargest(values: Float64Array, except = -1): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (i !== except && (best < 0 || values[i] > values[best])) best = i;
  }
  const middle = values.length >> 1;
  return values[best] === 0 && middle !== except ? middle : best;
}
