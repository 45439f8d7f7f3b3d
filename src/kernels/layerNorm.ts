// Layer normalisation: rows of the trailing dimensions, a workgroup each.

import { record } from "../autograd.ts";
import { ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { sameShape, showShape, sizeOf, type Shape } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";
import { checkEps, checkVector, present } from "./norm.ts";
import { joinThreads } from "./planes.ts";

/**
 * Layer normalisation: mean and variance over the trailing dimensions `normalizedShape`, for every row by itself.
 * `x`: [..., ...normalizedShape]. `weight`, `bias`: normalizedShape or null. Returns the shape of `x`.
 * Throws ShapeError for shapes that do not fit. Source: Ba et al. 2016, arXiv:1607.06450.
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: Shape,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  { eps = 1e-5 }: { eps?: number } = {},
): Tensor {
  checkRows(x, normalizedShape, weight, bias, eps);
  const M = sizeOf(normalizedShape);
  const R = x.size / M;
  const WG = joinThreads(M);
  const grid = linearGrid(R, 1);
  const y = emptyFrom(x.shape, x);
  const saved = empty([R, 2]);
  launch(wgsl.layer_norm, {
    consts: { M, EPS: eps, HAS_WEIGHT: !!weight, HAS_BIAS: !!bias, WG },
    buffers: { x, weight: weight ?? x, bias: bias ?? x, y, saved },
    grid,
    flops: 8 * x.size,
  });
  tell("layerNorm", [x, weight, bias], y, { rank: normalizedShape.length, eps });
  return record(y, present(x, weight, bias), (dy, needs) => {
    const dx = needs[0] ? empty(x.shape, x.dtype) : null;
    if (dx)
      launch(wgsl.layer_norm_backward, {
        consts: { M, HAS_WEIGHT: !!weight, WG },
        buffers: { x, weight: weight ?? x, saved, dy, dx },
        grid,
        flops: 11 * x.size,
      });
    if (!needs[1] && !needs[2]) return [dx];
    const [dweight, dbias] = layerNormAffine(x, saved, dy, normalizedShape);
    return [dx, ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])];
  });
}

/** Weight and bias gradients: rows in slices, about 64 rows each, then the slices added up. */
function layerNormAffine(x: Tensor, saved: Tensor, dy: Tensor, shape: Shape): [Tensor, Tensor] {
  const M = sizeOf(shape);
  const SLICES = Math.min(256, Math.ceil(x.size / M / 64));
  const partW = empty([SLICES, ...shape]);
  const partB = empty([SLICES, ...shape]);
  launch(wgsl.layer_norm_affine_backward, {
    consts: { M, SLICES },
    buffers: { x, saved, dy, dweight: partW, dbias: partB },
    grid: linearGrid(SLICES * M, 64),
    flops: 5 * x.size,
  });
  return [sumSlices(partW, shape), sumSlices(partB, shape)];
}

function sumSlices(x: Tensor, shape: Shape): Tensor {
  const y = empty(shape);
  launch(wgsl.sum_slices, { buffers: { x, y }, grid: linearGrid(y.size, 64) });
  return y;
}

function checkRows(x: Tensor, shape: Shape, weight: Tensor | null, bias: Tensor | null, eps: number): void {
  checkFloat("layerNorm", "x", x);
  if (shape.length === 0 || !sameShape(x.shape.slice(-shape.length), shape)) {
    throw new ShapeError(
      `layerNorm: x must end with the dimensions of normalizedShape, ` +
        `got x ${showShape(x.shape)} and normalizedShape ${showShape(shape)}`,
    );
  }
  checkVector("layerNorm", "weight", weight, shape, x);
  checkVector("layerNorm", "bias", bias, shape, x);
  checkEps("layerNorm", eps);
}
