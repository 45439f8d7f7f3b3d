// The augmentation of MSALDS-UNet (section 3.2): rotation, horizontal and vertical mirror, salt-and-pepper, Gaussian
// noise. Image and label move together; noise touches the image only. Works on uint8 slices, before they become
// batches.
import { OptionError, ShapeError } from "../errors.ts";
import { Rng } from "../random.ts";

/** Probabilities and strengths. A probability of 0 switches that part off. */
export interface AugmentOptions {
  /** Rotation by a random angle of at most `maxDegrees`; default probability 0.5, 15 degrees. */
  rotate: number;
  maxDegrees: number;
  /** Rotation by 90, 180 or 270 degrees instead; default 0. For square slices. */
  quarterTurn: number;
  /** Mirror left and right, and top and bottom; default 0.5 each. */
  mirrorHorizontal: number;
  mirrorVertical: number;
  /** Salt and pepper on `saltPepperAmount` of the pixels, half each; default probability 0.2, amount 0.01. */
  saltPepper: number;
  saltPepperAmount: number;
  /** Gaussian noise with a standard deviation of up to `noiseSigma` grey levels; default probability 0.2, 8. */
  noise: number;
  noiseSigma: number;
  /**
   * Resizing by a factor in `zoomRange`, with width over height changed by up to (1 + aspect) / (1 - aspect) either
   * way, laid at a random place on grey `fill`; default probability 0.
   */
  zoom: number;
  zoomRange: [low: number, high: number];
  aspect: number;
  /** Grey levels times a factor in 1 +- `brightnessRange`; default probability 0. */
  brightness: number;
  brightnessRange: number;
  /** Grey level of what a rotation or zoom uncovers; default 0, air. */
  fill: number;
}

export const augmentDefaults: AugmentOptions = {
  rotate: 0.5,
  maxDegrees: 15,
  quarterTurn: 0,
  mirrorHorizontal: 0.5,
  mirrorVertical: 0.5,
  saltPepper: 0.2,
  saltPepperAmount: 0.01,
  noise: 0.2,
  noiseSigma: 8,
  zoom: 0,
  zoomRange: [0.25, 2],
  aspect: 0.3,
  brightness: 0,
  brightnessRange: 0.3,
  fill: 0,
};

/** No augmentation: every probability 0. */
export const augmentNone: AugmentOptions = {
  ...augmentDefaults,
  rotate: 0,
  quarterTurn: 0,
  mirrorHorizontal: 0,
  mirrorVertical: 0,
  saltPepper: 0,
  noise: 0,
};

/** What the loader in the authors' published code does instead: zoom and aspect on grey, left-right mirror, brightness. */
export const augmentRelease: AugmentOptions = {
  ...augmentNone,
  mirrorHorizontal: 0.5,
  zoom: 1,
  brightness: 1,
  fill: 128,
};

/** An image and its label, [H, W] uint8 each. */
export interface Slice {
  image: Uint8Array;
  label: Uint8Array;
  height: number;
  width: number;
}

/** The random numbers of one sample: the same for the same (seed, epoch, sample), whatever was drawn before. */
export function augmentRng(seed: number, epoch: number, sample: number): Rng {
  return new Rng(seed, "augment").fork(epoch).fork(sample);
}

/**
 * A new, augmented slice; `slice` is left as it is. Rotations fill with 0 (air, background), images bilinear, labels
 * nearest. Throws ShapeError if image and label differ in size, OptionError for a probability outside [0, 1] or a
 * quarter turn of a slice that is not square.
 */
export function augment(slice: Slice, rng: Rng, options: Partial<AugmentOptions> = {}): Slice {
  const all = { ...augmentDefaults, ...options };
  check(slice, all);
  // Each part has its own stream: switching one off leaves the others' draws unchanged.
  const { angle, horizontal, vertical } = drawMotion(rng.fork("motion"), all);
  const moved = move(slice, angle, horizontal, vertical, {
    zoom: drawZoom(rng.fork("zoom"), all, slice),
    fill: all.fill,
  });
  brighten(moved.image, rng.fork("brightness"), all);
  saltAndPepper(moved.image, rng.fork("salt and pepper"), all);
  gaussianNoise(moved.image, rng.fork("noise"), all);
  return moved;
}

const PROBABILITIES = [
  "rotate",
  "quarterTurn",
  "mirrorHorizontal",
  "mirrorVertical",
  "saltPepper",
  "saltPepperAmount",
  "noise",
  "zoom",
  "brightness",
] as const;

function check({ image, label, height, width }: Slice, options: AugmentOptions): void {
  if (image.length !== height * width || label.length !== height * width) {
    throw new ShapeError(
      `augment: image and label must hold [${height}, ${width}] pixels, found ${image.length} and ${label.length}`,
    );
  }
  for (const name of PROBABILITIES) {
    if (!(options[name] >= 0 && options[name] <= 1)) {
      throw new OptionError(`augment: ${name} must be from 0 to 1, found ${options[name]}`);
    }
  }
  if (!(options.maxDegrees >= 0 && options.noiseSigma >= 0)) {
    throw new OptionError(
      `augment: maxDegrees and noiseSigma must be at least 0, found ${options.maxDegrees} and ${options.noiseSigma}`,
    );
  }
  const [low, high] = options.zoomRange;
  if (!(low > 0 && high >= low && options.aspect >= 0 && options.aspect < 1)) {
    throw new OptionError(
      `augment: zoomRange must be two factors above 0, the smaller first, and aspect below 1, found ${low}, ${high} and ${options.aspect}`,
    );
  }
  if (options.quarterTurn > 0 && height !== width) {
    throw new OptionError(`augment: quarterTurn needs square slices, found ${height} x ${width}; set it to 0`);
  }
}

