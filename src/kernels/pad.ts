// Padding, and its use as the gradient of a slice.

import { isFloat } from "./checks.ts";
import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { showShape, sizeOf, type Shape } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";

/** What fills the rim: a constant, the mirrored inside without its edge, the edge, or the opposite side. */
export type PadMode = "constant" | "reflect" | "replicate" | "circular";

/** Settings of pad(). */
export interface PadOptions {
  /** Default "constant". */
  mode?: PadMode;
  /** For "constant". Default 0. */
  value?: number;
}

const MODES: readonly PadMode[] = ["constant", "reflect", "replicate", "circular"];
const MAX_RANK = 6;

/** One dimension of a padded tensor: n elements, `before` of rim, `out` in all; `step` apart. */
interface Dim {
  n: number;
  before: number;
  out: number;
  step: number;
}

/**
 * Adds a rim. `amounts` are PyTorch's: [before, after] of the last dimension, then of the one before it, and so on;
 * with "constant" they may be negative, which crops. Throws ShapeError when a rim is larger than its mode can fill
 * or nothing is left.
 */
export function pad(x: Tensor, amounts: readonly number[], { mode = "constant", value = 0 }: PadOptions = {}): Tensor {
  if (!MODES.includes(mode)) throw new OptionError(`pad: mode must be one of ${MODES.join(", ")}, got ${mode}`);
  if (amounts.length % 2 !== 0 || amounts.length > 2 * x.shape.length || !amounts.every(Number.isInteger)) {
    throw new OptionError(
      `pad: amounts must be whole [before, after] pairs, at most one per dimension of ${showShape(x.shape)}, ` +
        `got [${amounts.join(", ")}]`,
    );
  }
  const dims = x.shape.map((n, d) => {
    const k = 2 * (x.shape.length - 1 - d);
    const [before, after] = [amounts[k] ?? 0, amounts[k + 1] ?? 0];
    checkRim(mode, n, before, after, d, x.shape);
    return { n, before, out: before + n + after, step: 1 };
  });
  const y = launchPad(x, dims, MODES.indexOf(mode), value);
  tell("pad", [x], y, { rims: dims.map(({ before, n, out }) => [before, out - n - before]), mode, value });
  if (mode === "constant")
    return record(y, [x], (dy) => [
      pad(
        dy,
        amounts.map((a) => -a),
      ),
    ]);
  return record(y, [x], (dy) => [padBackward(dy, dims, MODES.indexOf(mode))]);
}

function checkRim(mode: PadMode, n: number, before: number, after: number, d: number, shape: Shape): void {
  const limit = { constant: Infinity, reflect: n - 1, replicate: Infinity, circular: n }[mode];
  const least = mode === "constant" ? -Infinity : 0;
  const fits = Math.max(before, after) <= limit && Math.min(before, after) >= least && before + n + after > 0;
  if (!fits) throw new ShapeError(`pad: ${mode} cannot add [${before}, ${after}] to dim ${d} of ${showShape(shape)}`);
}

/** Zeros of `shape` with x at `start` and every `step` per dimension: the gradient of a slice. */
export function spread(x: Tensor, shape: Shape, start: readonly number[], step: readonly number[]): Tensor {
  return launchPad(
    x,
    x.shape.map((n, d) => ({ n, before: start[d], out: shape[d], step: step[d] })),
    0,
    0,
  );
}

const isWhole = (d: Dim) => d.before === 0 && d.out === d.n && d.step === 1;

/** Merges dimensions that move together, so that few remain and the last is long. */
function collapse(dims: readonly Dim[], constant: boolean): Dim[] {
  const merged: Dim[] = [];
  for (const d of dims) {
    const last = merged.at(-1);
    // A padded dimension takes in the whole one after it, as longer elements, except where the rim reverses or repeats.
    if (last && isWhole(d) && (isWhole(last) || (constant && last.step === 1))) {
      merged[merged.length - 1] = { n: last.n * d.n, before: last.before * d.n, out: last.out * d.n, step: 1 };
    } else merged.push({ ...d });
  }
  return merged;
}

/** The consts <prefix>0 to <prefix>5. */
function numbered<P extends string>(prefix: P, value: (i: number) => number) {
  const rows = Array.from({ length: MAX_RANK }, (_, i) => [`${prefix}${i}`, value(i)]);
  return Object.fromEntries(rows) as Record<`${P}${0 | 1 | 2 | 3 | 4 | 5}`, number>;
}

const ANY = 2 ** 31 - 1; // no position in a whole first dimension lies outside, so its size need not be compiled in

function launchPad(x: Tensor, given: readonly Dim[], mode: number, value: number): Tensor {
  const y = empty(
    given.map((d) => d.out),
    x.dtype,
  );
  const dims = collapse(given, mode === 0);
  if (dims.length > MAX_RANK)
    throw new ShapeError(`pad: at most ${MAX_RANK} separate dimensions, got ${dims.length} for ${showShape(x.shape)}`);
  const last = dims.at(-1) ?? { n: 1, before: 0, out: 1, step: 1 };
  const wide =
    last.step === 1 && (mode === 0 || isWhole(last)) && [last.n, last.before, last.out].every((n) => n % 4 === 0);
  if (wide) dims[dims.length - 1] = { n: last.n / 4, before: last.before / 4, out: last.out / 4, step: 1 };
  const at = (i: number) => dims[i] ?? { n: 1, before: 0, out: 1, step: 1 };
  const consts = {
    T: wide ? `vec4<${x.dtype}>` : x.dtype,
    VALUE: `T(${isFloat(x) ? Math.fround(value) : Math.trunc(value)})`,
    MODE: mode,
    ...{ N0: isWhole(at(0)) ? ANY : at(0).n, N1: at(1).n, N2: at(2).n, N3: at(3).n, N4: at(4).n, N5: at(5).n },
    ...{ O1: at(1).out, O2: at(2).out, O3: at(3).out, O4: at(4).out, O5: at(5).out },
    ...numbered("BEFORE", (i) => at(i).before),
    ...numbered("STEP", (i) => at(i).step),
  };
  launch(wgsl.pad, { consts, buffers: { x, y }, grid: linearGrid(y.size / (wide ? 4 : 1), 64) });
  return y;
}

/** Takes the rims off one dimension at a time, adding what they show to where it came from. */
function padBackward(dy: Tensor, dims: readonly Dim[], mode: number): Tensor {
  let g = dy;
  dims.forEach((d, axis) => {
    if (isWhole(d)) return;
    const dx = emptyFrom(g.shape.with(axis, d.n), g);
    const consts = {
      MODE: mode,
      N: d.n,
      INNER: sizeOf(g.shape.slice(axis + 1)),
      BEFORE: d.before,
      AFTER: d.out - d.n - d.before,
    };
    launch(wgsl.pad_backward, { consts, buffers: { dy: g, dx }, grid: linearGrid(dx.size, 64) });
    g = dx;
  });
  return g;
}
