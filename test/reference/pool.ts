// Pooling over any number of spatial axes, in float64. x: [N, C, ...].
import { type NdArray, generate, perAxis, ravel, sizeOf, unravel } from "./array.ts";

export interface PoolOptions {
  kernelSize: number | readonly number[];
  /** Equal to the kernel size when absent. */
  stride?: number | readonly number[];
  padding?: number | readonly number[];
  /** Round the output size up: windows may hang over the far border, but must start inside x or its left padding. */
  ceilMode?: boolean;
}

interface Window {
  /** Flat indices into the [N, C] plane of x, in row-major order. */
  inside: number[];
  /** Window elements inside x or its padding. */
  padded: number;
}

function outputSize(n: number, k: number, s: number, p: number, ceil: boolean): number {
  const steps = (n + 2 * p - k) / s;
  if (!ceil) return Math.floor(steps) + 1;
  const size = Math.ceil(steps) + 1;
  return (size - 1) * s >= n + p ? size - 1 : size;
}

/** Calls `f` with the values' plane and window for every output element. */
function pool(x: NdArray, options: PoolOptions, f: (plane: Float64Array, window: Window) => number): NdArray {
  const spatial = x.shape.slice(2);
  const kernel = perAxis(options.kernelSize, spatial.length);
  const stride = perAxis(options.stride ?? options.kernelSize, spatial.length);
  const padding = perAxis(options.padding ?? 0, spatial.length);
  const planeSize = sizeOf(spatial);
  const out = spatial.map((n, a) => outputSize(n, kernel[a], stride[a], padding[a], options.ceilMode ?? false));
  return generate([x.shape[0], x.shape[1], ...out], (position) => {
    const window: Window = { inside: [], padded: 0 };
    for (let k = 0; k < sizeOf(kernel); k++) {
      const point = unravel(k, kernel).map((o, a) => position[a + 2] * stride[a] - padding[a] + o);
      if (point.every((v, a) => v >= 0 && v < spatial[a])) window.inside.push(ravel(point, spatial));
      if (point.every((v, a) => v < spatial[a] + padding[a])) window.padded++;
    }
    const start = (position[0] * x.shape[1] + position[1]) * planeSize;
    return f(x.data.subarray(start, start + planeSize), window);
  });
}

/** The first of the largest values of a window, as an index into the plane: the rule for ties. */
function firstMaximum(plane: Float64Array, { inside }: Window): number {
  return inside.reduce((best, i) => (plane[i] > plane[best] ? i : best));
}

/** Largest value of each window; padding never wins. */
export function maxPool(x: NdArray, options: PoolOptions): NdArray {
  return pool(x, options, (plane, window) => plane[firstMaximum(plane, window)]);
}

/** Where each maximum was found: flat index into its [N, C] plane. Ties go to the first in row-major order. */
export function maxPoolIndices(x: NdArray, options: PoolOptions): NdArray {
  return pool(x, options, firstMaximum);
}

/** Mean of each window; with `countIncludePad` the zeros of the padding count as values. */
export function avgPool(x: NdArray, options: PoolOptions & { countIncludePad?: boolean }): NdArray {
  const { countIncludePad = true } = options;
  return pool(x, options, (plane, window) => {
    const sum = window.inside.reduce((s, i) => s + plane[i], 0);
    return sum / (countIncludePad ? window.padded : window.inside.length);
  });
}
