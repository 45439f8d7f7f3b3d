import { checkpoint } from "../../checkpoint.ts";
import { concat } from "../../kernels/layout.ts";
import { maxPool2d } from "../../kernels/pool.ts";
import type { Tensor } from "../../tensor.ts";

interface Block {
  forward(x: Tensor): Tensor;
}

/** The blocks of a U-Net. */
export interface Levels {
  readonly encoder: readonly Block[];
  readonly bottleneck: Block;
  readonly decoder: readonly { readonly up: Block; readonly block: Block }[];
  readonly recompute: boolean;
}

/** A block, kept for the gradient or computed again for it. */
export function runBlock(block: Block, x: Tensor, recompute: boolean): Tensor {
  return recompute ? checkpoint((t) => block.forward(t), x) : block.forward(x);
}

/**
 * What a U-Net's decoder computes at every level, from full resolution down: blocks with 2x2 max pooling between them on
 * the way down, and on the way up blocks that see the doubled output of the level below and the skip beside it.
 */
export function decoderLevels({ encoder, bottleneck, decoder, recompute }: Levels, x: Tensor): Tensor[] {
  const skips: Tensor[] = [];
  let y = x;
  for (const block of encoder) {
    y = runBlock(block, y, recompute);
    skips.push(y);
    y = maxPool2d(y, { kernelSize: 2 });
  }
  y = runBlock(bottleneck, y, recompute);
  const levels: Tensor[] = [];
  for (const { up, block } of decoder) {
    y = runBlock(block, concat([up.forward(y), skips.pop()!], 1), recompute);
    levels.unshift(y);
  }
  return levels;
}
