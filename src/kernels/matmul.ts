// Matrix products. Transposed operands are walked with other strides; nothing is copied.

import { record } from "../autograd.ts";
import { ShapeError } from "../errors.ts";
import { tell } from "../observe.ts";
import { sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkFloat } from "./checks.ts";
import { reshape } from "./layout.ts";
import { product } from "./matmulRun.ts";
import { sumTo } from "./reduction.ts";

/** Settings of matmul(). */
export interface MatmulOptions {
  /** Use the last two dimensions of `a` swapped. Default false. */
  transposeA?: boolean;
  /** Use the last two dimensions of `b` swapped. Default false. */
  transposeB?: boolean;
}

/**
 * The matrix product over the last two dimensions: [..., M, K] by [..., K, N] gives [..., M, N]. Leading dimensions
 * broadcast; a one-dimensional operand is a row (a) or a column (b) whose dimension leaves the result, as in
 * PyTorch. Throws ShapeError when K differs.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  checkFloat("matmul", "a", a);
  checkFloat("matmul", "b", b);
  if (a.shape.length === 0 || b.shape.length === 0) {
    throw new ShapeError(
      `matmul: both tensors must have a dimension, got a ${showShape(a.shape)} and b ${showShape(b.shape)}`,
    );
  }
  if (a.shape.length === 1) {
    const y = matmul(reshape(a, [1, a.size]), b, { transposeB });
    return reshape(y, y.shape.toSpliced(b.shape.length === 1 ? -1 : -2, 1));
  }
  if (b.shape.length === 1) {
    const y = matmul(a, reshape(b, [b.size, 1]), { transposeA });
    return reshape(y, y.shape.slice(0, -1));
  }
  const depth = a.shape.at(transposeA ? -2 : -1);
  if (depth !== b.shape.at(transposeB ? -1 : -2)) {
    const flags = `${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`;
    throw new ShapeError(
      `matmul: the inner dimensions must agree, got a ${showShape(a.shape)} and b ${showShape(b.shape)}${flags}`,
    );
  }
  if (b.shape.length === 2 && a.shape.length > 2 && !transposeA) {
    // One matrix for all of a: its batch is simply more rows.
    const y = matmul(reshape(a, [-1, a.shape.at(-1)!]), b, { transposeB });
    return reshape(y, [...a.shape.slice(0, -1), y.shape[1]]);
  }
  const y = tell("matmul", [a, b], product(a, b, transposeA, transposeB), { transposeA, transposeB });
  return record(y, [a, b], (dy, needs) => [
    needs[0]
      ? sumTo(transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB), a.shape)
      : null,
    needs[1]
      ? sumTo(transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false), b.shape)
      : null,
  ]);
}

/**
 * x w^T + b. x: [..., IN]; w: [OUT, IN]; b: [OUT], may be absent; returns [..., OUT]. Throws ShapeError when they do
 * not fit.
 */
export function linear(x: Tensor, w: Tensor, b: Tensor | null = null): Tensor {
  checkFloat("linear", "x", x);
  checkFloat("linear", "w", w);
  if (x.shape.length === 0 || w.shape.length !== 2 || x.shape.at(-1) !== w.shape[1]) {
    throw new ShapeError(
      `linear: x must end in the ${w.shape[1]} inputs of w, got x ${showShape(x.shape)} and w ${showShape(w.shape)}`,
    );
  }
  const [out, inputs] = w.shape;
  if (b && !sameShape(b.shape, [out]))
    throw new ShapeError(`linear: b must have shape [${out}] for w ${showShape(w.shape)}, got ${showShape(b.shape)}`);
  const rows = reshape(x, [-1, inputs]);
  const sums = tell("linear", [rows, w, b], product(rows, w, false, true, b));
  const y = record(sums, b ? [rows, w, b] : [rows, w], (dy, needs) => [
    needs[0] ? product(dy, w, false, false) : null,
    needs[1] ? product(dy, rows, true, false) : null,
    needs[2] ? sumTo(dy, b!.shape) : null,
  ]);
  return reshape(y, [...x.shape.slice(0, -1), out]);
}
