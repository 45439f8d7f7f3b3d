// The kernel calls behind every convolution: forward, input gradient, weight
// gradient and bias gradient of one ConvShape.
// A transposed convolution is the input gradient of the convolution it transposes, so it needs no kernels of its own.

import { OptionError } from "../errors.ts";
import { gpu } from "../gpu/device.ts";
import { linearGrid, type Grid } from "../gpu/grid.ts";
import { launch } from "../gpu/program.ts";
import { sizeOf } from "../shape.ts";
import { empty, type Tensor } from "../tensor.ts";
import { axisConsts, ceilDiv, triple, type Triple } from "./axes.ts";
import { gradPatchPlan, isPatchable, launchGradPatch, launchPatch, PATCH_LANES } from "./convPatch.ts";
import type { ConvShape } from "./convShape.ts";

/**
 * Which kernels convolutions run: "patch" and "subgroup" suit CPU adapters ("patch" leaves large filters and the
 * input gradients of strided convolutions to "subgroup"), "tiled" GPUs; "auto" asks the adapter.
 */
export type ConvVariant = "auto" | "patch" | "subgroup" | "tiled";

let chosen: ConvVariant = "auto";

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
  chosen = variant;
}

function hasSubgroups(): boolean {
  const { info } = gpu();
  return info.features.has("subgroups") && (info.subgroupSize === 4 || info.subgroupSize === 8);
}

function hasPatchLanes(): boolean {
  return hasSubgroups() && gpu().info.subgroupSize === PATCH_LANES;
}

function useSubgroups(): boolean {
  if (chosen === "auto") return gpu().info.software && hasSubgroups();
  return chosen !== "tiled";
}

function usePatches(s: ConvShape): boolean {
  return useSubgroups() && chosen !== "subgroup" && hasPatchLanes() && isPatchable(s);
}

/** What one launch of a forward kernel computes: a convolution of stride `stride / fraction` over packed weights. */
interface Product extends ConvShape {
  readonly fraction: Triple;
  /** The weights are [groups * cin, cout, K] and used in reverse order. */
  readonly transposed: boolean;
}

function forwardProduct(s: ConvShape): Product {
  return { ...s, fraction: [1, 1, 1], transposed: false };
}

/**
 * The input gradient as a convolution of dy: i = (o + P - k * DIL) / S becomes o' = (i' - P' + k' * DIL) / L with
 * reversed taps.
 */
function inputGradProduct(s: ConvShape): Product {
  const padding = s.kernel.map((k, a) => (k - 1) * s.dilation[a] - s.padding[a]);
  return {
    groups: s.groups,
    cin: s.cout,
    cout: s.cin,
    input: s.output,
    output: s.input,
    kernel: s.kernel,
    stride: [1, 1, 1],
    padding: triple(padding, 0),
    dilation: s.dilation,
    fraction: s.stride,
    transposed: true,
  };
}

/** Consts that the forward and weight gradient kernels share. */
function geometryConsts(s: ConvShape) {
  return {
    ...{ G: s.groups, CIG: s.cin, COG: s.cout },
    ...axisConsts("I", s.input),
    ...axisConsts("O", s.output),
    ...axisConsts("K", s.kernel),
    ...axisConsts("S", s.stride),
    ...axisConsts("PAD_", s.padding),
    ...axisConsts("D", s.dilation),
  };
}

function packWeights(w: Tensor, p: Product, pack: number): Tensor {
  const taps = sizeOf(p.kernel);
  const packed = empty([p.groups, ceilDiv(p.cout, pack), taps, p.cin, pack]);
  const [A, B] = p.transposed ? [p.cin, p.cout] : [p.cout, p.cin];
  const consts = { PACK: pack, G: p.groups, A, B, K: taps, SWAP: p.transposed ? 1 : 0, FLIP: p.transposed ? 1 : 0 };
  launch("conv_pack_weights", { consts, buffers: { w, packed }, grid: linearGrid(packed.size, 64) });
  return packed;
}

interface ForwardTile {
  /** Channel vectors and pixel vectors per thread. */
  readonly TC: number;
  readonly PV: number;
  /** GFLOP/s on a 4-core CPU when no lane idles. */
  readonly speed: number;
}

/** With 8 lanes, measured on lavapipe with 64 channels: larger tiles no longer fit the registers or are not unrolled. */
const TILES_8: readonly ForwardTile[] = [
  { TC: 4, PV: 2, speed: 48 },
  { TC: 3, PV: 3, speed: 42 },
  { TC: 2, PV: 3, speed: 43 },
  { TC: 1, PV: 8, speed: 32 },
];

