// Pictures of segmentations: CT slice | reference | prediction | confidence, and a contact sheet of a test set.
// Colours are those of the paper's figure: kidney red, tumour blue, cyst green. Voxels are drawn as they are: labels
// and confidence are enlarged by nearest neighbour and never smoothed.

import { OptionError, ShapeError } from "../errors.ts";
import type { Labels, LabelVolume } from "./metrics.ts";
import { beside, blank, emptyLayer, grid, paint, paste, type Layer, type Picture, type Rgb } from "./picture.ts";
import { resizeBilinear, resizeNearest, type Size } from "./resample.ts";
import { sliceDefaults, windowRange } from "./slices.ts";

const USUAL = windowRange(sliceDefaults);

export { encodePng, grid, type Layer, type Picture, type Rgb } from "./picture.ts";

/** Colour per label: 1 kidney red, 2 tumour blue, 3 cyst green. */
export const labelColors: Readonly<Record<number, Rgb>> = { 1: [235, 54, 48], 2: [64, 128, 255], 3: [46, 204, 96] };

/** Colours of confidence from 0 to 1, evenly spaced: viridis, which is as readable in grey and to the colour-blind. */
export const confidenceColors: readonly Rgb[] = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 73, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [110, 206, 88],
  [181, 222, 43],
  [253, 231, 37],
];

/** What a panel shows, and how large. */
export interface PanelOptions {
  /** Width of one panel in pixels; default 320. Its height is three quarters of that: bodies are wider than high. */
  panel?: number;
  /** Values shown as black and white; default [-130, 410] HU, the usual training window. Give [0, 255] for 8-bit slices. */
  window?: readonly [black: number, white: number];
  /** What a panel shows: the whole slice, the body, the surroundings of the labels, or of a box. Default "labels". */
  crop?: "none" | "body" | "labels" | Box;
  /** Opacity of the fill, 0 to 1; default 0.45. Borders are opaque. */
  opacity?: number;
}

/** One axial slice: every plane is [H, W] with `size` = [H, W]. */
export interface OverlaySlice {
  image: ArrayLike<number>;
  reference: Labels;
  prediction: Labels;
  /** 1 to 255 is 0 to 1 inside the region that a network looked at, 0 is outside. Adds a fourth panel. */
  confidence?: ArrayLike<number>;
  size: Size;
}

/** One case: volumes of one shape [D, H, W]. */
export interface OverlayCase {
  id: string;
  image: { data: ArrayLike<number>; shape: readonly number[] };
  reference: Pick<LabelVolume, "data" | "shape">;
  prediction: Pick<LabelVolume, "data" | "shape">;
}

/** The parts of a slice's picture: a panel is the grey `image` with one of the layers painted over it. */
export interface OverlayPanels {
  image: Picture;
  reference: Layer;
  prediction: Layer;
  confidence?: Layer;
}

/** Settings of a sheet of panels. */
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

/** A sheet of panels, one row of slices per case. */
export interface ContactSheet extends Picture {
  rows: ContactSheetRow[];
}

const SEPARATOR = 2; // pixels between the panels of one slice
const SEPARATOR_COLOR: Rgb = [120, 120, 120];
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];
const ASPECT = 0.75; // height of a panel over its width

/** Pixels [y0, y1) x [x0, x1). */
export type Box = readonly [y0: number, y1: number, x0: number, x1: number];

/**
 * Draws one slice as image | reference | prediction, and | confidence where the slice has it. The light outline in the
 * prediction panel is the reference, so that an error shows at once: fill outside it is too much, no fill inside it is
 * missed. Throws ShapeError if the planes differ in size, OptionError on an unknown crop.
 */
export function overlaySlice(slice: OverlaySlice, options: PanelOptions = {}): Picture {
  const { panel = 320 } = options;
  const { image, reference, prediction, confidence } = overlayPanels(slice, options);
  const parts = [image, ...[reference, prediction, confidence].flatMap((layer) => (layer ? paint(image, layer) : []))];
  const height = Math.round(panel * ASPECT);
  const out = blank(parts.length * (panel + SEPARATOR) - SEPARATOR, height, SEPARATOR_COLOR);
  parts.forEach((part, k) => {
    const x = k * (panel + SEPARATOR);
    paste(out, blank(panel, height, BLACK), x, 0);
    paste(out, part, x + ((panel - part.width) >> 1), (height - part.height) >> 1);
  });
  return out;
}

/** The parts of `overlaySlice`, each no larger than a panel, for a page that lays them on each other. Throws as it. */
export function overlayPanels(slice: OverlaySlice, options: PanelOptions = {}): OverlayPanels {
  const { panel = 320, opacity = 0.45 } = options;
  checkSlice(slice, panel);
  const box = cropBox(slice, options);
  const scale = Math.min(Math.round(panel * ASPECT) / (box[1] - box[0]), panel / (box[3] - box[2]));
  const to: Size = [
    Math.max(1, Math.round((box[1] - box[0]) * scale)),
    Math.max(1, Math.round((box[3] - box[2]) * scale)),
  ];
  const image = greyPicture(slice, box, to, options.window ?? USUAL);
  const labels = enlarge(slice.reference, slice.size, box, to);
  const predicted = enlarge(slice.prediction, slice.size, box, to);
  const thickness = Math.max(1, Math.round(panel / 250));

  const reference = fillLayer(labels, to, opacity);
  outline(reference, labels, to, thickness, labelColor(0));
  const prediction = fillLayer(predicted, to, opacity);
  outline(prediction, labels, to, thickness, labelColor(0.6));
  if (!slice.confidence) return { image, reference, prediction };
  const confidence = confidenceLayer(enlarge(slice.confidence, slice.size, box, to), to);
  outline(confidence, predicted, to, thickness, () => WHITE);
  return { image, reference, prediction, confidence };
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
  const rows: ContactSheetRow[] = [];
  const tiles: Picture[] = [];
  for await (const one of cases) {
    const { tile, ...row } = caseTile(one, options);
    rows.push(row);
    tiles.push(tile);
  }
  if (tiles.length === 0) throw new OptionError("contactSheet: needs at least one case, found none");
  return { ...grid(tiles, options.columns), rows };
}

