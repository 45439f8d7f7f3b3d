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
  const moved = move(slice, angle, horizontal, vertical);
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

/**
 * Rotates by `degrees` about the middle (positive turns the picture clockwise), then mirrors. One pass over the target:
 * image bilinear, label nearest, 0 outside. Multiples of 90 degrees and mirrors are exact.
 */
export function move(slice: Slice, degrees: number, horizontal: boolean, vertical: boolean): Slice {
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
      const sx = cx + cos * dx + sin * dy;
      const sy = cy - sin * dx + cos * dy;
      const at = y * width + x;
      image[at] = bilinear(slice.image, height, width, sx, sy);
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

function bilinear(image: Uint8Array, height: number, width: number, x: number, y: number): number {
  const x0 = Math.floor(x);
  const y0 = Math.floor(y);
  const fx = x - x0;
  const fy = y - y0;
  const pixel = (py: number, px: number) =>
    py >= 0 && py < height && px >= 0 && px < width ? image[py * width + px] : 0;
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
