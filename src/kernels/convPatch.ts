// The convolution kernels of software adapters with 8 lanes: which patch of outputs a thread works on, and their launch.

import { linearGrid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { axisConsts, ceilDiv } from "./axes.ts";
import { noGrad } from "../autograd.ts";
import { empty, type Tensor } from "../tensor.ts";
import { pad } from "./pad.ts";
import type { ConvShape } from "./convShape.ts";

/** Channels side by side in the lanes of a subgroup. */
export const PATCH_LANES = 8;

interface Size {
  readonly TC: number;
  readonly PX: number;
  readonly PY: number;
}

/** How far apart the pixels of a patch lie. */
interface Spread {
  readonly LH: number;
  readonly LW?: number;
}

/** What a thread computes: TC vectors of channels, each of PY x PX pixels, which lie LH rows and LW columns apart. */
export interface Patch extends Size {
  readonly LH: number;
  readonly LW: number;
}

const SIZES: readonly Size[] = [
  { TC: 4, PX: 8, PY: 8 },
  { TC: 2, PX: 8, PY: 8 },
  { TC: 2, PX: 4, PY: 16 },
  { TC: 2, PX: 4, PY: 8 },
  { TC: 1, PX: 8, PY: 8 },
  { TC: 4, PX: 4, PY: 4 },
  { TC: 2, PX: 4, PY: 4 },
  { TC: 1, PX: 4, PY: 4 },
];

/**
 * Products of vectors in a thread's inner loop at most, for the sake of compile time, about 1.5 ms each, and of what
 * compilers hold meanwhile: twice as many make a forward kernel at most a tenth faster (decision 4).
 */
const MOST_PRODUCTS = 640;

/** The same for weight gradients, which gain a tenth by it. */
const MOST_OF_GRADIENT = 1280;

/** The same where the autotuner has measured that it pays. */
const MOST_TUNED = 2560;

/** The same for the smallest patch, which large filters take. */
const MOST_OF_SMALLEST = 1024;

/** True for filters small enough that the smallest patch keeps to that. */
export function isPatchable({ kernel }: ConvShape): boolean {
  return 16 * kernel[1] * kernel[2] <= MOST_OF_SMALLEST;
}

/**
 * Machine instructions of 8 lanes, counted on lavapipe: loading a value each (lanes and bounds are checked one by one),
 * loading four each, a product, a turn of the loop.
 */
const COST = { load: 112, loadFour: 250, product: 2.5, turn: 100 };

/**
 * Of `tiles`, the smallest last, those that compile fast enough, least work first, and at least the last; behind them those
 * that only the autotuner may choose.
 */
function ranked<T>(tiles: readonly T[], most: number, products: (tile: T) => number, work: (tile: T) => number): T[] {
  const between = (low: number, high: number) =>
    tiles.filter((t) => products(t) > low && products(t) <= high).sort((a, b) => work(a) - work(b));
  const quick = between(0, most);
  return [...(quick.length > 0 ? quick : tiles.slice(-1)), ...between(most, MOST_TUNED)];
}

/** Patches of a forward kernel, that of the least instructions first. */
export function patches(s: ConvShape): Patch[] {
  const { kernel, stride, dilation, cout } = s;
  const taps = kernel[1] * kernel[2];
  const products = ({ TC, PX, PY }: Size) => TC * PY * PX * taps;
  const [dh, dw] = [1, 2].map((axis) => (stride[axis] === 1 ? dilation[axis] : 1));
  const apart = dh * dw > 1 ? [1, 0] : [0];
  const all = SIZES.flatMap((size) => apart.map((a) => ({ ...size, LH: a ? dh : 1, LW: a ? dw : 1 })));
  return ranked<Patch>(all, MOST_PRODUCTS, products, (patch) => {
    const { TC, PX, PY } = patch;
    const turn =
      COST.load * vectorsBelow(apartBy(s, patch), PX, PY) +
      COST.loadFour * ceilDiv(TC * taps, 4) +
      COST.product * products(patch) +
      COST.turn;
    return patchCount(s, patch) * ceilDiv(ceilDiv(cout, PATCH_LANES), TC) * turn;
  });
}

/** The convolution as a patch sees it: its dilation in steps of the patch. */
function apartBy(s: ConvShape, { LH, LW = 1 }: Spread): ConvShape {
  const [d, h, w] = s.dilation;
  return { ...s, dilation: [d, h / LH, w / LW] };
}

/** Patches that cover one plane of the output. */
function patchCount({ output }: ConvShape, { PX, PY, LH, LW = 1 }: Size & Spread): number {
  return ceilDiv(output[1], LH * PY) * LH * ceilDiv(output[2], LW * PX) * LW;
}

/** Consts and immediates that both kernels share. */
function geometry(s: ConvShape) {
  const { KH, KW } = axisConsts("K", s.kernel);
  const { SH, SW } = axisConsts("S", s.stride);
  const { DH, DW } = axisConsts("D", s.dilation);
  const [id, ih, iw] = s.input;
  const [od, oh, ow] = s.output;
  const [pad_d, pad_h, pad_w] = s.padding;
  const depth = { kd: s.kernel[0], sd: s.stride[0], dd: s.dilation[0] };
  const sizes = { groups: s.groups, cin: s.cin, cout: s.cout, id, ih, iw, od, oh, ow };
  return {
    consts: { SG: PATCH_LANES, KH, KW, SH, SW, DH, DW },
    immediates: { ...sizes, pad_d, pad_h, pad_w, ...depth },
  };
}

/** Vectors that hold the input below a patch. */
function vectorsBelow({ kernel, stride, dilation }: ConvShape, PX: number, PY: number): number {
  const [rows, columns] = [PY, PX].map((n, a) => (n - 1) * stride[a + 1] + (kernel[a + 1] - 1) * dilation[a + 1] + 1);
  return ceilDiv(rows * columns, PATCH_LANES);
}

/** y = convolution of x with w; `transposed`: w is [groups * cin, cout, K] and used in reverse order. */
export function launchPatch(
  s: ConvShape & { readonly transposed: boolean },
  patch: Patch,
  x: Tensor,
  w: Tensor,
  bias: Tensor | null,
  y: Tensor,
  flops: number,
): void {
  const count = x.shape[0] * s.output[0] * patchCount(s, patch);
  const z = s.groups * ceilDiv(ceilDiv(s.cout, PATCH_LANES), patch.TC);
  const [across, down] = linearGrid(count, 1);
  const { consts, immediates } = geometry(apartBy(s, patch));
  launch(wgsl.conv_forward_patch, {
    consts: { ...consts, ...patch },
    immediates: { ...immediates, biased: bias ? 1 : 0 },
    buffers: { x, w: packTaps(s, patch.TC, w), bias: bias ?? w, y },
    grid: [across, down, z],
    flops,
  });
}

/** A lane's weights side by side, in whole vectors of four: of one input channel, TC output channels and all taps of a depth. */
function packTaps(s: ConvShape & { readonly transposed: boolean }, TC: number, w: Tensor): Tensor {
  const { groups, cin, cout, transposed, kernel } = s;
  const [kd, kh, kw] = kernel;
  const taps = kh * kw;
  const tiles = ceilDiv(cout, PATCH_LANES * TC);
  const packed = empty([groups, tiles, kd, cin, PATCH_LANES, 4 * ceilDiv(TC * taps, 4)]);
  const [a, b] = transposed ? [cin, cout] : [cout, cin];
  const way = transposed ? 1 : 0;
  launch(wgsl.conv_pack_taps, {
    consts: { PACK: PATCH_LANES, TC, SWAP: way, FLIP: way },
    immediates: { groups, a, b, kd, taps },
    buffers: { w, packed },
    grid: linearGrid(groups * tiles * cin * PATCH_LANES, 64),
  });
  return packed;
}

interface GradSize extends Size {
  readonly CB: number;
}

/** What a thread of the weight gradient sums up: TC channel vectors x CB input channels, PY x PX pixels at a time, LH rows apart. */
export interface GradPatch extends GradSize {
  readonly LH: number;
}

const GRAD_SIZES: readonly GradSize[] = [
  { TC: 2, CB: 4, PX: 8, PY: 4 },
  { TC: 4, CB: 4, PX: 4, PY: 2 },
  { TC: 2, CB: 4, PX: 8, PY: 2 },
  { TC: 2, CB: 4, PX: 4, PY: 2 },
  { TC: 4, CB: 2, PX: 4, PY: 2 },
  { TC: 2, CB: 2, PX: 8, PY: 2 },
  { TC: 1, CB: 1, PX: 4, PY: 4 },
  { TC: 1, CB: 1, PX: 4, PY: 1 },
];

/** Patches of the weight gradient, that of the least instructions first. */
export function gradPatches(s: ConvShape): GradPatch[] {
  const taps = s.kernel[1] * s.kernel[2];
  const products = ({ TC, CB, PX, PY }: GradSize) => TC * CB * PX * PY * taps;
  const apart = s.stride[1] === 1 && s.dilation[1] > 1 ? [s.dilation[1], 1] : [1];
  const all = GRAD_SIZES.flatMap((size) => apart.map((LH) => ({ ...size, LH })));
  return ranked<GradPatch>(all, MOST_OF_GRADIENT, products, (patch) => {
    const { TC, CB, PX, PY } = patch;
    const turn =
      COST.load * CB * vectorsBelow(apartBy(s, patch), PX, PY) +
      (COST.loadFour * TC * PX * PY) / 4 +
      COST.product * products(patch) +
      COST.turn;
    const tiles = ceilDiv(ceilDiv(s.cout, PATCH_LANES), TC) * ceilDiv(s.cin, CB);
    return tiles * patchCount(s, patch) * turn;
  });
}

/** Rows filled up with zeros to a multiple of four. */
function withWholeRows(x: Tensor): Tensor {
  const rest = x.shape.at(-1)! % 4;
  return rest === 0 ? x : noGrad(() => pad(x, [0, 4 - rest]));
}

interface GradPatchPlan {
  readonly patch: GradPatch;
  readonly tiles: number;
  readonly patches: number;
}

/** How the work of a weight gradient is cut: `tiles` threads for each of at most `patches` ranges of pixels. */
export function gradPatchPlan(s: ConvShape, patch: GradPatch, batch: number): GradPatchPlan {
  const tiles = s.groups * ceilDiv(ceilDiv(s.cout, PATCH_LANES), patch.TC) * ceilDiv(s.cin, patch.CB) * s.kernel[0];
  const patches = batch * s.output[0] * patchCount(s, patch);
  return { patch, tiles, patches };
}

/** dw [splits, ...] from x and dy. */
export function launchGradPatch(
  s: ConvShape,
  { patch, tiles }: GradPatchPlan,
  x: Tensor,
  dy: Tensor,
  dw: Tensor,
  splits: number,
  flops: number,
): void {
  const [across, down] = linearGrid(tiles, 1);
  const { consts, immediates } = geometry(apartBy(s, patch));
  launch(wgsl.conv_weight_grad_patch, {
    consts: { ...consts, ...patch },
    immediates,
    buffers: { x, dy: withWholeRows(dy), dw },
    grid: [across, down, splits],
    flops,
  });
}
