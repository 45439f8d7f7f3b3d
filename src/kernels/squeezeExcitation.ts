// Squeeze and excitation: a learned factor for every channel, from the channel means. Three launches forward, four
// backward.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { sameShape, showShape, sizeOf } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";
import { planeAffine, planeSlicedSums, planeSlices } from "./planes.ts";

const WG = 128;
/** Slices per plane at most: one workgroup per sample adds them up. */
const MAX_SLICES = 256;
/** Values of workgroup memory for channels and hidden units: 16 KiB less the partial sums. */
const MAX_UNITS = 4096 - WG;

/**
 * Squeeze and excitation: x times sigmoid(w2 relu(w1 mean(x) + b1) + b2), the mean taken over space, one factor per
 * sample and channel.
 * `x`: [N, C, ...]. `w1`: [R, C], R = C / reduction. `b1`: [R] or null. `w2`: [C, R]. `b2`: [C] or null. Returns the
 * shape of `x`.
 * Throws ShapeError for shapes that do not fit, OptionError for more than 3968 channels and hidden units together.
 * Source: Hu et al. 2018, arXiv:1709.01507.
 */
export function squeezeExcitation(x: Tensor, w1: Tensor, b1: Tensor | null, w2: Tensor, b2: Tensor | null): Tensor {
  const [C, R] = check(x, w1, b1, w2, b2);
  const p = planeSlices(sizeOf(x.shape.slice(2)), MAX_SLICES);
  const N = x.shape[0];
  const block = { channels: C, hidden: R, slices: p.T, size: p.size, share_c: helpers(C), share_r: helpers(R) };
  const squeezed = empty([N, C]);
  const hidden = empty([N, R]);
  const gate = empty([N, C]);
  const partial = planeSlicedSums(x, null, p);
  launch(wgsl.squeeze_excitation, {
    consts: { HAS_B1: b1 !== null, HAS_B2: b2 !== null, WG },
    immediates: block,
    buffers: { partial, w1, b1: b1 ?? w1, w2, b2: b2 ?? w2, squeezed, hidden, gate },
    grid: [N, 1, 1],
    flops: 4 * N * C * R,
  });
  const y = planeAffine(x, gate, null);
  const inputs = [x, w1, b1, w2, b2];
  tell("squeezeExcitation", inputs, y);
  return record(
    y,
    inputs.filter((t) => t !== null),
    (dy, needs) => {
      const dout = empty([N, C]);
      const dhidden = empty([N, R]);
      const shift = empty([N, C]);
      const sums = planeSlicedSums(dy, x, p);
      launch(wgsl.squeeze_excitation_backward, {
        consts: { WG },
        immediates: block,
        buffers: { partial: sums, w1, w2, hidden, gate, dout, dhidden, shift },
        grid: [N, 1, 1],
        flops: 4 * N * C * R,
      });
      const dx = needs[0] ? planeAffine(dy, gate, shift) : null;
      if (!needs.slice(1).includes(true)) return [dx];
      const [dw1, db1, dw2, db2] = [empty([R, C]), empty([R]), empty([C, R]), empty([C])];
      launch(wgsl.squeeze_excitation_weights, {
        immediates: { channels: C, hidden: R },
        buffers: { squeezed, hidden, dout, dhidden, dw1, db1, dw2, db2 },
        grid: linearGrid(C * R, 64),
        flops: 4 * N * C * R,
      });
      return [dx, dw1, ...(b1 ? [db1] : []), dw2, ...(b2 ? [db2] : [])];
    },
  );
}

/** Threads that share one of `results` sums, so that a workgroup is busy: a power of two up to 32. */
function helpers(results: number): number {
  return Math.min(32, 2 ** Math.floor(Math.log2(Math.max(1, WG / results))));
}

function check(x: Tensor, w1: Tensor, b1: Tensor | null, w2: Tensor, b2: Tensor | null): [number, number] {
  const op = "squeezeExcitation";
  checkFloat(op, "x", x);
  if (x.shape.length < 3)
    throw new ShapeError(`${op}: x must have at least 3 dimensions [N, C, ...], got ${showShape(x.shape)}`);
  const C = x.shape[1];
  if (w1.shape.length !== 2 || w1.shape[1] !== C)
    throw new ShapeError(`${op}: w1 must have shape [R, ${C}] for x ${showShape(x.shape)}, got ${showShape(w1.shape)}`);
  const R = w1.shape[0];
  const expected = [
    ["b1", b1, [R]],
    ["w2", w2, [C, R]],
    ["b2", b2, [C]],
  ] as const;
  for (const [name, t, shape] of expected) {
    if (t && !sameShape(t.shape, shape))
      throw new ShapeError(`${op}: ${name} must have shape ${showShape(shape)}, got ${showShape(t.shape)}`);
  }
  if (C + R > MAX_UNITS)
    throw new OptionError(`${op}: channels and hidden units together must be at most ${MAX_UNITS}, got ${C} + ${R}`);
  return [C, R];
}