/** With 4 lanes, measured on SwiftShader: larger tiles gain little and take long to compile. */
const TILES_4: readonly ForwardTile[] = [
  { TC: 4, PV: 3, speed: 5.4 },
  { TC: 3, PV: 3, speed: 4.4 },
  { TC: 2, PV: 3, speed: 3.3 },
  { TC: 1, PV: 4, speed: 2.7 },
];

/** The tile of conv_forward_subgroup that wastes least on `blocks` vectors of channels. */
function forwardTile(lanes: number, blocks: number): ForwardTile {
  const value = (t: ForwardTile) => (t.speed * blocks) / (ceilDiv(blocks, t.TC) * t.TC);
  return (lanes === 4 ? TILES_4 : TILES_8).reduce((best, t) => (value(t) > value(best) ? t : best));
}

/** Tile of the workgroup kernels for a matrix of `rows` output channels: small ones get a low, wide tile. */
function workgroupTile(rows: number): { TM: number; TN: number; WY: number; WX: number; BK: number } {
  return rows <= 16 ? { TM: 4, TN: 4, WY: 4, WX: 16, BK: 32 } : { TM: 8, TN: 8, WY: 8, WX: 8, BK: 16 };
}

function withDepth(grid: Grid, z: number): Grid {
  return [grid[0], grid[1], z];
}

function runProduct(p: Product, x: Tensor, w: Tensor, bias: Tensor | null, y: Tensor): Tensor {
  const [LD, LH, LW] = p.fraction;
  const phases = LD * LH * LW;
  const pixels = x.shape[0] * sizeOf(p.output.map((n, a) => ceilDiv(n, p.fraction[a])));
  const consts = { ...geometryConsts(p), LD, LH, LW, BIAS: bias ? 1 : 0 };
  const flops = (2 * y.size * p.cin * sizeOf(p.kernel)) / phases;
  if (usePatches(p) && p.fraction.every((n) => n === 1)) {
    launchPatch(p, x, packWeights(w, p, PATCH_LANES), bias, y, flops);
  } else if (useSubgroups()) {
    const SG = gpu().info.subgroupSize;
    const blocks = ceilDiv(p.cout, SG);
    const tile = forwardTile(SG, blocks);
    const PV = Math.min(tile.PV, ceilDiv(pixels, SG));
    const z = phases * p.groups * ceilDiv(blocks, tile.TC);
    const SUBS = pixels * z > 64 * PV * SG ? 4 : 1;
    const packed = packWeights(w, p, SG);
    const grid = withDepth(linearGrid(pixels, PV * SG * SUBS), z);
    const buffers = { x, w: packed, bias: bias ?? w, y };
    launch("conv_forward_subgroup", { consts: { SG, SUBS, TC: tile.TC, PV, ...consts }, buffers, grid, flops });
  } else {
    const tile = workgroupTile(p.cout);
    const packed = packWeights(w, p, tile.TM * tile.WY);
    const z = phases * p.groups * ceilDiv(p.cout, tile.TM * tile.WY);
    const grid = withDepth(linearGrid(pixels, tile.TN * tile.WX), z);
    launch("conv_forward", {
      consts: { ...tile, ...consts },
      buffers: { x, w: packed, bias: bias ?? w, y },
      grid,
      flops,
    });
  }
  return y;
}

/** y of shape `yShape` = convolution of x with w. w: [groups * cout, cin, K]. */
export function runForward(s: ConvShape, x: Tensor, w: Tensor, bias: Tensor | null, yShape: readonly number[]): Tensor {
  return runProduct(forwardProduct(s), x, w, bias, empty(yShape));
}

/** dx of shape `xShape` from dy; with a bias, the transposed convolution of dy. w: [groups * cout, cin, K]. */
export function runInputGrad(
  s: ConvShape,
  dy: Tensor,
  w: Tensor,
  bias: Tensor | null,
  xShape: readonly number[],
): Tensor {
  return runProduct(inputGradProduct(s), dy, w, bias, empty(xShape));
}

/** The sum over the first axis of `parts` as a tensor of `shape`. */
function reduceParts(parts: Tensor, shape: readonly number[]): Tensor {
  const y = empty(shape);
  launch("conv_reduce", { buffers: { parts, y }, grid: linearGrid(y.size, 64) });
  return y;
}

/**
 * How many ways to split a sum of `length` steps so that about `wanted` pieces of
 * work exist, each of at least `least` steps.
 */
