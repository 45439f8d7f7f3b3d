// Max and average pooling over windows, and over whole planes. 2-D is 3-D with depth 1: the same kernels.

import { gradEnabled, record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { showShape, sizeOf } from "../shape.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";
import { axisConsts, perAxis, triple, type PerAxis, type Triple } from "./axes.ts";
import { checkFloat } from "./checks.ts";
import { planeFill, planeSums } from "./planes.ts";

const WG = 64;

/** Settings of average pooling. */
export interface AvgPoolOptions {
  kernelSize: PerAxis;
  /** Default: the kernel size, so that windows do not overlap. */
  stride?: PerAxis;
  /** Positions added before and after every axis, at most half the kernel. Default 0. */
  padding?: PerAxis;
  /** Round the output size up: the last windows may hang over the border. Default false. */
  ceilMode?: boolean;
  /** Count the zeros of the padding in the mean. Default true. */
  countIncludePad?: boolean;
}

/** Settings of max pooling: those of average pooling but for the last, and the dilation. */
export interface MaxPoolOptions extends Omit<AvgPoolOptions, "countIncludePad"> {
  /** Distance of the positions in a window. Default 1. */
  dilation?: PerAxis;
}

/**
 * Largest value of each window. `x`: [N, C, H, W]. Returns [N, C, H', W'], H' = floor((H + 2 padding - dilation (kernel
 * - 1) - 1) / stride) + 1.
 * Padding never wins; among equal values the first in row-major order gets the gradient, as in PyTorch.
 * Throws ShapeError when `x` is not 4-D or smaller than the window, OptionError for settings out of range.
 */
export function maxPool2d(x: Tensor, options: MaxPoolOptions): Tensor {
  return maxPool("maxPool2d", x, 2, options);
}

/** Like maxPool2d, for `x` [N, C, D, H, W]. */
export function maxPool3d(x: Tensor, options: MaxPoolOptions): Tensor {
  return maxPool("maxPool3d", x, 3, options);
}

/**
 * Mean of each window. `x`: [N, C, H, W]. Returns [N, C, H', W'] as maxPool2d. Rules of PyTorch's `avg_pool2d`.
 * Throws ShapeError when `x` is not 4-D or smaller than the window, OptionError for settings out of range.
 */
export function avgPool2d(x: Tensor, options: AvgPoolOptions): Tensor {
  return avgPool("avgPool2d", x, 2, options);
}

/** Like avgPool2d, for `x` [N, C, D, H, W]. */
export function avgPool3d(x: Tensor, options: AvgPoolOptions): Tensor {
  return avgPool("avgPool3d", x, 3, options);
}

/** Mean over all of space. `x`: [N, C, ...]. Returns [N, C, 1, ...]. Throws ShapeError for fewer than 3 dimensions. */
export function globalAvgPool(x: Tensor): Tensor {
  checkFloat("globalAvgPool", "x", x);
  if (x.shape.length < 3)
    throw new ShapeError(`globalAvgPool: x must have at least 3 dimensions [N, C, ...], got ${showShape(x.shape)}`);
  const factor = 1 / sizeOf(x.shape.slice(2));
  const y = planeSums(x, [x.shape[0], x.shape[1], ...x.shape.slice(2).map(() => 1)], factor);
  tell("globalAvgPool", [x], y);
  return record(y, [x], (dy) => [planeFill(dy, x.shape, factor)]);
}

/**
 * Mean over windows chosen so that the output has `outputSize` positions on every axis. `x`: [N, C, H, W].
 * Throws OptionError unless every input size is a multiple of the output size. Size 1 is globalAvgPool.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: PerAxis): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool2d", x, 2, outputSize);
}

/** Like adaptiveAvgPool2d, for `x` [N, C, D, H, W]. */
export function adaptiveAvgPool3d(x: Tensor, outputSize: PerAxis): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool3d", x, 3, outputSize);
}

function adaptiveAvgPool(op: string, x: Tensor, rank: 2 | 3, outputSize: PerAxis): Tensor {
  checkRank(op, x, rank);
  const size = perAxis(op, "outputSize", outputSize, rank, 1);
  if (size.every((n) => n === 1)) return globalAvgPool(x);
  const space = x.shape.slice(2);
  if (space.some((n, a) => n % size[a] !== 0)) {
    throw new OptionError(
      `${op}: every size of x must be a multiple of outputSize, ` +
        `got x ${showShape(x.shape)} and outputSize ${showShape(size)}; use interpolate or avgPool`,
    );
  }
  return avgPool(op, x, rank, { kernelSize: space.map((n, a) => n / size[a]) });
}

function maxPool(op: string, x: Tensor, rank: 2 | 3, options: MaxPoolOptions): Tensor {
  const w = windowsOf(op, x, rank, options);
  const y = emptyFrom(w.shape, x);
  const SAVE = gradEnabled() && x.requiresGrad;
  const index = empty(SAVE ? w.shape : [1], "u32");
  tell("maxPool", [x], y, w.settings);
  launch(wgsl.max_pool, {
    consts: { ...w.sizes, ...axisConsts("K", w.kernel), ...axisConsts("D", w.dilation), INSIDE: w.inside, SAVE, WG },
    buffers: { x, y, index },
    grid: linearGrid(y.size, WG),
  });
  return record(y, [x], (dy) => [maxPoolBackward(x, index, dy, w)]); // keeps index, a number per window
}

