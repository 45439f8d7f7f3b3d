// Initial values. They are drawn on the host from an Rng, so that a seed gives the same model on every device.

import { OptionError, ShapeError } from "../errors.ts";
import { pcg4d, type Rng } from "../random.ts";
import { showShape, sizeOf, type Shape } from "../shape.ts";
import { hostTensor, type Tensor } from "../tensor.ts";

type Values = Float32Array<ArrayBuffer>;

/** A tensor that is trained, holding `values`. */
export function parameter(shape: Shape, values: Values): Tensor {
  const t = hostTensor(shape, "f32", () => values);
  t.requiresGrad = true;
  return t;
}

/** `count` values from draws of four random words each: one step of the counter gives four values. */
function draw(count: number, rng: Rng, four: (words: readonly number[], out: Values, i: number) => void): Values {
  const out = new Float32Array(Math.ceil(count / 4) * 4);
  for (let i = 0; i < count; i += 4) {
    const c = rng.counter++;
    four(pcg4d(rng.seed, rng.stream, c >>> 0, Math.floor(c / 0x100000000)), out, i);
  }
  return out.slice(0, count);
}

/** Uniform in [low, high). */
export function uniform(shape: Shape, rng: Rng, low: number, high: number): Values {
  const scale = (high - low) / 0x1000000;
  return draw(sizeOf(shape), rng, (words, out, i) => {
    for (let k = 0; k < 4; k++) out[i + k] = low + (words[k] >>> 8) * scale;
  });
}

/** Normal, by Box and Muller's transform. */
export function normal(shape: Shape, rng: Rng, mean: number, std: number): Values {
  return draw(sizeOf(shape), rng, (words, out, i) => {
    for (let k = 0; k < 4; k += 2) {
      const r = std * Math.sqrt(-2 * Math.log(((words[k] >>> 8) + 1) / 0x1000000)); // of a number in (0, 1]
      const angle = 2 * Math.PI * ((words[k + 1] >>> 8) / 0x1000000);
      out[i + k] = mean + r * Math.cos(angle);
      out[i + k + 1] = mean + r * Math.sin(angle);
    }
  });
}

/**
 * The number of inputs and outputs that meet in one weight. `shape`: [out, in, ...kernel], in PyTorch's counting
 * also for transposed convolutions.
 */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw new ShapeError(`init: a weight must have at least two dimensions, got ${showShape(shape)}`);
  const kernel = sizeOf(shape.slice(2));
  return { fanIn: shape[1] * kernel, fanOut: shape[0] * kernel };
}

/** What follows a layer, for gain(). */
export type Nonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leakyRelu";

/** Settings of kaimingUniform() and kaimingNormal(). */
export interface KaimingOptions {
  /** Slope of the leaky ReLU below zero. Default 0. */
  a?: number;
  /** Keep the size of activations ("fanIn", default) or of gradients ("fanOut"). */
  mode?: "fanIn" | "fanOut";
  /** What follows the layer. Default "leakyRelu". */
  nonlinearity?: Nonlinearity;
}

/**
 * The factor by which weights make up for what follows them. `a`: slope of the leaky ReLU. Source: PyTorch's
 * `calculate_gain`.
 */
export function gain(nonlinearity: Nonlinearity, a = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.SQRT2;
    case "leakyRelu":
      return Math.sqrt(2 / (1 + a * a));
    default:
      throw new OptionError(
        `init: nonlinearity must be linear, sigmoid, tanh, relu or leakyRelu, got ${String(nonlinearity)}`,
      );
  }
}

function kaimingStd(shape: Shape, { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" }: KaimingOptions): number {
  return gain(nonlinearity, a) / Math.sqrt(fans(shape)[mode]);
}

/** Uniform with variance gain^2 / fan. Source: He et al. 2015, arXiv:1502.01852. */
export function kaimingUniform(shape: Shape, rng: Rng, options: KaimingOptions = {}): Values {
  const bound = Math.sqrt(3) * kaimingStd(shape, options);
  return uniform(shape, rng, -bound, bound);
}

/** Normal with variance gain^2 / fan. Source: He et al. 2015, arXiv:1502.01852. */
export function kaimingNormal(shape: Shape, rng: Rng, options: KaimingOptions = {}): Values {
  return normal(shape, rng, 0, kaimingStd(shape, options));
}

function xavierStd(shape: Shape, factor: number): number {
  const { fanIn, fanOut } = fans(shape);
  return factor * Math.sqrt(2 / (fanIn + fanOut));
}

/** Uniform with variance 2 gain^2 / (fanIn + fanOut). Source: Glorot and Bengio 2010. */
export function xavierUniform(shape: Shape, rng: Rng, { gain: factor = 1 }: { gain?: number } = {}): Values {
  const bound = Math.sqrt(3) * xavierStd(shape, factor);
  return uniform(shape, rng, -bound, bound);
}

/** Normal with variance 2 gain^2 / (fanIn + fanOut). Source: Glorot and Bengio 2010. */
export function xavierNormal(shape: Shape, rng: Rng, { gain: factor = 1 }: { gain?: number } = {}): Values {
  return normal(shape, rng, 0, xavierStd(shape, factor));
}

/**
 * Weight and bias as PyTorch's linear and convolution layers begin: both uniform in +-1 / sqrt(fanIn).
 * `biasSize` 0 gives no bias.
 */
export function defaultWeights(shape: Shape, biasSize: number, rng: Rng): { weight: Tensor; bias: Tensor | null } {
  const weight = parameter(shape, kaimingUniform(shape, rng, { a: Math.sqrt(5) }));
  const bound = 1 / Math.sqrt(fans(shape).fanIn);
  return { weight, bias: biasSize > 0 ? parameter([biasSize], uniform([biasSize], rng, -bound, bound)) : null };
}
