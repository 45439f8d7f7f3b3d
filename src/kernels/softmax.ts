// Softmax and its logarithm along one dimension.

import { record } from "../autograd.ts";
import { gpu } from "../gpu/device.ts";
import { linearGrid, type Grid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { normalDim, sizeOf, type Shape } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";

/**
 * Exponentials along `dim` that sum to 1, without overflow. Any shape. Throws ShapeError for a dimension that is not
 * there.
 */
export function softmax(x: Tensor, dim: number): Tensor {
  return call("softmax", x, dim, false);
}

/**
 * log(softmax(x)) along `dim`, without the loss of digits. Any shape. Throws ShapeError for a dimension that is not
 * there.
 */
export function logSoftmax(x: Tensor, dim: number): Tensor {
  return call("logSoftmax", x, dim, true);
}

function call(op: string, x: Tensor, dim: number, logarithm: boolean): Tensor {
  checkFloat(op, "x", x);
  const axis = normalDim(op, dim, x.shape.length);
  const { consts, grid } = lines(x.shape, axis, logarithm);
  const y = tell(op, [x], empty(x.shape), { dim: axis });
  launch(wgsl.softmax, { consts, buffers: { x, y }, grid, flops: 5 * x.size });
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.softmax_backward, { consts, buffers: { y, dy, dx }, grid, flops: 4 * x.size });
    return [dx];
  });
}

interface LineConsts {
  T: string;
  LOG: boolean;
  LANES: number;
  R: number;
  INNER: number;
}

/**
 * Four neighbouring lines per thread where they fit, a workgroup per line where lines are contiguous and long or few,
 * else a thread per line.
 */
function lines(shape: Shape, axis: number, logarithm: boolean): { consts: LineConsts; grid: Grid } {
  const r = shape[axis];
  const inner = sizeOf(shape.slice(axis + 1));
  const count = sizeOf(shape) / r;
  const width = inner % 4 === 0 ? 4 : 1;
  const few = gpu().info.software ? 64 : 4096; // a software adapter's barriers cost more than a long loop
  const lanes = inner === 1 && r >= 32 && (count < few || (r >= 256 && !gpu().info.software)) ? 64 : 1;
  const consts = { T: width === 4 ? "vec4<f32>" : "f32", LOG: logarithm, LANES: lanes, R: r, INNER: inner / width };
  return { consts, grid: linearGrid(count / width, 64 / lanes) };
}
