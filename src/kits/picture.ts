// Small pictures in memory: paint layers on them, put them side by side, write them as PNG.

import { encode } from "fast-png";
import type { Size } from "./resample.ts";

/** A colour, 0 to 255 each. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** An RGB picture: `data` is [height, width, 3], 8 bits each. */
export interface Picture {
  width: number;
  height: number;
  data: Uint8Array<ArrayBuffer>;
}

/** What is painted over a picture of the same size: colours, and their opacity `alpha` [height, width] from 0 to 1. */
export interface Layer extends Picture {
  alpha: Float32Array;
}

const GAP = 10; // pixels between the pictures of a grid
const PAPER: Rgb = [255, 255, 255];

/** A picture of one colour. */
export function blank(width: number, height: number, color: Rgb): Picture {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) data.set(color, 3 * i);
  return { width, height, data };
}

/** A layer that hides nothing. */
export function emptyLayer([height, width]: Size): Layer {
  return { width, height, data: new Uint8Array(3 * width * height), alpha: new Float32Array(width * height) };
}

/** `picture` with `layer` painted over it; both keep their pixels. */
export function paint(picture: Picture, layer: Layer): Picture {
  const data = picture.data.slice();
  layer.alpha.forEach((alpha, i) => {
    if (alpha === 0) return;
    for (let k = 3 * i; k < 3 * i + 3; k++) data[k] = Math.round((1 - alpha) * data[k] + alpha * layer.data[k]);
  });
  return { ...picture, data };
}

/** Copies `part` into `out` with its top-left corner at `x0`, `y0`; it must lie inside. */
export function paste(out: Picture, part: Picture, x0: number, y0: number): void {
  for (let y = 0; y < part.height; y++) {
    const row = part.data.subarray(3 * y * part.width, 3 * (y + 1) * part.width);
    out.data.set(row, 3 * ((y0 + y) * out.width + x0));
  }
}

/** Pictures in a grid with gaps of the colour `paper`, filled line by line; all have the size of the first. */
export function grid(tiles: readonly Picture[], columns = 1, paper: Rgb = PAPER): Picture {
  const { width, height } = tiles[0];
  const across = Math.min(columns, tiles.length);
  const down = Math.ceil(tiles.length / across);
  const out = blank(across * (width + GAP) + GAP, down * (height + GAP) + GAP, paper);
  tiles.forEach((tile, i) => {
    paste(out, tile, GAP + (i % across) * (width + GAP), GAP + Math.floor(i / across) * (height + GAP));
  });
  return out;
}

/** Two pictures of one height with a gap between them. */
export function beside(first: Picture, second: Picture): Picture {
  const out = blank(first.width + GAP + second.width, first.height, PAPER);
  paste(out, first, 0, 0);
  paste(out, second, first.width + GAP, 0);
  return out;
}

/** A picture as the bytes of a PNG file. */
export function encodePng({ width, height, data }: Picture): Uint8Array {
  return encode({ width, height, data, channels: 3, depth: 8 });
}

/** The red channel of a grey picture as the bytes of a PNG file with one channel. */
export function encodeGreyPng({ width, height, data }: Picture): Uint8Array {
  return encode({ width, height, data: data.filter((_, i) => i % 3 === 0), channels: 1, depth: 8 });
}

/** A layer as the bytes of a PNG file with an opacity channel. */
export function encodeLayerPng({ width, height, data, alpha }: Layer): Uint8Array {
  const rgba = new Uint8Array(4 * width * height);
  alpha.forEach((a, i) => {
    rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    rgba[4 * i + 3] = Math.round(255 * a);
  });
  return encode({ width, height, data: rgba, channels: 4, depth: 8 });
}
