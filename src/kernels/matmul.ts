// Matrix products. Transposed operands are walked with other strides; nothing is copied.

import { record } from "../autograd.ts";
import { ShapeError } from "../errors.ts";
import { gpu } from "../gpu/device.ts";
import { linearGrid, MAX_WORKGROUPS } from "../gpu/grid.ts";
import { launch } from "../gpu/program.ts";
import { broadcastShapes, sameShape, showShape, sizeOf, stridesOf, type Shape } from "../shape.ts";
import { emptyFrom, type Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";
import { broadcastTo, reshape } from "./layout.ts";
import { launchMatmulMatrix, matrixTiles } from "./matrixUnits.ts";
import { matmulPrecision } from "./precision.ts";
import { sumTo } from "./reduction.ts";

export interface MatmulOptions {
  /** Use the last two dimensions of `a` swapped. Default false. */
  transposeA?: boolean;
  /** Use the last two dimensions of `b` swapped. Default false. */
  transposeB?: boolean;
}

/**
 * The matrix product over the last two dimensions: [..., M, K] by [..., K, N] gives [..., M, N]. Leading dimensions
 * broadcast; a one-dimensional operand is a row (a) or a column (b) whose dimension leaves the result, as in
 * PyTorch. Throws ShapeError when K differs.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  checkFloat("matmul", "a", a);
  checkFloat("matmul", "b", b);
  if (a.shape.length === 0 || b.shape.length === 0) {
    throw new ShapeError(
      `matmul: both tensors must have a dimension, got a ${showShape(a.shape)} and b ${showShape(b.shape)}`,
    );
  }
  if (a.shape.length === 1) {
    const y = matmul(reshape(a, [1, a.size]), b, { transposeB });
    return reshape(y, y.shape.toSpliced(b.shape.length === 1 ? -1 : -2, 1));
  }
  if (b.shape.length === 1) {
    const y = matmul(a, reshape(b, [b.size, 1]), { transposeA });
    return reshape(y, y.shape.slice(0, -1));
  }
  const depth = a.shape.at(transposeA ? -2 : -1);
  if (depth !== b.shape.at(transposeB ? -1 : -2)) {
    const flags = `${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`;
    throw new ShapeError(
      `matmul: the inner dimensions must agree, got a ${showShape(a.shape)} and b ${showShape(b.shape)}${flags}`,
    );
  }
  if (b.shape.length === 2 && a.shape.length > 2 && !transposeA) {
    // One matrix for all of a: its batch is simply more rows.
    const y = matmul(reshape(a, [-1, a.shape.at(-1)!]), b, { transposeB });
    return reshape(y, [...a.shape.slice(0, -1), y.shape[1]]);
  }
  return record(product(a, b, transposeA, transposeB), [a, b], (dy, needs) => [
    needs[0]
      ? sumTo(transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB), a.shape)
      : null,
    needs[1]
      ? sumTo(transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false), b.shape)
      : null,
  ]);
}

/**
 * x w^T + b. x: [..., IN]; w: [OUT, IN]; b: [OUT], may be absent; returns [..., OUT]. Throws ShapeError when they do
 * not fit.
 */
export function linear(x: Tensor, w: Tensor, b: Tensor | null = null): Tensor {
  checkFloat("linear", "x", x);
  checkFloat("linear", "w", w);
  if (x.shape.length === 0 || w.shape.length !== 2 || x.shape.at(-1) !== w.shape[1]) {
    throw new ShapeError(
      `linear: x must end in the ${w.shape[1]} inputs of w, got x ${showShape(x.shape)} and w ${showShape(w.shape)}`,
    );
  }
  const [out, inputs] = w.shape;
  if (b && !sameShape(b.shape, [out]))
    throw new ShapeError(`linear: b must have shape [${out}] for w ${showShape(w.shape)}, got ${showShape(b.shape)}`);
  const rows = reshape(x, [-1, inputs]);
  const y = record(product(rows, w, false, true, b), b ? [rows, w, b] : [rows, w], (dy, needs) => [
    needs[0] ? product(dy, w, false, false) : null,
    needs[1] ? product(dy, rows, true, false) : null,
    needs[2] ? sumTo(dy, b!.shape) : null,
  ]);
  return reshape(y, [...x.shape.slice(0, -1), out]);
}

/** The product without a gradient; both operands have at least two dimensions that fit. */
function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean, bias: Tensor | null = null): Tensor {
  const [M, K] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const N = b.shape.at(transposeB ? -2 : -1)!;
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const walk = walkBatch(batch, a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (!walk) {
    const whole = (t: Tensor) => broadcastTo(t, [...batch, ...t.shape.slice(-2)]);
    return product(whole(a), whole(b), transposeA, transposeB, bias);
  }
  const y = emptyFrom([...batch, M, N], a, b);
  const buffers = { a, b, bias: bias ?? b, y };
  const BIAS = bias ? 1 : 0;
  const flops = 2 * y.size * K;
  const { subgroupSize, software } = gpu().info;
  const bySubgroup = software && (subgroupSize === 4 || subgroupSize === 8);
  if (!bySubgroup && batch.length === 0 && !transposeA && transposeB && M <= 32 && K >= 32 && N <= MAX_WORKGROUPS) {
    launch("matmul_rows", { consts: { N, K, BIAS }, buffers, grid: [N, Math.ceil(M / 8), 1], flops });
    return y;
  }
  const layout = {
    ...{ N, BIAS, BATCH: sizeOf(batch), A_MATRICES: a.size / (M * K) },
    ...(transposeA ? { AM: 1, AK: M } : { AM: K, AK: 1 }),
    ...(transposeB ? { BK: 1, BN: K } : { BK: N, BN: 1 }),
    ...batchConsts(walk, M * K, K * N),
  };
  // Where asked for: in f32 no one has measured yet that they are faster.
  const [units] = matmulPrecision() === "highest" ? [] : matrixTiles(M, N);
  if (bySubgroup) {
    const { RM, RN } = subgroupTile(M, N, sizeOf(batch), subgroupSize);
    const tiles = Math.ceil(M / RM) * Math.ceil(N / (RN * subgroupSize));
    const [x, rest] = linearGrid(tiles, 1);
    launch("matmul_subgroup", {
      consts: { ...layout, SG: subgroupSize, RM, RN },
      buffers,
      grid: [x, rest, sizeOf(batch)],
      flops,
    });
  } else if (units && M >= 16 && N >= 16) {
    launchMatmulMatrix(units, M, layout, buffers, flops);
  } else {
    const tile = workgroupTile(M, N);
    const [x, rest] = linearGrid(Math.ceil(M / tile.TM) * Math.ceil(N / tile.TN), 1);
    launch("matmul", { consts: { ...layout, ...tile }, buffers, grid: [x, rest, sizeOf(batch)], flops });
  }
  return y;
}

const SPREAD = 16; // subgroups that keep a software adapter's cores busy

/** Rows and column vectors per subgroup: large for few loads, smaller while that leaves cores idle. */
function subgroupTile(M: number, N: number, batch: number, lanes: number): { RM: number; RN: number } {
  let RM = 16;
  let RN = 4;
  while (RM > 1 && RM / 2 >= M) RM /= 2;
  while (RN > 1 && (RN / 2) * lanes >= N) RN /= 2;
  const count = () => batch * Math.ceil(M / RM) * Math.ceil(N / (RN * lanes));
  while (count() < SPREAD && RN > 1) RN /= 2;
  while (count() < SPREAD && RM > 4) RM /= 2;
  return { RM, RN };
}

/** Tiles of 64, or of 16 along a short side. */
function workgroupTile(M: number, N: number): { TM: number; TN: number; RM: number; RN: number } {
  const [TM, RM] = M > 32 ? [64, 4] : [16, 1];
  const [TN, RN] = N > 32 ? [64, 4] : [16, 1];
  return { TM, TN, RM, RN };
}

interface BatchDim {
  n: number;
  /** In matrices; 0 repeats. */
  a: number;
  b: number;
}

/**
 * The batch dimensions with the strides of both operands, merged where one walk serves; null when more than three
 * remain.
 */
function walkBatch(batch: Shape, a: Shape, b: Shape): BatchDim[] | null {
  const stridesIn = (own: Shape) => {
    const strides = stridesOf(own);
    return batch.map((_, d) => d - batch.length + own.length).map((d) => (d < 0 || own[d] === 1 ? 0 : strides[d]));
  };
  const [sa, sb] = [stridesIn(a), stridesIn(b)];
  const dims: BatchDim[] = [];
  batch.forEach((n, d) => {
    if (n === 1) return;
    const last = dims.at(-1);
    if (last && last.a === sa[d] * n && last.b === sb[d] * n)
      dims[dims.length - 1] = { n: last.n * n, a: sa[d], b: sb[d] };
    else dims.push({ n, a: sa[d], b: sb[d] });
  });
  return dims.length <= 3 ? dims : null;
}

function batchConsts(dims: readonly BatchDim[], aSize: number, bSize: number) {
  const at = (i: number) => dims[i] ?? { n: 1, a: 0, b: 0 };
  const [x, y, z] = [at(0), at(1), at(2)];
  return {
    Z1: y.n,
    Z2: z.n,
    A0: x.a * aSize,
    A1: y.a * aSize,
    A2: z.a * aSize,
    B0: x.b * bSize,
    B1: y.b * bSize,
    B2: z.b * bSize,
  };
}
