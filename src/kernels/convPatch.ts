// The convolution kernels of software adapters with 8 lanes: which patch of outputs a thread works on, and their launch.

import { linearGrid } from "../gpu/grid.ts";
import { launch } from "../gpu/program.ts";
import { axisConsts, ceilDiv } from "./axes.ts";
import type { Tensor } from "../tensor.ts";
import type { ConvShape } from "./convShape.ts";

/** Channels side by side in the lanes of a subgroup. */
export const PATCH_LANES = 8;

/** What a thread computes: TC vectors of channels, each of PY x PX pixels. */
export interface Patch {
  readonly TC: number;
  readonly PX: number;
  readonly PY: number;
}

/** At most 64 sums: twice as many need up to 45 % fewer instructions but take twice as long to compile (5 s). */
const PATCHES: readonly Patch[] = [
  { TC: 1, PX: 8, PY: 8 },
  { TC: 2, PX: 8, PY: 4 },
  { TC: 4, PX: 8, PY: 2 },
  { TC: 4, PX: 4, PY: 4 },
  { TC: 2, PX: 4, PY: 4 },
  { TC: 1, PX: 4, PY: 4 },
];

/** Products of vectors in a thread's inner loop at most, for the sake of compile time: about 4 ms each. */
const MOST_PRODUCTS = 640;

/** The same for the smallest patch, which large filters take. */
const MOST_OF_SMALLEST = 1024;

/** True for filters small enough that the smallest patch keeps to that. */
export function isPatchable({ kernel }: ConvShape): boolean {
  return 16 * kernel[1] * kernel[2] <= MOST_OF_SMALLEST;
}

/** Those of `tiles`, the smallest last, whose `products` compile fast enough: at least the last. */
function compiling<T>(tiles: readonly T[], products: (tile: T) => number): T[] {
  const fitting = tiles.filter((tile) => products(tile) <= MOST_PRODUCTS);
  return fitting.length > 0 ? fitting : tiles.slice(-1);
}

/**
 * Patches that compile fast enough, least work first. Of the machine instructions, counted on lavapipe, loading a vector
 * takes 85 (lanes and bounds are checked one by one), a product 2.5, and a turn of the loop over input channels about
 * 100.
 */
export function patches(s: ConvShape): Patch[] {
  const { kernel, output, cout } = s;
  const taps = kernel[1] * kernel[2];
  const work = ({ TC, PX, PY }: Patch): number => {
    const products = TC * PY * PX * taps;
    const loads = TC * taps + vectorsBelow(s, PX, PY);
    const threads = ceilDiv(output[1], PY) * ceilDiv(output[2], PX) * ceilDiv(ceilDiv(cout, PATCH_LANES), TC);
    return threads * (85 * loads + 2.5 * products + 100);
  };
  return compiling(PATCHES, ({ TC, PX, PY }) => TC * PY * PX * taps).sort((a, b) => work(a) - work(b));
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

/** y = convolution of x with `packed` weights (PACK = PATCH_LANES). */
export function launchPatch(
  s: ConvShape,
  patch: Patch,
  x: Tensor,
  packed: Tensor,
  bias: Tensor | null,
  y: Tensor,
  flops: number,
): void {
  const count = x.shape[0] * s.output[0] * ceilDiv(s.output[1], patch.PY) * ceilDiv(s.output[2], patch.PX);
  const z = s.groups * ceilDiv(ceilDiv(s.cout, PATCH_LANES), patch.TC);
  const [across, down] = linearGrid(count, 1);
  const { consts, immediates } = geometry(s);
  launch("conv_forward_patch", {
    consts: { ...consts, ...patch },
    immediates: { ...immediates, biased: bias ? 1 : 0 },
    buffers: { x, w: packed, bias: bias ?? packed, y },
    grid: [across, down, z],
    flops,
  });
}

/** What a thread of the weight gradient sums up: TC channel vectors x CB input channels, PY x PX pixels at a time. */
export interface GradPatch extends Patch {
  readonly CB: number;
}

const GRAD_PATCHES: readonly GradPatch[] = [
  { TC: 1, CB: 8, PX: 8, PY: 1 },
  { TC: 1, CB: 4, PX: 8, PY: 2 },
  { TC: 2, CB: 4, PX: 8, PY: 1 },
  { TC: 1, CB: 2, PX: 8, PY: 4 },
  { TC: 1, CB: 1, PX: 8, PY: 4 },
  { TC: 1, CB: 1, PX: 4, PY: 4 },
  { TC: 1, CB: 1, PX: 4, PY: 1 },
];

/** Those that compile fast enough, least work first, counted as in patches(). */
export function gradPatches(s: ConvShape): GradPatch[] {
  const taps = s.kernel[1] * s.kernel[2];
  const work = ({ TC, CB, PX, PY }: GradPatch): number => {
    const loads = TC * PX * PY + CB * vectorsBelow(s, PX, PY);
    const tiles = ceilDiv(ceilDiv(s.cout, PATCH_LANES), TC) * ceilDiv(s.cin, CB);
    const count = ceilDiv(s.output[1], PY) * ceilDiv(s.output[2], PX);
    return tiles * count * (85 * loads + 2.5 * TC * CB * PX * PY * taps + 100);
  };
  return compiling(GRAD_PATCHES, ({ TC, CB, PX, PY }) => TC * CB * PX * PY * taps).sort((a, b) => work(a) - work(b));
}

interface GradPatchPlan {
  readonly patch: GradPatch;
  readonly tiles: number;
  readonly patches: number;
}

/** How the work of a weight gradient is cut: `tiles` threads for each of at most `patches` ranges of pixels. */
export function gradPatchPlan(s: ConvShape, patch: GradPatch, batch: number): GradPatchPlan {
  const tiles = s.groups * ceilDiv(ceilDiv(s.cout, PATCH_LANES), patch.TC) * ceilDiv(s.cin, patch.CB) * s.kernel[0];
  const patches = batch * s.output[0] * ceilDiv(s.output[1], patch.PY) * ceilDiv(s.output[2], patch.PX);
  return { patch, tiles, patches };
}

/** dw [splits, ...] from x and dy, which conv_pack_channels has packed where `packed`. */
export function launchGradPatch(
  s: ConvShape,
  { patch, tiles }: GradPatchPlan,
  x: Tensor,
  dy: Tensor,
  packed: boolean,
  dw: Tensor,
  splits: number,
  flops: number,
): void {
  const [across, down] = linearGrid(tiles, 1);
  const { consts, immediates } = geometry(s);
  launch("conv_weight_grad_patch", {
    consts: { ...consts, ...patch, PACKED: packed ? 1 : 0 },
    immediates,
    buffers: { x, dy, dw },
    grid: [across, down, splits],
    flops,
  });
}
