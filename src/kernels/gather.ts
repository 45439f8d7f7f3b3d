// Strided copies: the one kernel behind permute, expand, flip and slices with a step.

import { ShapeError } from "../errors.ts";
import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { showShape, sizeOf, type Shape } from "../shape.ts";
import { empty, Tensor, type Dtype } from "../tensor.ts";

/** The element type, four wide where every count divides by four, and the counts in it. */
export function widen(dtype: Dtype, counts: readonly number[]): [string, number[]] {
  return counts.every((n) => n % 4 === 0) ? [`vec4<${dtype}>`, counts.map((n) => n / 4)] : [dtype, [...counts]];
}

const MAX_RANK = 6;

/** y[c] = x[base + sum of c[d] * strides[d]], contiguous. A view where that moves nothing. */
export function gather(x: Tensor, shape: Shape, strides: readonly number[], base = 0): Tensor {
  const dims = collapse(shape, strides);
  const moved =
    base !== 0 || sizeOf(shape) !== x.size || dims.length > 1 || (dims.length === 1 && dims[0].stride !== 1);
  if (!moved) return new Tensor([...shape], x.dtype, x.storage);
  if (dims.length > MAX_RANK)
    throw new ShapeError(`gather: at most ${MAX_RANK} separate dimensions, got ${dims.length} for ${showShape(shape)}`);
  const y = empty(shape, x.dtype);
  const wide = dims.at(-1)?.stride === 1;
  const counts = [base, ...dims.slice(0, -1).map((d) => d.stride), dims.at(-1)?.n ?? 1];
  const [T] = wide ? widen(x.dtype, counts) : [x.dtype];
  const per = T === x.dtype ? 1 : 4;
  const at = (i: number) => dims[i] ?? { n: 1, stride: 0 };
  const n = (i: number) => (i === dims.length - 1 ? at(i).n / per : at(i).n);
  const s = (i: number) => (i === dims.length - 1 ? at(i).stride : at(i).stride / per);
  const sizes = { N1: n(1), N2: n(2), N3: n(3), N4: n(4), N5: n(5) };
  const steps = { S0: s(0), S1: s(1), S2: s(2), S3: s(3), S4: s(4), S5: s(5) };
  const consts = { T, BASE: base / per, ...sizes, ...steps };
  launch(wgsl.gather, { consts, buffers: { x, y }, grid: linearGrid(y.size / per, 64) });
  return y;
}

interface Dim {
  n: number;
  stride: number;
}

/** Dimensions of size 1 dropped, and neighbours merged where one stride walks both. */
function collapse(shape: Shape, strides: readonly number[]): Dim[] {
  const dims: Dim[] = [];
  shape.forEach((n, d) => {
    if (n === 1) return;
    const last = dims.at(-1);
    if (last && last.stride === strides[d] * n) {
      last.n *= n;
      last.stride = strides[d];
    } else dims.push({ n, stride: strides[d] });
  });
  return dims;
}
