// The kernel calls behind every convolution: forward, input gradient, weight
// gradient and bias gradient of one ConvShape.
// A transposed convolution is the input gradient of the convolution it transposes, so it needs no kernels of its own.

import { gpu } from "../gpu/device.ts";
import { linearGrid, type Grid } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { sizeOf } from "../shape.ts";
import { Rng } from "../random.ts";
import { empty, emptyFrom, type Tensor } from "../tensor.ts";
import { pick, REORDERED, ROUNDED, type Tunable } from "../tune.ts";
import { axisConsts, ceilDiv, triple } from "./axes.ts";
import { gradPatchPlan, launchGradPatch, launchPatch } from "./convPatch.ts";
import type { ConvShape } from "./convShape.ts";
import {
  forwardChoices,
  gradChoices,
  plainChoice,
  type ForwardChoice,
  type GradChoice,
  type Product,
} from "./convTiles.ts";
import { launchConvMatrix, tileRows } from "./matrixUnits.ts";
import { matmulPrecision } from "./precision.ts";
import { randn } from "./random.ts";

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

/** Consts of the workgroup kernels. */
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

function productConsts(p: Product, bias: Tensor | null) {
  return { ...geometryConsts(p), ...axisConsts("L", p.fraction), BIAS: bias ? 1 : 0 };
}

/** Consts and immediates of the subgroup kernels. */
function subgroupGeometry({ groups, cin, cout, input, output, kernel, padding, stride, dilation }: ConvShape) {
  const [[id, ih, iw], [od, oh, ow], [kd, kh, kw], [pad_d, pad_h, pad_w]] = [input, output, kernel, padding];
  return {
    consts: { SG: gpu().info.subgroupSize, ...axisConsts("S", stride), ...axisConsts("D", dilation) },
    immediates: { groups, cin, cout, id, ih, iw, od, oh, ow, kd, kh, kw, pad_d, pad_h, pad_w },
  };
}

function packWeights(w: Tensor, p: Product, pack: number): Tensor {
  const taps = sizeOf(p.kernel);
  const packed = empty([p.groups, ceilDiv(p.cout, pack), taps, p.cin, pack]);
  const [A, B] = p.transposed ? [p.cin, p.cout] : [p.cout, p.cin];
  launch(wgsl.conv_pack_weights, {
    consts: { PACK: pack, SWAP: p.transposed ? 1 : 0, FLIP: p.transposed ? 1 : 0 },
    immediates: { a: A, b: B, k: taps },
    buffers: { w, packed },
    grid: linearGrid(packed.size / taps, 64),
  });
  return packed;
}

function withDepth(grid: Grid, z: number): Grid {
  return [grid[0], grid[1], z];
}

function launchProduct(choice: ForwardChoice, p: Product, x: Tensor, w: Tensor, bias: Tensor | null, y: Tensor): void {
  const [LD, LH, LW] = p.fraction;
  const phases = LD * LH * LW;
  const pixels = x.shape[0] * sizeOf(p.output.map((n, a) => ceilDiv(n, p.fraction[a])));
  const flops = (2 * y.size * p.cin * sizeOf(p.kernel)) / phases;
  if (choice.kernel === "patch") {
    launchPatch(p, choice.tile, x, w, bias, y, flops);
  } else if (choice.kernel === "subgroup") {
    const SG = gpu().info.subgroupSize;
    const { TC, PV: widest } = choice.tile;
    const PV = Math.min(widest, ceilDiv(pixels, SG));
    const z = phases * p.groups * ceilDiv(ceilDiv(p.cout, SG), TC);
    const packed = packWeights(w, p, SG);
    const grid = withDepth(linearGrid(pixels, PV * SG), z);
    const { consts, immediates } = subgroupGeometry(p);
    launch(wgsl.conv_forward_subgroup, {
      consts: { ...consts, TC, PV, LD, LH, LW },
      immediates: { ...immediates, biased: bias ? 1 : 0 },
      buffers: { x, w: packed, bias: bias ?? w, y },
      grid,
      flops,
    });
  } else if (choice.kernel === "matrix") {
    const packed = packWeights(w, p, tileRows(choice.tile));
    launchConvMatrix(choice.tile, p, productConsts(p, bias), { x, w: packed, bias: bias ?? w, y }, flops);
  } else {
    const { tile } = choice;
    const packed = packWeights(w, p, tile.TM * tile.WY);
    const z = phases * p.groups * ceilDiv(p.cout, tile.TM * tile.WY);
    const grid = withDepth(linearGrid(pixels, tile.TN * tile.WX), z);
    const buffers = { x, w: packed, bias: bias ?? w, y };
    launch(wgsl.conv_forward, { consts: { ...tile, ...productConsts(p, bias) }, buffers, grid, flops });
  }
}