function splitsFor(work: number, length: number, wanted: number, least: number): number {
  return Math.max(1, Math.min(ceilDiv(wanted, work), Math.floor(length / least)));
}

function packChannels(x: Tensor, groups: number, pack: number): Tensor {
  const RUN = 8;
  const [batch, channels] = x.shape;
  const C = channels / groups;
  const S = x.size / (batch * channels);
  const packed = empty([batch, groups, ceilDiv(C, pack), S, pack]);
  launch("conv_pack_channels", {
    consts: { PACK: pack, C, S, RUN },
    buffers: { x, packed },
    grid: linearGrid((packed.size / S) * ceilDiv(S, RUN), 64),
  });
  return packed;
}

/** dw of shape `wShape` [groups * cout, cin, K...] from x and dy. */
export function runWeightGrad(s: ConvShape, x: Tensor, dy: Tensor, wShape: readonly number[]): Tensor {
  const columns = s.cin * sizeOf(s.kernel);
  const flops = 2 * dy.size * columns;
  const consts = geometryConsts(s);
  if (!useSubgroups()) {
    const tile = workgroupTile(s.cout);
    const grid: Grid = [ceilDiv(columns, tile.TN * tile.WX), s.groups * ceilDiv(s.cout, tile.TM * tile.WY), 1];
    const splits = splitsFor(grid[0] * grid[1], dy.size / (s.groups * s.cout), 1024, 256);
    const dw = empty(splits === 1 ? wShape : [splits, ...wShape]);
    launch("conv_weight_grad", {
      consts: { ...tile, ...consts },
      buffers: { x, dy, dw },
      grid: withDepth(grid, splits),
      flops,
    });
    return splits === 1 ? dw : reduceParts(dw, wShape);
  }
  const SG = gpu().info.subgroupSize;
  const blocks = ceilDiv(s.cout, SG);
  // Packing costs about as much as a few dozen columns of the gradient.
  const packed = columns >= 64 && s.cout >= SG;
  const grads = packed ? packChannels(dy, s.groups, SG) : dy;
  const parts = (splits: number) => empty(splits === 1 ? wShape : [splits, ...wShape]);
  // With a single tap nothing is loaded twice, and larger tiles of channels pay.
  if (usePatches(s) && s.kernel[1] * s.kernel[2] > 1) {
    const plan = gradPatchPlan(s, x.shape[0]);
    const splits = splitsFor(plan.tiles, plan.patches, 128, 4);
    const dw = parts(splits);
    launchGradPatch(s, plan, x, grads, packed, dw, splits, flops);
    return splits === 1 ? dw : reduceParts(dw, wShape);
  }
  const vectors = ceilDiv(columns, SG);
  const { TC, QV } = weightGradTile(SG, blocks, vectors);
  const tiles = s.groups * ceilDiv(blocks, TC) * ceilDiv(vectors, QV);
  const splits = splitsFor(tiles, x.shape[0] * s.output[0] * s.output[1], 128, 1);
  const SUBS = tiles * splits > 64 ? 4 : 1;
  const dw = parts(splits);
  const grid = withDepth(linearGrid(tiles, SUBS), splits);
  const tile = { SG, SUBS, TC, QV, PACKED: packed ? 1 : 0 };
  launch("conv_weight_grad_subgroup", { consts: { ...tile, ...consts }, buffers: { x, dy: grads, dw }, grid, flops });
  return splits === 1 ? dw : reduceParts(dw, wShape);
}

/**
 * Vectors of channels and of columns per thread of conv_weight_grad_subgroup; the fastest of those tried on lavapipe
 * (8 lanes) and SwiftShader (4).
 */
function weightGradTile(lanes: number, blocks: number, columnVectors: number): { TC: number; QV: number } {
  const TC = blocks >= 3 ? 4 : blocks;
  const wide = TC === 1 || (TC === 2 && lanes === 4);
  return { TC, QV: Math.min(columnVectors, wide ? 3 : 2) };
}

/** db [channels] from dy [N, channels, ...]. */
export function runBiasGrad(dy: Tensor): Tensor {
  const [batch, C] = dy.shape;
  const count = dy.size / C;
  const splits = splitsFor(C, count, 64, 1024);
  const db = empty(splits === 1 ? [C] : [splits, C]);
  launch("conv_bias_grad", {
    consts: { C, S: count / batch },
    buffers: { dy, db },
    grid: [C, splits, 1],
    flops: dy.size,
  });
  return splits === 1 ? db : reduceParts(db, [C]);
}