/** One line of a contact sheet, and which slices it shows. Throws ShapeError if the volumes differ in shape. */
export function caseTile(one: OverlayCase, options: PanelOptions = {}): ContactSheetRow & { tile: Picture } {
  const { panel = 256 } = options;
  checkCase(one);
  const picked = pickSlices(one.reference.data, one.prediction.data, one.reference.shape);
  const [first, second] = [picked.largest, picked.worst].map((z) =>
    overlaySlice(sliceOf(one, z), { ...options, panel }),
  );
  return { id: one.id, ...picked, tile: beside(first, second) };
}

/** Axial slice `z` of a case, as views of its volumes. */
export function sliceOf({ image, reference, prediction }: OverlayCase, z: number): OverlaySlice {
  const [, h, w] = image.shape;
  const cut = (data: ArrayLike<number>): ArrayLike<number> => viewOf(data, z * h * w, (z + 1) * h * w);
  return { image: cut(image.data), reference: cut(reference.data), prediction: cut(prediction.data), size: [h, w] };
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

function checkSlice(slice: OverlaySlice, panel: number): void {
  const { image, reference, prediction, confidence } = slice;
  const [h, w] = slice.size;
  if (!Number.isInteger(panel) || panel < 16) {
    throw new OptionError(`overlaySlice: panel must be a whole number of pixels from 16, found ${panel}`);
  }
  const lengths = [image, reference, prediction, ...(confidence ? [confidence] : [])].map(({ length }) => length);
  if (lengths.some((length) => length !== h * w)) {
    const planes = confidence ? "image, reference, prediction and confidence" : "image, reference and prediction";
    throw new ShapeError(`overlaySlice: ${planes} must be [${h},${w}], found ${lengths} elements`);
  }
}

function greyPicture(
  { image, size }: OverlaySlice,
  box: Box,
  to: Size,
  [black, white]: readonly [number, number],
): Picture {
  const plane = resizeBilinear(cropPlane(image, size, box), [box[1] - box[0], box[3] - box[2]], to);
  const out = blank(to[1], to[0], BLACK);
  plane.forEach((v, i) => {
    const grey = Math.round(255 * Math.min(1, Math.max(0, (v - black) / (white - black))));
    out.data.fill(grey, 3 * i, 3 * i + 3);
  });
  return out;
}

function enlarge(plane: ArrayLike<number>, size: Size, box: Box, to: Size): Uint8Array {
  return resizeNearest(cropPlane(plane, size, box), [box[1] - box[0], box[3] - box[2]], to);
}

function cropPlane(plane: ArrayLike<number>, [, w]: Size, [y0, y1, x0, x1]: Box): Float32Array {
  const out = new Float32Array((y1 - y0) * (x1 - x0));
  let o = 0;
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) out[o++] = plane[y * w + x];
  return out;
}

/** The part of the slice that is shown, with a margin. */
function cropBox(slice: OverlaySlice, { crop = "labels", window = USUAL }: PanelOptions): Box {
  const { size, image, reference, prediction } = slice;
  const whole: Box = [0, size[0], 0, size[1]];
  if (crop === "none") return whole;
  if (typeof crop === "object") return grow(crop, size, 0.2, 0.35);
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

function fillLayer(labels: Uint8Array, size: Size, opacity: number): Layer {
  const out = emptyLayer(size);
  for (let i = 0; i < labels.length; i++) {
    const color = labelColors[labels[i]];
    if (!color) continue;
    out.data.set(color, 3 * i);
    out.alpha[i] = opacity;
  }
  return out;
}

/** Colours inside the region, which cover the CT nearly; outside it the CT is darkened. */
function confidenceLayer(confidence: Uint8Array, size: Size): Layer {
  const out = emptyLayer(size);
  for (let i = 0; i < confidence.length; i++) {
    out.data.set(confidence[i] > 0 ? confidenceColor(confidence[i] / 255) : BLACK, 3 * i);
    out.alpha[i] = confidence[i] > 0 ? 0.85 : 0.5;
  }
  return out;
}

function confidenceColor(value: number): number[] {
  const place = value * (confidenceColors.length - 1);
  const low = Math.min(Math.floor(place), confidenceColors.length - 2);
  const share = place - low;
  return confidenceColors[low].map((v, k) => Math.round((1 - share) * v + share * confidenceColors[low + 1][k]));
}

/** The colour of a label with a share of white in it. */
function labelColor(white: number): (label: number) => Rgb {
  return (label) => {
    const [r, g, b] = labelColors[label].map((v) => Math.round(v + white * (255 - v)));
    return [r, g, b];
  };
}

/** Paints the inner border of every label, opaque: pixels with another label, or the edge, within `thickness`. */
function outline(out: Layer, labels: Uint8Array, [h, w]: Size, thickness: number, color: (label: number) => Rgb): void {
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const i = y * w + x;
      if (!labelColors[labels[i]]) continue;
      let border = y < thickness || x < thickness || y >= h - thickness || x >= w - thickness;
      for (let t = 1; t <= thickness && !border; t++) {
        border = [i - t, i + t, i - t * w, i + t * w].some((j) => labels[j] !== labels[i]);
      }
      if (!border) continue;
      out.data.set(color(labels[i]), 3 * i);
      out.alpha[i] = 1;
    }
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