interface ProductShape {
  readonly p: Product;
  readonly batch: number;
}

/** A shape as text: all that kernels' times depend on. */
function shapeKey(s: ConvShape, batch: number): string {
  const axes = [s.input, s.output, s.kernel, s.stride, s.padding, s.dilation].map((axis) => axis.join("x"));
  return `${batch} ${s.groups}x${s.cin}-${s.cout} ${axes.join(" ")}`;
}

const products: Tunable<ProductShape, ForwardChoice> = {
  name: "convolution",
  kernels: [
    wgsl.conv_forward,
    wgsl.conv_forward_subgroup,
    wgsl.conv_forward_patch,
    wgsl.conv_forward_subgroup_matrix,
    wgsl.conv_pack_weights,
    wgsl.conv_pack_taps,
  ],
  key: ({ p, batch }) =>
    `${shapeKey(p, batch)} ${p.fraction.join("x")}${p.transposed ? " transposed" : ""} ${matmulPrecision()}`,
  candidates: ({ p, batch }) => forwardChoices(p, batch * sizeOf(p.output)),
  tolerance: ({ kernel, tile }) => (kernel === "matrix" && tile.T === "f16" ? ROUNDED : REORDERED),
  plain: ({ p }) => plainChoice(p.cout),
  inputs: ({ p, batch }) => {
    const rng = new Rng(0, "tune");
    return [
      randn([batch, p.groups * p.cin, ...p.input], rng),
      randn([p.groups * p.cin * p.cout * sizeOf(p.kernel)], rng),
    ];
  },
  run: (choice, { p, batch }, [x, w]) => {
    const y = empty([batch, p.groups * p.cout, ...p.output]);
    launchProduct(choice, p, x, w, null, y);
    return y;
  },
};

function runProduct(p: Product, x: Tensor, w: Tensor, bias: Tensor | null, y: Tensor): Tensor {
  launchProduct(pick(products, { p, batch: x.shape[0] }), p, x, w, bias, y);
  return y;
}

/** y of shape `yShape` = convolution of x with w. w: [groups * cout, cin, K]. */
export function runForward(s: ConvShape, x: Tensor, w: Tensor, bias: Tensor | null, yShape: readonly number[]): Tensor {
  return runProduct(forwardProduct(s), x, w, bias, emptyFrom(yShape, x));
}

/** dx of shape `xShape` from dy; with a bias, the transposed convolution of dy. w: [groups * cout, cin, K]. */
export function runInputGrad(
  s: ConvShape,
  dy: Tensor,
  w: Tensor,
  bias: Tensor | null,
  xShape: readonly number[],
): Tensor {
  return runProduct(inputGradProduct(s), dy, w, bias, emptyFrom(xShape, dy));
}

/** The sum over the first axis of `parts` as a tensor of `shape`. */
function reduceParts(parts: Tensor, shape: readonly number[]): Tensor {
  const y = empty(shape);
  launch(wgsl.conv_reduce, { buffers: { parts, y }, grid: linearGrid(y.size, 64) });
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
  launch(wgsl.conv_pack_channels, {
    consts: { PACK: pack, RUN },
    immediates: { channels: C, size: S },
    buffers: { x, packed },
    grid: linearGrid((packed.size / S) * ceilDiv(S, RUN), 64),
  });
  return packed;
}

