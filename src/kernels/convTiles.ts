// Which kernels and tiles can compute a convolution on the adapter in use, the one that a rule expects to be fastest
// first. The autotuner (tune.ts) measures the others.

import { OptionError } from "../errors.ts";
import { gpu } from "../gpu/device.ts";
import { sizeOf } from "../shape.ts";
import { ceilDiv, type Triple } from "./axes.ts";
import { gradPatches, isPatchable, PATCH_LANES, patches, type GradPatch, type Patch } from "./convPatch.ts";
import type { ConvShape } from "./convShape.ts";
import { matrixTiles, type MatrixTile } from "./matrixUnits.ts";
import { matmulPrecision } from "./precision.ts";

/**
 * Which kernels convolutions run: "patch" and "subgroup" suit CPU adapters ("patch" leaves large filters and the
 * input gradients of strided convolutions to "subgroup"), "tiled" GPUs; "auto" asks the adapter.
 */
export type ConvVariant = "auto" | "patch" | "subgroup" | "tiled";

let wanted: ConvVariant = "auto";

/**
 * Overrides the choice of convolution kernels, for tests and benchmarks. Throws
 * OptionError where the adapter lacks subgroups.
 */
export function setConvVariant(variant: ConvVariant): void {
  if ((variant === "subgroup" && !hasSubgroups()) || (variant === "patch" && !hasPatchLanes())) {
    throw new OptionError(
      `setConvVariant: "${variant}" must run on subgroups of ${variant === "patch" ? "" : "4 or "}8 lanes, ` +
        'got an adapter without; use "auto"',
    );
  }
  wanted = variant;
}

function hasSubgroups(): boolean {
  const { info } = gpu();
  return info.features.has("subgroups") && (info.subgroupSize === 4 || info.subgroupSize === 8);
}

function hasPatchLanes(): boolean {
  return hasSubgroups() && gpu().info.subgroupSize === PATCH_LANES;
}

function useSubgroups(): boolean {
  if (wanted === "auto") return gpu().info.software && hasSubgroups();
  return wanted !== "tiled";
}

function usePatches(s: ConvShape): boolean {
  return useSubgroups() && wanted !== "subgroup" && hasPatchLanes() && isPatchable(s);
}

/** What one launch of a forward kernel computes: a convolution of stride `stride / fraction` over packed weights. */
export interface Product extends ConvShape {
  readonly fraction: Triple;
  /** The weights are [groups * cin, cout, K] and used in reverse order. */
  readonly transposed: boolean;
}

/** Tile of the workgroup kernels: TM x TN sums per thread, WY x WX threads, BK deep. */
export interface WorkgroupTile {
  readonly TM: number;
  readonly TN: number;
  readonly WY: number;
  readonly WX: number;
  readonly BK: number;
}

/** A kernel and its tile, for forward and input gradient. */
export type ForwardChoice =
  | { readonly kernel: "patch"; readonly tile: Patch }
  | { readonly kernel: "subgroup"; readonly tile: ForwardTile }
  | { readonly kernel: "matrix"; readonly tile: MatrixTile }
  | { readonly kernel: "tiled"; readonly tile: WorkgroupTile };

/** A kernel and its tile, for the weight gradient. */
export type GradChoice =
  | { readonly kernel: "patch"; readonly tile: GradPatch }
  | { readonly kernel: "subgroup"; readonly tile: GradTile }
  | { readonly kernel: "tiled"; readonly tile: WorkgroupTile };

/** Tiles of conv_forward_subgroup: vectors of channels and of pixels per thread. */
export interface ForwardTile {
  readonly TC: number;
  readonly PV: number;
}

/** Tiles of conv_weight_grad_subgroup: vectors of channels and of columns per thread. */
export interface GradTile {
  readonly TC: number;
  readonly QV: number;
}

/** With 8 lanes, with GFLOP/s on lavapipe (4 cores, 64 channels): larger ones no longer fit the registers. */
const TILES_8: readonly (ForwardTile & { speed: number })[] = [
  { TC: 4, PV: 2, speed: 48 },
  { TC: 3, PV: 3, speed: 42 },
  { TC: 2, PV: 3, speed: 43 },
  { TC: 1, PV: 8, speed: 32 },
];

/** With 4 lanes, on SwiftShader: larger tiles gain little and take long to compile. */
const TILES_4: readonly (ForwardTile & { speed: number })[] = [
  { TC: 4, PV: 3, speed: 5.4 },
  { TC: 3, PV: 3, speed: 4.4 },
  { TC: 2, PV: 3, speed: 3.3 },
  { TC: 1, PV: 4, speed: 2.7 },
];

