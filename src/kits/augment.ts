// The augmentation of MSALDS-UNet (section 3.2): rotation, horizontal and vertical mirror, salt-and-pepper, Gaussian
// noise. Image and label move together; noise touches the image only. Here it is drawn, as a few numbers per slice;
// wgsl/slice_batch.wgsl does it.
import { OptionError } from "../errors.ts";
import { Rng } from "../random.ts";

/** Probabilities and strengths. A probability of 0 switches that part off. */
export interface AugmentOptions {
  /** Rotation by a random angle of at most `maxDegrees`; default probability 0.5, 15 degrees. */
  rotate: number;
  maxDegrees: number;
  /** Rotation by 90, 180 or 270 degrees as well; default 0. */
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
  /** Grey level outside of the slice, where a rotation or zoom shows it; default 0, air. */
  fill: number;
}

/** The augmentation of the paper's text. */
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

/** The random numbers of one sample: the same for the same (seed, epoch, sample), whatever was drawn before. */
export function augmentRng(seed: number, epoch: number, sample: number): Rng {
  return new Rng(seed, "augment").fork(epoch).fork(sample);
}

/** A resized picture: factors of its height and width, and the pixel where its top left corner comes to lie. */
export interface Zoom {
  y: number;
  x: number;
  top: number;
  left: number;
}

/** What is done with one slice, in this order: zoom, rotation about the middle, mirrors; brightness; salt and pepper; noise. */
export interface Augmentation {
  zoom: Zoom | null;
  /** Positive turns the picture clockwise. */
  degrees: number;
  mirrorHorizontal: boolean;
  mirrorVertical: boolean;
  /** Grey level outside of the slice; its label is 0. */
  fill: number;
  /** Factor of the grey levels. */
  brightness: number;
  /** Share of the pixels that become 0 or 255, half each; pixel i, counted row by row, has draw i of `saltRng`. */
  salt: number;
  saltRng: Rng;
  /** Standard deviation in grey levels; pixel i has draws 2i and 2i + 1 of `noiseRng`. */
  sigma: number;
  noiseRng: Rng;
}

/**
 * Draws what is done with a slice of `size` x `size` pixels. Throws OptionError for a probability outside [0, 1] or a
 * strength out of range.
 */
export function drawAugmentation(rng: Rng, size: number, options: Partial<AugmentOptions> = {}): Augmentation {
  const all = { ...augmentDefaults, ...options };
  check(all);
  // Each part has its own stream: switching one off leaves the others' draws unchanged.
  const [brightnessRng, saltRng, noiseRng] = ["brightness", "salt and pepper", "noise"].map((name) => rng.fork(name));
  const brightness =
    brightnessRng.uniform() < all.brightness ? 1 + all.brightnessRange * (2 * brightnessRng.uniform() - 1) : 1;
  const salt = saltRng.uniform() < all.saltPepper ? all.saltPepperAmount : 0;
  const sigma = noiseRng.uniform() < all.noise ? noiseRng.uniform() * all.noiseSigma : 0;
  return {
    zoom: drawZoom(rng.fork("zoom"), all, size),
    ...drawMotion(rng.fork("motion"), all),
    fill: all.fill,
    ...{ brightness, salt, saltRng, sigma, noiseRng },
  };
}

/** What is done with a slice that is not augmented: nothing. */
export const unaugmented: Augmentation = {
  ...{ zoom: null, degrees: 0, mirrorHorizontal: false, mirrorVertical: false, fill: 0, brightness: 1 },
  ...{ salt: 0, saltRng: new Rng(0), sigma: 0, noiseRng: new Rng(0) },
};

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

function check(options: AugmentOptions): void {
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
}

/** Draws in a fixed order and number, so that one option does not shift the numbers of another. */
function drawMotion(
  rng: Rng,
  options: AugmentOptions,
): Pick<Augmentation, "degrees" | "mirrorHorizontal" | "mirrorVertical"> {
  const [rotate, degrees, turn, horizontal, vertical] = Array.from({ length: 5 }, () => rng.uniform());
  const quarters = 1 + rng.integer(3);
  const turns = turn < options.quarterTurn ? 90 * quarters : 0;
  const small = rotate < options.rotate ? (2 * degrees - 1) * options.maxDegrees : 0;
  return {
    degrees: turns + small,
    mirrorHorizontal: horizontal < options.mirrorHorizontal,
    mirrorVertical: vertical < options.mirrorVertical,
  };
}

function drawZoom(rng: Rng, { zoom, zoomRange, aspect }: AugmentOptions, size: number): Zoom | null {
  const [chance, wide, high, factor, across, down] = Array.from({ length: 6 }, () => rng.uniform());
  if (chance >= zoom) return null;
  const stretch = (1 + aspect * (2 * wide - 1)) / (1 + aspect * (2 * high - 1));
  const scale = zoomRange[0] + (zoomRange[1] - zoomRange[0]) * factor;
  const [y, x] = stretch < 1 ? [scale, scale * stretch] : [scale / stretch, scale];
  return { y, x, top: down * size * (1 - y), left: across * size * (1 - x) };
}

/** The place in the unmoved picture of a pixel [Y, X] of the moved one: x = ax X + bx Y + cx, y = ay X + by Y + cy. */
export interface AffineMap {
  x: readonly [ax: number, bx: number, cx: number];
  y: readonly [ay: number, by: number, cy: number];
}

/** Where each pixel of a moved picture comes from. Multiples of 90 degrees and mirrors are exact. */
export function affineOf(motion: Augmentation, size: number): AffineMap {
  const [cos, sin] = cosSin(motion.degrees);
  const [h, v] = [motion.mirrorHorizontal ? -1 : 1, motion.mirrorVertical ? -1 : 1];
  const middle = (size - 1) / 2;
  const about = (a: number, b: number) => [a, b, middle - (a + b) * middle] as const;
  const map: AffineMap = { x: about(cos * h, sin * v), y: about(-sin * h, cos * v) };
  const { zoom } = motion;
  if (!zoom) return map;
  const zoomed = ([a, b, c]: AffineMap["x"], factor: number, start: number) =>
    [a / factor, b / factor, (c + 0.5 - start) / factor - 0.5] as const;
  return { x: zoomed(map.x, zoom.x, zoom.left), y: zoomed(map.y, zoom.y, zoom.top) };
}

/** Exact for multiples of 90 degrees, where Math.cos leaves 6e-17. */
function cosSin(degrees: number): readonly [number, number] {
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
