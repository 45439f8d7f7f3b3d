// Which kernel and tile computes a matrix product, and its launch.

import { gpu } from "../gpu/device.ts";
import { linearGrid, MAX_WORKGROUPS } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { Rng } from "../random.ts";
import { broadcastShapes, sizeOf, stridesOf, type Shape } from "../shape.ts";
import { emptyFrom, type Tensor } from "../tensor.ts";
import { pick, REORDERED, ROUNDED, type Tunable } from "../tune.ts";
import { broadcastTo } from "./layout.ts";
import { launchMatmulMatrix, matrixTiles, type MatrixTile } from "./matrixUnits.ts";
import { matmulPrecision } from "./precision.ts";
import { randn } from "./random.ts";

/** [..., M, K] by [..., K, N], each stored with its last two dimensions swapped where so marked. */
interface Product {
  readonly a: Shape;
  readonly b: Shape;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Leading dimensions of the result. */
  readonly batch: Shape;
  readonly walk: readonly BatchDim[];
}

/** A workgroup computes TM x TN outputs, a thread RM x RN of them. */
interface WorkgroupTile {
  readonly TM: number;
  readonly TN: number;
  readonly RM: number;
  readonly RN: number;
}

/** A subgroup computes RM rows by RN vectors of columns. */
interface SubgroupTile {
  readonly RM: number;
  readonly RN: number;
}

type Choice =
  | { readonly kernel: "subgroup"; readonly tile: SubgroupTile }
  | { readonly kernel: "rows"; readonly tile: null }
  | { readonly kernel: "matrix"; readonly tile: MatrixTile }
  | { readonly kernel: "tiled"; readonly tile: WorkgroupTile };

