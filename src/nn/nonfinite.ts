// Infinities and NaN, found by their bits on the GPU.

import { MAX_WORKGROUPS } from "../gpu/grid.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import type { Tensor } from "../tensor.ts";

const AT_ONCE = 7; // tensors per launch of nonfinite.wgsl: eight buffers is what every adapter binds
const PER_GROUP = 64 * 16; // values of the largest tensor that a workgroup looks at

/**
 * Sets `found` [1] u32 to 1 if any value of the tensors, f32 or f16, is an infinity or NaN; never clears it. One launch
 * per seven tensors; nothing is read back.
 */
export function noteNonfinite(tensors: readonly Tensor[], found: Tensor): void {
  for (let at = 0; at < tensors.length; at += AT_ONCE) {
    const run = tensors.slice(at, at + AT_ONCE).sort((a, b) => a.size - b.size);
    // The smallest stands in where there are fewer: one pipeline for all.
    const [x0, x1 = x0, x2 = x0, x3 = x0, x4 = x0, x5 = x0, x6 = x0] = run;
    const groups = Math.ceil(run.at(-1)!.size / PER_GROUP);
    launch(wgsl.nonfinite, {
      buffers: { x0, x1, x2, x3, x4, x5, x6, found },
      grid: [Math.min(MAX_WORKGROUPS, groups), 1, 1],
    });
  }
}
