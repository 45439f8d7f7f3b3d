// A minimal operation for tests of the core, which must not depend on kernels/.
import { gpu } from "../src/gpu/device.ts";
import { linearGrid } from "../src/gpu/grid.ts";
import * as wgsl from "../src/gpu/kernels.gen.ts";
import { launch } from "../src/gpu/program.ts";
import { empty, record, type Tensor } from "../src/index.ts";

/** a + b of one shape. */
export function accumulateOp(a: Tensor, b: Tensor): Tensor {
  const y = empty(a.shape);
  launch(wgsl.accumulate, { buffers: { a, b, y }, grid: linearGrid(Math.ceil(y.size / 4), 64) });
  return record(y, [a, b], (dy) => [dy, dy]);
}

/** Waits until everything submitted is done. */
export async function settle(): Promise<void> {
  await gpu().lastSubmit;
}