/** The product without a gradient; both operands have at least two dimensions that fit. */
export function product(
  a: Tensor,
  b: Tensor,
  transposeA: boolean,
  transposeB: boolean,
  bias: Tensor | null = null,
): Tensor {
  const [M, K] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const N = b.shape.at(transposeB ? -2 : -1)!;
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const walk = walkBatch(batch, a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (!walk) {
    const whole = (t: Tensor) => broadcastTo(t, [...batch, ...t.shape.slice(-2)]);
    return product(whole(a), whole(b), transposeA, transposeB, bias);
  }
  const p: Product = { a: a.shape, b: b.shape, transposeA, transposeB, M, N, K, batch, walk };
  return run(pick(products, p), p, a, b, bias);
}

const products: Tunable<Product, Choice> = {
  name: "matrix product",
  kernels: [wgsl.matmul, wgsl.matmul_rows, wgsl.matmul_subgroup, wgsl.matmul_subgroup_matrix],
  key: ({ a, b, transposeA, transposeB }) =>
    `${a.join("x")}${transposeA ? "t" : ""} ${b.join("x")}${transposeB ? "t" : ""} ${matmulPrecision()}`,
  candidates,
  tolerance: ({ kernel, tile }) => (kernel === "matrix" && tile.T === "f16" ? ROUNDED : REORDERED),
  plain: ({ M, N }) => ({ kernel: "tiled", tile: workgroupTile(M, N) }),
  inputs: ({ a, b }) => {
    const rng = new Rng(0, "tune");
    return [randn(a, rng), randn(b, rng)];
  },
  run: (choice, p, [a, b]) => run(choice, p, a, b, null),
};

/** What can compute a product on this adapter, the rule's choice first. */
function candidates(p: Product): Choice[] {
  const { M, N, K, batch, transposeA, transposeB } = p;
  const { subgroupSize: lanes, software } = gpu().info;
  if (software && (lanes === 4 || lanes === 8))
    return as("subgroup", distinct([subgroupTile(M, N, sizeOf(batch), lanes), ...subgroupTiles(M, N, lanes)]));
  const tiled = as("tiled", distinct([workgroupTile(M, N), ...WORKGROUP_TILES]));
  const few = batch.length === 0 && !transposeA && transposeB && M <= 32 && K >= 32 && N <= MAX_WORKGROUPS;
  const rows: Choice[] = few ? [{ kernel: "rows", tile: null }] : [];
  const units = M >= 16 && N >= 16 ? as("matrix", matrixTiles(M, N)) : [];
  // In f32 matrix units must be measured to be faster.
  return matmulPrecision() === "highest" ? [...rows, ...tiled, ...units] : [...rows, ...units, ...tiled];
}

const as = <K extends string, T>(kernel: K, tiles: readonly T[]) => tiles.map((tile) => ({ kernel, tile }));

/** Without those that stand there before. */
function distinct<T>(tiles: readonly T[]): T[] {
  return [...new Map(tiles.map((tile) => [JSON.stringify(tile), tile])).values()];
}

const SPREAD = 16; // subgroups that keep a software adapter's cores busy

/** Rows and column vectors per subgroup: large for few loads, smaller while that leaves cores idle. */
function subgroupTile(M: number, N: number, batch: number, lanes: number): SubgroupTile {
  let RM = 16;
  let RN = 4;
  while (RM > 1 && RM / 2 >= M) RM /= 2;
  while (RN > 1 && (RN / 2) * lanes >= N) RN /= 2;
  const count = () => batch * Math.ceil(M / RM) * Math.ceil(N / (RN * lanes));
  while (count() < SPREAD && RN > 1) RN /= 2;
  while (count() < SPREAD && RM > 4) RM /= 2;
  return { RM, RN };
}

/** Those not larger than the product. */
function subgroupTiles(M: number, N: number, lanes: number): SubgroupTile[] {
  const tiles = [16, 8, 4].flatMap((RM) => [4, 2, 1].map((RN) => ({ RM, RN })));
  return tiles.filter(({ RM, RN }) => RM / 2 < M && (RN / 2) * lanes < N);
}

const WORKGROUP_TILES: readonly WorkgroupTile[] = [
  { TM: 64, TN: 64, RM: 4, RN: 4 },
  { TM: 128, TN: 64, RM: 8, RN: 4 },
  { TM: 64, TN: 128, RM: 4, RN: 8 },
  { TM: 32, TN: 32, RM: 2, RN: 2 },
  { TM: 16, TN: 64, RM: 1, RN: 4 },
  { TM: 64, TN: 16, RM: 4, RN: 1 },
];

/** Tiles of 64, or of 16 along a short side. */
function workgroupTile(M: number, N: number): WorkgroupTile {
  const [TM, RM] = M > 32 ? [64, 4] : [16, 1];
  const [TN, RN] = N > 32 ? [64, 4] : [16, 1];
  return { TM, TN, RM, RN };
}

function run({ kernel, tile }: Choice, p: Product, a: Tensor, b: Tensor, bias: Tensor | null): Tensor {
  const { M, N, K, batch, walk, transposeA, transposeB } = p;
  const y = emptyFrom([...batch, M, N], a, b);
  const buffers = { a, b, bias: bias ?? b, y };
  const flops = 2 * y.size * K;
  const BIAS = bias ? 1 : 0;
  if (kernel === "rows") {
    launch(wgsl.matmul_rows, { consts: { N, K, BIAS }, buffers, grid: [N, Math.ceil(M / 8), 1], flops });
    return y;
  }
  const BATCH = sizeOf(batch);
  const layout = {
    ...{ N, BIAS, BATCH, A_MATRICES: a.size / (M * K) },
    ...(transposeA ? { AM: 1, AK: M } : { AM: K, AK: 1 }),
    ...(transposeB ? { BK: 1, BN: K } : { BK: N, BN: 1 }),
    ...batchConsts(walk, M * K, K * N),
  };
  if (kernel === "subgroup") {
    const SG = gpu().info.subgroupSize;
    const [x, rest] = linearGrid(Math.ceil(M / tile.RM) * Math.ceil(N / (tile.RN * SG)), 1);
    launch(wgsl.matmul_subgroup, { consts: { ...layout, SG, ...tile }, buffers, grid: [x, rest, BATCH], flops });
  } else if (kernel === "matrix") {
    launchMatmulMatrix(tile, M, layout, buffers, flops);
  } else {
    const [x, rest] = linearGrid(Math.ceil(M / tile.TM) * Math.ceil(N / tile.TN), 1);
    launch(wgsl.matmul, { consts: { ...layout, ...tile }, buffers, grid: [x, rest, BATCH], flops });
  }
  return y;
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