/** Draws in a fixed order and number, so that one option does not shift the numbers of another. */
function drawMotion(rng: Rng, options: AugmentOptions): { angle: number; horizontal: boolean; vertical: boolean } {
  const [rotate, degrees, turn, horizontal, vertical] = Array.from({ length: 5 }, () => rng.uniform());
  const quarters = 1 + rng.integer(3);
  const turns = turn < options.quarterTurn ? 90 * quarters : 0;
  const small = rotate < options.rotate ? (2 * degrees - 1) * options.maxDegrees : 0;
  return {
    angle: turns + small,
    horizontal: horizontal < options.mirrorHorizontal,
    vertical: vertical < options.mirrorVertical,
  };
}

/** A resized picture: factors of its height and width, and the pixel where its top left corner comes to lie. */
export interface Zoom {
  y: number;
  x: number;
  top: number;
  left: number;
}

function drawZoom(rng: Rng, { zoom, zoomRange, aspect }: AugmentOptions, { height, width }: Slice): Zoom | null {
  const [chance, wide, high, factor, across, down] = Array.from({ length: 6 }, () => rng.uniform());
  if (chance >= zoom) return null;
  const stretch = (1 + aspect * (2 * wide - 1)) / (1 + aspect * (2 * high - 1));
  const size = zoomRange[0] + (zoomRange[1] - zoomRange[0]) * factor;
  const [y, x] = stretch < 1 ? [size, size * stretch] : [size / stretch, size];
  return { y, x, top: down * height * (1 - y), left: across * width * (1 - x) };
}

function brighten(image: Uint8Array, rng: Rng, { brightness, brightnessRange }: AugmentOptions): void {
  if (rng.uniform() >= brightness) return;
  const factor = 1 + brightnessRange * (2 * rng.uniform() - 1);
  for (let i = 0; i < image.length; i++) image[i] = Math.max(0, Math.min(255, Math.round(image[i] * factor)));
}

/**
 * Zooms, then rotates by `degrees` about the middle (positive turns the picture clockwise), then mirrors. One pass over the target:
 * image bilinear, label nearest, `fill` and label 0 outside. Multiples of 90 degrees and mirrors are exact.
 */
export function move(
  slice: Slice,
  degrees: number,
  horizontal: boolean,
  vertical: boolean,
  { zoom = null, fill = 0 }: { zoom?: Zoom | null; fill?: number } = {},
): Slice {
  const { height, width } = slice;
  const image = new Uint8Array(height * width);
  const label = new Uint8Array(height * width);
  const [cos, sin] = cosSin(degrees);
  const cy = (height - 1) / 2;
  const cx = (width - 1) / 2;
  for (let y = 0; y < height; y++) {
    const dy = (vertical ? height - 1 - y : y) - cy;
    for (let x = 0; x < width; x++) {
      const dx = (horizontal ? width - 1 - x : x) - cx;
      let sx = cx + cos * dx + sin * dy;
      let sy = cy - sin * dx + cos * dy;
      if (zoom) {
        sx = (sx + 0.5 - zoom.left) / zoom.x - 0.5;
        sy = (sy + 0.5 - zoom.top) / zoom.y - 0.5;
      }
      const at = y * width + x;
      image[at] = bilinear(slice.image, height, width, sx, sy, fill);
      label[at] = nearest(slice.label, height, width, sx, sy);
    }
  }
  return { image, label, height, width };
}

/** Exact for multiples of 90 degrees, where Math.cos leaves 6e-17. */
function cosSin(degrees: number): [number, number] {
  const quarter = (((degrees / 90) % 4) + 4) % 4;
  if (Number.isInteger(quarter))
    return [
      [1, 0],
      [0, 1],
      [-1, 0],
      [0, -1],
    ][quarter] as [number, number];
  const radians = (degrees * Math.PI) / 180;
  return [Math.cos(radians), Math.sin(radians)];
}

function bilinear(image: Uint8Array, height: number, width: number, x: number, y: number, fill: number): number {
  const x0 = Math.floor(x);
  const y0 = Math.floor(y);
  const fx = x - x0;
  const fy = y - y0;
  const pixel = (py: number, px: number) =>
    py >= 0 && py < height && px >= 0 && px < width ? image[py * width + px] : fill;
  const top = pixel(y0, x0) * (1 - fx) + pixel(y0, x0 + 1) * fx;
  const bottom = pixel(y0 + 1, x0) * (1 - fx) + pixel(y0 + 1, x0 + 1) * fx;
  return Math.round(top * (1 - fy) + bottom * fy);
}

function nearest(label: Uint8Array, height: number, width: number, x: number, y: number): number {
  const px = Math.round(x);
  const py = Math.round(y);
  return py >= 0 && py < height && px >= 0 && px < width ? label[py * width + px] : 0;
}

function saltAndPepper(image: Uint8Array, rng: Rng, options: AugmentOptions): void {
  if (rng.uniform() >= options.saltPepper) return;
  const pepper = options.saltPepperAmount / 2;
  for (let i = 0; i < image.length; i++) {
    const u = rng.uniform();
    if (u < pepper) image[i] = 0;
    else if (u < options.saltPepperAmount) image[i] = 255;
  }
}

function gaussianNoise(image: Uint8Array, rng: Rng, options: AugmentOptions): void {
  if (rng.uniform() >= options.noise) return;
  const sigma = rng.uniform() * options.noiseSigma;
  for (let i = 0; i < image.length; i++) {
    image[i] = Math.max(0, Math.min(255, Math.round(image[i] + sigma * rng.normal())));
  }
}
