// Reductions as kernel calls, without gradients: any set of dimensions is reduced group by group, long groups in
// several passes.

import { gpu } from "../gpu/device.ts";
import { linearGrid, MAX_WORKGROUPS } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { sameShape, sizeOf, type Shape } from "../shape.ts";
import { empty, Tensor } from "../tensor.ts";

/** In the order of the cases in reduce_rows.wgsl and reduce_columns.wgsl. */
const OPS = ["sum", "max", "min"] as const;
export type ReduceOp = (typeof OPS)[number];

export interface ReduceCall {
  /** Reduce the squares of the numbers. */
  square?: boolean;
  /** Factor on the result. */
  scale?: number;
}

const WG = 64;

/** The same storage with another shape of the same size. */
export function reshaped(x: Tensor, shape: Shape): Tensor {
  return new Tensor([...shape], x.dtype, x.storage);
}

/** `x` reduced over the dimensions for which `reduced` is true, which stay with size 1. */
export function callReduce(op: ReduceOp, x: Tensor, reduced: readonly boolean[], options: ReduceCall = {}): Tensor {
  const { square = false, scale = 1 } = options;
  const groups = groupsOf(x.shape, reduced);
  let y = x;
  let first = true;
  for (let g = groups.length - 1; g >= 0; g--) {
    if (!groups[g].reduced) continue;
    const outer = sizeOf(groups.slice(0, g).map((group) => group.size));
    const inner = sizeOf(groups.slice(g + 1).map((group) => (group.reduced ? 1 : group.size)));
    let r = groups[g].size;
    while (r > 1 || first) {
      const chunks = chunkCount(outer, r, inner);
      const last = chunks === 1 && groups.slice(0, g).every((group) => !group.reduced);
      y = callPass(op, y, { outer, r, inner, chunks }, { square: square && first, scale: last ? scale : 1 });
      first = false;
      r = chunks;
    }
  }
  return reshaped(
    y,
    x.shape.map((n, axis) => (reduced[axis] ? 1 : n)),
  );
}

interface Group {
  size: number;
  readonly reduced: boolean;
}

/** Neighbouring dimensions of one kind as one; there is always one to reduce, of size 1 if need be. */
function groupsOf(shape: Shape, reduced: readonly boolean[]): Group[] {
  const groups: Group[] = [];
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const last = groups.at(-1);
    if (last?.reduced === reduced[axis]) last.size *= size;
    else groups.push({ size, reduced: reduced[axis] });
  });
  return groups.some((group) => group.reduced) ? groups : [...groups, { size: 1, reduced: true }];
}

interface Pass {
  readonly outer: number;
  readonly r: number;
  readonly inner: number;
  readonly chunks: number;
}

/**
 * When rows are long, or few, a workgroup adds each; else one thread does. Software adapters pay dearly for a
 * workgroup's barriers.
 */
function useRows(outer: number, r: number, inner: number): boolean {
  const [long, few] = gpu().info.software ? [1024, 64] : [256, 4096];
  return inner === 1 && (r >= long || (r >= 16 && outer < few));
}

/**
 * Into how many results each group is reduced at first: enough to occupy a GPU, and so that no thread adds a long
 * chain.
 */
function chunkCount(outer: number, r: number, inner: number): number {
  if (useRows(outer, r, inner)) return Math.ceil(r / rowChunk(outer, r));
  return r <= 64 ? 1 : Math.ceil(r / 32);
}

/** Numbers per workgroup: enough workgroups to occupy the adapter, each thread adding 32 to 256 numbers. */
function rowChunk(outer: number, r: number): number {
  const workgroups = gpu().info.software ? 64 : 2048;
  const even = 2 ** Math.ceil(Math.log2((outer * r) / workgroups));
  return Math.min(16384, Math.max(2048, even));
}

function callPass(op: ReduceOp, x: Tensor, pass: Pass, options: Required<ReduceCall>): Tensor {
  const y = empty([pass.outer, pass.chunks, pass.inner]);
  const consts = { OP: OPS.indexOf(op), SQUARE: options.square, R: pass.r, SCALE: options.scale };
  if (useRows(pass.outer, pass.r, pass.inner)) launchRows(x, y, pass, consts);
  else launchColumns(x, y, pass, consts);
  return y;
}

interface PassConsts {
  OP: number;
  SQUARE: boolean;
  R: number;
  SCALE: number;
}

function launchRows(x: Tensor, y: Tensor, { outer, r, chunks }: Pass, consts: PassConsts): void {
  const rowsY = Math.min(outer, MAX_WORKGROUPS);
  launch(wgsl.reduce_rows, {
    consts: { ...consts, CHUNK: rowChunk(outer, r), ALIGNED: r % 4 === 0 || outer === 1 },
    buffers: { x, y },
    grid: [chunks, rowsY, Math.ceil(outer / rowsY)],
    flops: x.size,
  });
}

function launchColumns(x: Tensor, y: Tensor, { inner, chunks }: Pass, consts: PassConsts): void {
  const width = inner % 4 === 0 ? 4 : 1;
  launch(wgsl.reduce_columns, {
    consts: { ...consts, T: width === 4 ? "vec4<f32>" : "f32", INNER: inner / width, CHUNKS: chunks },
    buffers: { x, y },
    grid: linearGrid(y.size / width, WG),
    flops: x.size,
  });
}

/** A gradient of the broadcast shape, summed over the repeats of an operand of shape `shape`. */
export function sumTo(dy: Tensor, shape: Shape): Tensor {
  if (sameShape(shape, dy.shape)) return dy;
  const lead = dy.shape.length - shape.length;
  const reduced = dy.shape.map((n, axis) => n > 1 && (axis < lead || shape[axis - lead] === 1));
  return reshaped(callReduce("sum", dy, reduced), shape);
}
