// Argument checks that many operations share.

import { ShapeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** Throws ShapeError unless `t` holds float32 numbers. */
export function checkFloat(op: string, name: string, t: Tensor): void {
  if (t.dtype === "f32") return;
  throw new ShapeError(`${op}: ${name} must be f32, got ${t.dtype} ${showShape(t.shape)}; cast it first`);
}
