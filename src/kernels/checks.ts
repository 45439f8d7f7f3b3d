// Argument checks that many operations share.

import { ShapeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** True for f32 and f16. */
export function isFloat(t: Tensor): boolean {
  return t.dtype === "f32" || t.dtype === "f16";
}

/** Throws ShapeError unless `t` holds f32 or f16. */
export function checkFloat(op: string, name: string, t: Tensor): void {
  if (isFloat(t)) return;
  throw new ShapeError(`${op}: ${name} must be f32 or f16, got ${t.dtype} ${showShape(t.shape)}; cast it first`);
}
