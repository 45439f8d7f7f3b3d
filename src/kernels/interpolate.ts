// Resizing of planes by nearest neighbour or linearly. 2-D is 3-D with depth 1: the same kernel, forward and backward.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { showShape } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";
import { axisConsts, triple } from "./axes.ts";
import { checkFloat } from "./checks.ts";

const WG = 64;

/** Settings of interpolate(). */
export interface InterpolateOptions {
  /** Output size, (D,) H, W. Either this or `scale`. */
  size?: readonly number[];
  /**
   * Output size floor(input * scale), one factor or one per axis. Source positions follow the factor, not the ratio of
   * sizes.
   */
  scale?: number | readonly number[];
  mode: "nearest" | "linear";
  /**
   * Linear only: the corner values stay at the corners. Default false: values are areas, and the borders of the areas
   * stay.
   */
  alignCorners?: boolean;
}

/**
 * Resizes space by nearest neighbour, bilinearly ([N, C, H, W]) or trilinearly ([N, C, D, H, W]). Returns [N, C,
 * ...size].
 * Coordinates as in PyTorch's `interpolate` (its modes "nearest", "bilinear" and "trilinear"), computed exactly.
 * Throws ShapeError when `x` is neither 4-D nor 5-D, OptionError unless exactly one of `size` and `scale` is given and
 * positive.
 */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  const axes = axesOf(x, options);
  const consts = { ...constsOf(axes), LINEAR: options.mode === "linear", WG };
  const y = emptyFrom([x.shape[0], x.shape[1], ...axes.map((a) => a.out)], x);
  launchRows(x, y, { ...consts, BACKWARD: false });
  tell("interpolate", [x], y, { ...options, axes });
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launchRows(dy, dx, { ...consts, BACKWARD: true });
    return [dx];
  });
}

function launchRows(x: Tensor, y: Tensor, consts: Record<string, number | boolean>): void {
  const PER = y.shape[y.shape.length - 1] % 4 === 0 ? 4 : 1; // four elements share the work of finding their row
  launch(wgsl.interpolate, { consts: { ...consts, PER }, buffers: { x, y }, grid: linearGrid(y.size / PER, WG) });
}

/** One axis: output o comes from position (a * o + b) / den of the input. */
export interface Axis {
  readonly size: number;
  readonly out: number;
  readonly a: number;
  readonly b: number;
  readonly den: number;
}

function axesOf(x: Tensor, { size, scale, mode, alignCorners = false }: InterpolateOptions): Axis[] {
  checkFloat("interpolate", "x", x);
  const space = x.shape.slice(2);
  const rank = space.length;
  if (rank !== 2 && rank !== 3)
    throw new ShapeError(`interpolate: x must have 4 or 5 dimensions [N, C, (D,) H, W], got ${showShape(x.shape)}`);
  if (mode !== "nearest" && mode !== "linear")
    throw new OptionError(`interpolate: mode must be "nearest" or "linear", got ${JSON.stringify(mode)}`);
  if (alignCorners && mode === "nearest") throw new OptionError('interpolate: alignCorners needs mode "linear"');
  if ((size === undefined) === (scale === undefined))
    throw new OptionError("interpolate: exactly one of size and scale must be given");
  const scales = scale === undefined ? null : typeof scale === "number" ? new Array<number>(rank).fill(scale) : scale;
  const out = size ?? space.map((n, i) => Math.floor(n * scales![i]));
  if (scales && (scales.length !== rank || !scales.every((s) => s > 0 && Number.isFinite(s)))) {
    throw new OptionError(
      `interpolate: scale must be one number above 0, or ${rank} of them, got ${showShape(scales)}`,
    );
  }
  if (out.length !== rank || !out.every((n) => Number.isInteger(n) && n > 0)) {
    throw new OptionError(
      `interpolate: the output size must be ${rank} whole numbers above 0, ` +
        `got ${showShape(out)} for x ${showShape(x.shape)}`,
    );
  }
  return space.map((n, i) => axis(n, out[i], scales ? fraction(1 / scales[i]) : [n, out[i]], mode, alignCorners));
}

/** Source positions for a step of p / q input positions per output. */
function axis(size: number, out: number, [p, q]: readonly [number, number], mode: string, align: boolean): Axis {
  if (mode === "nearest") return reduced(size, out, p, 0, q);
  if (align) return out > 1 ? reduced(size, out, size - 1, 0, out - 1) : { size, out, a: 0, b: 0, den: 1 };
  return reduced(size, out, 2 * p, p - q, 2 * q); // (o + 1/2) p/q - 1/2
}

/** Lowest terms: the same scale gives the same numbers at every size, and the kernel's products stay small. */
function reduced(size: number, out: number, a: number, b: number, den: number): Axis {
  const g = gcd(gcd(a, Math.abs(b)), den);
  return { size, out, a: a / g, b: b / g, den: den / g };
}

function gcd(a: number, b: number): number {
  return b === 0 ? Math.max(1, a) : gcd(b, a % b);
}

/**
 * The nearest fraction to `value` with a denominator up to 4096, by continued fractions; exact for ordinary scale
 * factors.
 */
function fraction(value: number): [number, number] {
  let [p0, q0, p1, q1] = [0, 1, 1, 0];
  let rest = value;
  for (let i = 0; i < 32; i++) {
    const whole = Math.floor(rest);
    const [p, q] = [whole * p1 + p0, whole * q1 + q0];
    if (q > 4096) break;
    [p0, q0, p1, q1] = [p1, q1, p, q];
    if (Math.abs(p / q - value) <= 1e-12 * value) break;
    rest = 1 / (rest - whole);
  }
  return [p1, q1];
}

function constsOf(axes: readonly Axis[]) {
  const each = (fill: number, pick: (a: Axis) => number) => triple(axes.map(pick), fill);
  return {
    ...axisConsts(
      "I",
      each(1, (a) => a.size),
    ),
    ...axisConsts(
      "O",
      each(1, (a) => a.out),
    ),
    ...axisConsts(
      "A",
      each(0, (a) => a.a),
    ),
    ...axisConsts(
      "B",
      each(0, (a) => a.b),
    ),
    ...axisConsts(
      "DEN_",
      each(1, (a) => a.den),
    ),
  };
}