function maxPoolBackward(x: Tensor, index: Tensor, dy: Tensor, w: Windows): Tensor {
  const dx = empty(x.shape, x.dtype);
  const [OD, OH, OW] = w.out;
  if (w.tiles) {
    launch(wgsl.max_pool_tiles_backward, {
      consts: { OD, OH, OW, ...axisConsts("K", w.kernel), WG },
      buffers: { dy, index, dx },
      grid: linearGrid(dy.size, WG),
    });
  } else {
    launch(wgsl.max_pool_backward, {
      consts: { ...w.sizes, ...axisConsts("E", w.extent), WG },
      buffers: { dy, index, dx },
      grid: linearGrid(dx.size, WG),
    });
  }
  return dx;
}

function avgPool(op: string, x: Tensor, rank: 2 | 3, options: AvgPoolOptions): Tensor {
  const w = windowsOf(op, x, rank, options);
  const consts = { ...w.sizes, ...axisConsts("K", w.kernel), PADDED: options.countIncludePad ?? true, WG };
  const y = emptyFrom(w.shape, x);
  tell("avgPool", [x], y, { ...w.settings, countIncludePad: consts.PADDED });
  launch(wgsl.avg_pool, { consts: { ...consts, BACKWARD: false }, buffers: { x, y }, grid: linearGrid(y.size, WG) });
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.avg_pool, {
      consts: { ...consts, BACKWARD: true },
      buffers: { x: dy, y: dx },
      grid: linearGrid(dx.size, WG),
    });
    return [dx];
  });
}

/** The windows of one call, per axis D, H, W. */
interface Windows {
  readonly shape: number[];
  readonly out: Triple;
  readonly kernel: Triple;
  readonly dilation: Triple;
  /** Positions from the first to the last of a window. */
  readonly extent: Triple;
  /** Every input belongs to exactly one window. */
  readonly tiles: boolean;
  /** No window reaches into padding or over the border. */
  readonly inside: boolean;
  /** Per axis of x. */
  readonly settings: Readonly<Record<"kernel" | "stride" | "padding" | "dilation", readonly number[]>>;
  /** Input, output, stride and padding as the kernels name them. */
  readonly sizes: Record<`${"I" | "O" | "S" | "PAD_"}${"D" | "H" | "W"}`, number>;
}

function windowsOf(op: string, x: Tensor, rank: 2 | 3, options: MaxPoolOptions): Windows {
  checkRank(op, x, rank);
  const kernel = perAxis(op, "kernelSize", options.kernelSize, rank, 1);
  const stride = perAxis(op, "stride", options.stride ?? kernel, rank, 1);
  const padding = perAxis(op, "padding", options.padding ?? 0, rank, 0);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, rank, 1);
  const extent = kernel.map((k, a) => dilation[a] * (k - 1) + 1);
  const space = x.shape.slice(2);
  if (padding.some((p, a) => 2 * p > kernel[a])) {
    throw new OptionError(
      `${op}: padding must be at most half the kernel, ` +
        `got padding ${showShape(padding)} and kernelSize ${showShape(kernel)}`,
    );
  }
  if (space.some((n, a) => n + 2 * padding[a] < extent[a])) {
    throw new ShapeError(
      `${op}: the window ${showShape(extent)} is larger than ` +
        `x ${showShape(x.shape)} with padding ${showShape(padding)}`,
    );
  }
  const out = space.map((n, a) => outputSize(n, extent[a], stride[a], padding[a], options.ceilMode ?? false));
  const tiles = space.every(
    (n, a) => stride[a] === kernel[a] && padding[a] === 0 && dilation[a] === 1 && n === out[a] * kernel[a],
  );
  const inside = space.every((n, a) => padding[a] === 0 && (out[a] - 1) * stride[a] + extent[a] <= n);
  const sizes = {
    ...axisConsts("I", triple(space, 1)),
    ...axisConsts("O", triple(out, 1)),
    ...axisConsts("S", triple(stride, 1)),
    ...axisConsts("PAD_", triple(padding, 0)),
  };
  return {
    shape: [x.shape[0], x.shape[1], ...out],
    out: triple(out, 1),
    tiles,
    inside,
    sizes,
    settings: { kernel, stride, padding, dilation },
    kernel: triple(kernel, 1),
    dilation: triple(dilation, 1),
    extent: triple(extent, 1),
  };
}

function outputSize(n: number, extent: number, stride: number, padding: number, ceil: boolean): number {
  const steps = (n + 2 * padding - extent) / stride;
  if (!ceil) return Math.floor(steps) + 1;
  const size = Math.ceil(steps) + 1;
  return (size - 1) * stride >= n + padding ? size - 1 : size; // a window must not start beyond the input
}

function checkRank(op: string, x: Tensor, rank: 2 | 3): void {
  checkFloat(op, "x", x);
  const form = rank === 2 ? "[N, C, H, W]" : "[N, C, D, H, W]";
  if (x.shape.length !== rank + 2)
    throw new ShapeError(`${op}: x must have ${rank + 2} dimensions ${form}, got ${showShape(x.shape)}`);
}