const weightGrads: Tunable<{ readonly s: ConvShape; readonly batch: number }, GradChoice> = {
  name: "convolution weight gradient",
  kernels: [
    wgsl.conv_weight_grad,
    wgsl.conv_weight_grad_subgroup,
    wgsl.conv_weight_grad_patch,
    wgsl.conv_pack_channels,
  ],
  key: ({ s, batch }) => shapeKey(s, batch),
  candidates: ({ s }) => gradChoices(s),
  tolerance: () => REORDERED,
  plain: ({ s }) => plainChoice(s.cout),
  inputs: ({ s, batch }) => {
    const rng = new Rng(0, "tune");
    return [randn([batch, s.groups * s.cin, ...s.input], rng), randn([batch, s.groups * s.cout, ...s.output], rng)];
  },
  run: (choice, { s }, [x, dy]) => launchWeightGrad(choice, s, x, dy, [s.groups * s.cout, s.cin, ...s.kernel]),
};

/** dw of shape `wShape` [groups * cout, cin, K...] from x and dy. */
export function runWeightGrad(s: ConvShape, x: Tensor, dy: Tensor, wShape: readonly number[]): Tensor {
  return launchWeightGrad(pick(weightGrads, { s, batch: x.shape[0] }), s, x, dy, wShape);
}

function launchWeightGrad(choice: GradChoice, s: ConvShape, x: Tensor, dy: Tensor, wShape: readonly number[]): Tensor {
  const columns = s.cin * sizeOf(s.kernel);
  const flops = 2 * dy.size * columns;
  const parts = (splits: number) => empty(splits === 1 ? wShape : [splits, ...wShape]);
  const summed = (dw: Tensor, splits: number) => (splits === 1 ? dw : reduceParts(dw, wShape));
  if (choice.kernel === "tiled") {
    const { tile } = choice;
    const grid: Grid = [ceilDiv(columns, tile.TN * tile.WX), s.groups * ceilDiv(s.cout, tile.TM * tile.WY), 1];
    const splits = splitsFor(grid[0] * grid[1], dy.size / (s.groups * s.cout), 1024, 256);
    const dw = parts(splits);
    const buffers = { x, dy, dw };
    const consts = { ...tile, ...geometryConsts(s) };
    launch(wgsl.conv_weight_grad, { consts, buffers, grid: withDepth(grid, splits), flops });
    return summed(dw, splits);
  }
  if (choice.kernel === "patch") {
    const plan = gradPatchPlan(s, choice.tile, x.shape[0]);
    const splits = splitsFor(plan.tiles, plan.patches, 128, 4);
    const dw = parts(splits);
    launchGradPatch(s, plan, x, dy, dw, splits, flops);
    return summed(dw, splits);
  }
  const SG = gpu().info.subgroupSize;
  // Packing costs about as much as a few dozen columns of the gradient.
  const packed = columns >= 64 && s.cout >= SG;
  const grads = packed ? packChannels(dy, s.groups, SG) : dy;
  const { TC, QV } = choice.tile;
  const tiles = s.groups * ceilDiv(ceilDiv(s.cout, SG), TC) * ceilDiv(ceilDiv(columns, SG), QV);
  const splits = splitsFor(tiles, x.shape[0] * s.output[0] * s.output[1], 128, 1);
  const dw = parts(splits);
  const grid = withDepth(linearGrid(tiles, 1), splits);
  const { consts, immediates } = subgroupGeometry(s);
  launch(wgsl.conv_weight_grad_subgroup, {
    consts: { ...consts, TC, QV, PACKED: packed ? 1 : 0 },
    immediates,
    buffers: { x, dy: grads, dw },
    grid,
    flops,
  });
  return summed(dw, splits);
}

/** db [channels] from dy [N, channels, ...]. */
export function runBiasGrad(dy: Tensor): Tensor {
  const [batch, C] = dy.shape;
  const count = dy.size / C;
  const splits = splitsFor(C, count, 64, 1024);
  const db = empty(splits === 1 ? [C] : [splits, C]);
  launch(wgsl.conv_bias_grad, {
    consts: { WG: 64 },
    immediates: { channels: C, size: count / batch, half: 64 / 2 },
    buffers: { dy, db },
    grid: [C, splits, 1],
    flops: dy.size,
  });
  return splits === 1 ? db : reduceParts(db, [C]);
}
