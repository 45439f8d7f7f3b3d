// Tensors of random numbers, made on the GPU: the same numbers that the Rng gives on the host.

import { OptionError } from "../errors.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import type { Rng } from "../random.ts";
import { sizeOf, type Shape } from "../shape.ts";
import { empty, type Dtype, type Tensor } from "../tensor.ts";
import { vec4Grid } from "./broadcast.ts";
import { draw } from "./draw.ts";

/** In the order of the cases in random.wgsl. */
const OPS = ["bits", "uniform", "normal", "bernoulli"] as const;

type Op = (typeof OPS)[number];

function random(op: Op, shape: Shape, rng: Rng, { dtype = "f32" as Dtype, p = 0, draws = 1 } = {}): Tensor {
  const y = empty(shape, dtype);
  const state = draw(rng, draws * sizeOf(shape), p);
  const consts = { OP: OPS.indexOf(op), T: dtype };
  launch(wgsl.random, { consts, buffers: { state, y }, grid: vec4Grid(y.size), flops: 20 * y.size });
  return y;
}

/** Uniform numbers in [0, 1), those of `rng.uniform()` bit by bit. Advances `rng` by one per element. */
export function rand(shape: Shape, rng: Rng): Tensor {
  return random("uniform", shape, rng);
}

/** Standard normal numbers, those of `rng.normal()` up to float32 rounding. Advances `rng` by two per element. */
export function randn(shape: Shape, rng: Rng): Tensor {
  return random("normal", shape, rng, { draws: 2 });
}

/**
 * 1 with probability `p`, else 0: where `rng.uniform() < p`. Advances `rng` by one per element. Throws OptionError
 * unless 0 <= p <= 1.
 */
export function bernoulli(shape: Shape, p: number, rng: Rng): Tensor {
  if (!(p >= 0 && p <= 1)) throw new OptionError(`bernoulli: p must lie in [0, 1], got ${p}`);
  return random("bernoulli", shape, rng, { p });
}

/** Uniform 32-bit integers as u32, those of `rng.uint32()`. Advances `rng` by one per element. */
export function randomBits(shape: Shape, rng: Rng): Tensor {
  return random("bits", shape, rng, { dtype: "u32" });
}
