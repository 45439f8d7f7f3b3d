// Matrix products and convolutions on the matrix units of a GPU: tiles, consts and grids of the kernels named
// *_subgroup_matrix.

import { gpu } from "../gpu/device.ts";
import { linearGrid } from "../gpu/grid.ts";
import type { ConstName } from "../gpu/kernel.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { chooseMatrixConfig, type SubgroupMatrixConfig } from "../gpu/subgroupMatrix.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { ceilDiv } from "./axes.ts";
import type { ConvShape } from "./convShape.ts";
import { matmulPrecision } from "./precision.ts";

/** Consts of a kernel's tile, as they are called there; plain data. */
export interface MatrixTile {
  readonly T: "f32" | "f16";
  /** Sizes of one step of the matrix unit. */
  readonly MM: number;
  readonly NN: number;
  readonly KK: number;
  /** Most lanes of a subgroup. */
  readonly SG: number;
  /** Subgroups of a workgroup, down and across. */
  readonly WM: number;
  readonly WN: number;
  /** Result matrices of a subgroup, down and across. */
  readonly TM: number;
  readonly TN: number;
  /** Steps per slab. */
  readonly TK: number;
  /** Elements between rows in workgroup memory: 16 bytes, the alignment that Vulkan asks for. */
  readonly SKEW: number;
}

/** Subgroups down and across, and the outputs of each; the first is ggml's for its WebGPU backend. */
const LAYOUTS = [
  { WM: 2, WN: 4, rows: 64, columns: 32 },
  { WM: 2, WN: 2, rows: 32, columns: 32 },
  { WM: 1, WN: 4, rows: 32, columns: 32 },
  { WM: 1, WN: 4, rows: 16, columns: 32 },
  { WM: 1, WN: 2, rows: 16, columns: 32 },
  { WM: 1, WN: 1, rows: 16, columns: 32 },
] as const;

/** Workgroups that keep a GPU busy. */
const SPREAD = 64;

/** Bytes of workgroup memory left for the list of taps. */
const SMALL_ARRAYS = 1024;

/** The configuration that f32 tensors may use under the present `setMatmulPrecision`, null where there is none. */
export function matrixConfig(): SubgroupMatrixConfig | null {
  const { subgroupMatrix, features } = gpu().info;
  const f16 = matmulPrecision() === "high" && features.has("shader-f16");
  return subgroupMatrix && chooseMatrixConfig(subgroupMatrix.configs, { f16 });
}

/** Output rows of a workgroup's tile; for a convolution, the PACK of its weights. */
export function tileRows({ WM, TM, MM }: MatrixTile): number {
  return WM * TM * MM;
}

function tileColumns({ WN, TN, NN }: MatrixTile): number {
  return WN * TN * NN;
}

/**
 * The tiles that this adapter can run for a product of `rows` by `columns`, best guess first: little padding, few loads
 * per multiplication, enough workgroups. Empty where there is no configuration (see `matrixConfig`).
 */
export function matrixTiles(rows: number, columns: number): MatrixTile[] {
  const config = matrixConfig();
  if (!config) return [];
  const value = (t: MatrixTile) => {
    const [R, C] = [tileRows(t), tileColumns(t)];
    const groups = ceilDiv(rows, R) * ceilDiv(columns, C);
    const useful = (rows * columns) / (groups * R * C);
    return useful * ((R * C) / (R + C)) * Math.min(1, groups / SPREAD);
  };
  const tiles = LAYOUTS.map((layout) => tileOf(config, gpu().info.subgroupMatrix!.maxLanes, layout)).filter(fits);
  return tiles.sort((a, b) => value(b) - value(a));
}

function tileOf(config: SubgroupMatrixConfig, lanes: number, layout: (typeof LAYOUTS)[number]): MatrixTile {
  const { M: MM, N: NN, K: KK } = config;
  const T = config.componentType === "f16" ? "f16" : "f32";
  const [deep, skew] = T === "f16" ? [32, 8] : [16, 4];
  const { WM, WN } = layout;
  const times = (wanted: number, size: number) => Math.max(1, wanted / size);
  const split = { WM, WN, TM: times(layout.rows, MM), TN: times(layout.columns, NN), TK: times(deep, KK) };
  return { T, MM, NN, KK, SG: lanes, ...split, SKEW: skew };
}

/** Within the adapter's limits, and with whole threads per column, as the convolution loads them. */
function fits(t: MatrixTile): boolean {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupStorageSize } =
    gpu().info.limits;
  const threads = t.WM * t.WN * t.SG;
  const depth = t.TK * t.KK;
  const [rows, columns] = [tileRows(t), tileColumns(t)];
  // The product stages rows of depth, the convolution depth of rows.
  const staged = Math.max(rows * (depth + t.SKEW), depth * (rows + t.SKEW)) + depth * (columns + t.SKEW);
  const bytes = staged * (t.T === "f16" ? 2 : 4) + 4 * t.WM * t.WN * t.MM * t.NN + SMALL_ARRAYS;
  return (
    threads <= Math.min(maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX) &&
    threads % columns === 0 &&
    bytes <= maxComputeWorkgroupStorageSize
  );
}

/** Shape and strides of a product, by the names of the consts of matmul.wgsl. */
export type MatmulLayout = { readonly N: number; readonly BATCH: number } & Partial<
  Record<ConstName<typeof wgsl.matmul_subgroup_matrix>, number>
>;

/** Launches matmul_subgroup_matrix: `rows` is M, `layout` the consts that matmul.wgsl would get besides its tile. */
export function launchMatmulMatrix(
  tile: MatrixTile,
  rows: number,
  layout: MatmulLayout,
  buffers: { a: Tensor; b: Tensor; bias: Tensor; y: Tensor },
  flops: number,
): void {
  const tiles = ceilDiv(rows, tileRows(tile)) * ceilDiv(layout.N, tileColumns(tile));
  const [x, y] = linearGrid(tiles, 1);
  launch(wgsl.matmul_subgroup_matrix, { consts: { ...layout, ...tile }, buffers, grid: [x, y, layout.BATCH], flops });
}

/** Shape of a convolution, by the names of the consts of conv_forward.wgsl. */
export type ConvConsts = Partial<Record<ConstName<typeof wgsl.conv_forward_subgroup_matrix>, number>>;

/**
 * Launches conv_forward_subgroup_matrix: `consts` are those that conv_forward.wgsl would get besides its tile,
 * `buffers.w` is packed by `tileRows(tile)`.
 */
export function launchConvMatrix(
  tile: MatrixTile,
  p: Pick<ConvShape, "groups" | "cout" | "output"> & { readonly fraction: readonly number[] },
  consts: ConvConsts,
  buffers: { x: Tensor; w: Tensor; bias: Tensor; y: Tensor },
  flops: number,
): void {
  const pixels = buffers.y.shape[0] * sizeOf(p.output.map((n, axis) => ceilDiv(n, p.fraction[axis])));
  const [x, y] = linearGrid(pixels, tileColumns(tile));
  const z = sizeOf(p.fraction) * p.groups * ceilDiv(p.cout, tileRows(tile));
  launch(wgsl.conv_forward_subgroup_matrix, { consts: { ...consts, ...tile }, buffers, grid: [x, y, z], flops });
}
