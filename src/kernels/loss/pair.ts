// Losses of pairs of elements: one forward and one gradient kernel for all of them, a row each in a switch.

import { ShapeError } from "../../errors.ts";
import { record } from "../../autograd.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { showShape, stridesOf, type Shape } from "../../shape.ts";
import { empty, type Tensor } from "../../tensor.ts";
import { checkFloat } from "../checks.ts";
import { MODES, checkReduction, checkSame, reduceLoss, type Reduction } from "./reduction.ts";

/** The order is that of the switches in pair_loss.wgsl and pair_loss_grad.wgsl. */
const PAIR_LOSSES = ["mse", "l1", "smoothL1", "bce", "bceWithLogits", "focal"] as const;
/** The name of a loss of pairs. */
export type PairLoss = (typeof PAIR_LOSSES)[number];

export interface PairOptions {
  readonly reduction?: Reduction;
  /** Weight of each element; broadcasts. */
  readonly weight?: Tensor;
  /** Weight of the positive term; broadcasts. */
  readonly posWeight?: Tensor;
  /** Smooth L1: beta; focal: gamma. */
  readonly a?: number;
  /** Focal: alpha. */
  readonly b?: number;
  /** Differentiate the target too; for losses of x - target. */
  readonly symmetric?: boolean;
}

/** The loss of x against target, both of one shape, f32. */
export function pairLoss(op: PairLoss, x: Tensor, target: Tensor, options: PairOptions = {}): Tensor {
  const { reduction = "mean", weight, posWeight, a = 1, b = 0, symmetric = false } = options;
  checkReduction(op, reduction);
  checkFloat(op, "the prediction", x);
  checkSame(op, x, "the target", target);
  const consts = {
    OP: PAIR_LOSSES.indexOf(op),
    A: a,
    B: b,
    WEIGHTED: weight !== undefined,
    POSITIVE: posWeight !== undefined,
    ...broadcastMap("WEIGHT", op, "weight", weight, x.shape),
    ...broadcastMap("POS", op, "posWeight", posWeight, x.shape),
  };
  const inputs = { x, t: target, weight: weight ?? x, pos_weight: posWeight ?? x };
  const { y, total } = reduceLoss(x.shape, reduction, MODES[reduction], ({ y, REDUCE, grid }) =>
    launch(wgsl.pair_loss, { consts: { ...consts, REDUCE }, buffers: { ...inputs, y }, grid }),
  );

  const grad = (dy: Tensor, sign: number): Tensor => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.pair_loss_grad, {
      consts: { ...consts, MODE: MODES[reduction], SIGN: sign },
      buffers: { ...inputs, total, dy, dx },
      grid: linearGrid(x.size, 64),
    });
    return dx;
  };
  // keeps x, target, the weights and four sums
  if (!symmetric) return record(y, [x], (dy) => [grad(dy, 1)]);
  return record(y, [x, target], (dy, needs) => [needs[0] ? grad(dy, 1) : null, needs[1] ? grad(dy, -1) : null]);
}

type Run = readonly [divisor: number, modulus: number, stride: number];

const NO_MODULUS = 4294967295;

/**
 * How to find the element of `weight` that belongs to element i of `shape`: the sum of `i / divisor % modulus * stride`
 * over runs of neighbouring dimensions that `weight` has. Two runs do for every pattern met in practice, such as [C, 1,
 * 1] or [N, 1, H, W].
 */
function broadcastMap<P extends "WEIGHT" | "POS">(
  prefix: P,
  op: string,
  name: string,
  weight: Tensor | undefined,
  shape: Shape,
) {
  const runs = weight ? runsOf(op, name, weight, shape) : [];
  const text = ([divisor, modulus, stride]: Run = [1, NO_MODULUS, 0]) => `vec3u(${divisor}, ${modulus}, ${stride})`;
  return { [`${prefix}_HIGH`]: text(runs[1]), [`${prefix}_LOW`]: text(runs[0]) } as Record<
    `${P}_HIGH` | `${P}_LOW`,
    string
  >;
}

/** The runs of `weight`'s own dimensions, last one first. */
function runsOf(op: string, name: string, weight: Tensor, shape: Shape): Run[] {
  checkFloat(op, name, weight);
  const missing = shape.length - weight.shape.length;
  const own = shape.map((_, d) => weight.shape[d - missing] ?? 1);
  if (missing < 0 || own.some((n, d) => n !== 1 && n !== shape[d])) {
    throw new ShapeError(
      `${op}: ${name} ${showShape(weight.shape)} must broadcast to the prediction ${showShape(shape)}`,
    );
  }
  const divisors = stridesOf(shape);
  const strides = stridesOf(own);
  const runs: Run[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    if (own[d] === 1) continue;
    const last = d;
    while (d > 0 && own[d - 1] === shape[d - 1]) d--;
    // The first dimension needs no modulus, so that the batch size stays out of the kernel.
    const modulus = d === 0 ? NO_MODULUS : own.slice(d, last + 1).reduce((product, n) => product * n, 1);
    runs.push([divisors[last], modulus, strides[last]]);
  }
  if (runs.length > 2)
    throw new ShapeError(
      `${op}: ${name} ${showShape(weight.shape)} broadcasts in too many places over ${showShape(shape)}; ` +
        "expand it first",
    );
  return runs;
}