/** Those of conv_forward_subgroup, least waste on the channels first. */
function subgroupTiles({ cout }: ConvShape): ForwardTile[] {
  const lanes = gpu().info.subgroupSize;
  const blocks = ceilDiv(cout, lanes);
  const value = (t: ForwardTile & { speed: number }) => (t.speed * blocks) / (ceilDiv(blocks, t.TC) * t.TC);
  const tiles = lanes === 4 ? TILES_4 : TILES_8;
  return [...tiles].sort((a, b) => value(b) - value(a)).map(({ TC, PV }) => ({ TC, PV }));
}

/** Those of conv_weight_grad_subgroup; first the fastest of those tried on lavapipe (8 lanes) and SwiftShader (4). */
function subgroupGradTiles(s: ConvShape): GradTile[] {
  const lanes = gpu().info.subgroupSize;
  const blocks = ceilDiv(s.cout, lanes);
  const vectors = ceilDiv(s.cin * sizeOf(s.kernel), lanes);
  const TC = blocks >= 3 ? 4 : blocks;
  const wide = TC === 1 || (TC === 2 && lanes === 4);
  const first = { TC, QV: Math.min(vectors, wide ? 3 : 2) };
  const others = [1, 2, 4].flatMap((c) => [1, 2, 3].map((q) => ({ TC: c, QV: q })));
  return [first, ...others.filter((t) => t.TC <= blocks && t.QV <= vectors && !(t.TC === TC && t.QV === first.QV))];
}

/** The tiles that GPUs are asked to try. WY is a multiple of TN, so that a thread loads one pixel's column. */
const WORKGROUP_TILES: readonly WorkgroupTile[] = [
  { TM: 8, TN: 8, WY: 8, WX: 8, BK: 16 },
  { TM: 4, TN: 4, WY: 4, WX: 16, BK: 32 },
  { TM: 4, TN: 4, WY: 16, WX: 16, BK: 16 },
  { TM: 8, TN: 4, WY: 8, WX: 16, BK: 16 },
  { TM: 4, TN: 8, WY: 8, WX: 8, BK: 16 },
  { TM: 8, TN: 8, WY: 8, WX: 16, BK: 8 },
  { TM: 8, TN: 8, WY: 16, WX: 16, BK: 8 },
];

/** The rule's for a matrix of `rows` output channels: few get a low, wide tile. It runs on every adapter. */
const ruleTile = (rows: number): WorkgroupTile => WORKGROUP_TILES[rows <= 16 ? 1 : 0];

/** Those that this adapter can run, the rule's first. */
function workgroupTiles(rows: number): WorkgroupTile[] {
  const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: bytes } = gpu().info.limits;
  const fits = ({ TM, TN, WY, WX, BK }: WorkgroupTile) =>
    WX * WY <= threads && 4 * BK * (TM * WY + TN * WX + 2) + 1024 <= bytes;
  const rule = ruleTile(rows);
  return [rule, ...WORKGROUP_TILES.filter((t) => t !== rule && fits(t))];
}

const as = <K extends string, T>(kernel: K, tiles: readonly T[]) => tiles.map((tile) => ({ kernel, tile }));

/**
 * What can compute a product of `pixels` outputs per channel; the first is the rule's. Matrix units come first only
 * where they were asked for (setMatmulPrecision): in f32 they must be measured to be faster.
 */
export function forwardChoices(p: Product, pixels: number): ForwardChoice[] {
  if (!useSubgroups()) {
    const [tiles, units] = [as("tiled", workgroupTiles(p.cout)), as("matrix", matrixTiles(p.cout, pixels))];
    if (wanted !== "auto") return tiles;
    return matmulPrecision() === "highest" ? [...tiles, ...units] : [...units, ...tiles];
  }
  const patched = usePatches(p) && p.fraction.every((n) => n === 1);
  if (!patched) return as("subgroup", subgroupTiles(p));
  const rest = wanted === "auto" ? as("subgroup", subgroupTiles(p)) : [];
  return [...as("patch", patches(p)), ...rest];
}

/** What can compute a weight gradient; the first is the rule's. */
export function gradChoices(s: ConvShape): GradChoice[] {
  if (!useSubgroups()) return as("tiled", workgroupTiles(s.cout));
  // With a single tap nothing is loaded twice, and larger tiles of channels pay.
  const patched = usePatches(s) && s.kernel[1] * s.kernel[2] > 1;
  if (!patched) return as("subgroup", subgroupGradTiles(s));
  const rest = wanted === "auto" ? as("subgroup", subgroupGradTiles(s)) : [];
  return [...as("patch", gradPatches(s)), ...rest];
}

/** The workgroup kernel with its rule's tile: it runs everywhere and has no cleverness, so others are checked against it. */
export function plainChoice(rows: number): { readonly kernel: "tiled"; readonly tile: WorkgroupTile } {
  return { kernel: "tiled", tile: ruleTile(rows) };
}
