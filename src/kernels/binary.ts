// Functions of two numbers, applied to every element, with NumPy's broadcasting: arithmetic, comparison and choice.

import { record } from "../autograd.ts";
import { OptionError } from "../errors.ts";
import { tell } from "../observe.ts";
import { broadcastShapes } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { callBinary, callSlope, callWhere, scalar, view, type BinaryOp, type BinarySlope } from "./broadcast.ts";
import { checkFloat } from "./checks.ts";
import { sumTo } from "./reduction.ts";
import { log, neg } from "./unary.ts";

/** A tensor, or a number, which may be another one every step without making a new kernel. */
export type Operand = Tensor | number;

interface Pair {
  readonly a: Tensor;
  readonly b: Tensor;
  /** The shape that both broadcast to. */
  readonly shape: readonly number[];
}

function operands(op: string, a: Operand, b: Operand): Pair {
  const [ta, tb] = [operand(op, "a", a), operand(op, "b", b)];
  return { a: ta, b: tb, shape: broadcastShapes(op, ta.shape, tb.shape) };
}

function operand(op: string, name: string, value: Operand): Tensor {
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new OptionError(`${op}: ${name} must be finite, got ${value}`);
    return scalar(value);
  }
  checkFloat(op, name, value);
  return value;
}

function call(op: BinaryOp, { a, b, shape }: Pair): Tensor {
  return tell(op, [a, b], callBinary(op, view(a), view(b), shape));
}

/** dy * b, or another function of two tensors that broadcast, without a gradient of its own. */
function combine(op: BinaryOp, a: Tensor, b: Tensor): Tensor {
  return callBinary(op, view(a), view(b), broadcastShapes(op, a.shape, b.shape));
}

/** a + b. Tensors of shapes that broadcast, or numbers. Throws ShapeError when the shapes do not. */
export function add(a: Operand, b: Operand): Tensor {
  const p = operands("add", a, b);
  return record(call("add", p), [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(dy, p.a.shape) : null,
    needs[1] ? sumTo(dy, p.b.shape) : null,
  ]);
}

/** a - b. Tensors of shapes that broadcast, or numbers. Throws ShapeError when the shapes do not. */
export function sub(a: Operand, b: Operand): Tensor {
  const p = operands("sub", a, b);
  return record(call("sub", p), [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(dy, p.a.shape) : null,
    needs[1] ? neg(sumTo(dy, p.b.shape)) : null,
  ]);
}

/** a * b. Tensors of shapes that broadcast, or numbers. Throws ShapeError when the shapes do not. */
export function mul(a: Operand, b: Operand): Tensor {
  const p = operands("mul", a, b);
  return record(call("mul", p), [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(combine("mul", dy, p.b), p.a.shape) : null,
    needs[1] ? sumTo(combine("mul", dy, p.a), p.b.shape) : null,
  ]);
}

/**
 * a / b. Tensors of shapes that broadcast, or numbers; b must not be 0. Throws ShapeError when the shapes do not
 * broadcast.
 */
export function div(a: Operand, b: Operand): Tensor {
  const p = operands("div", a, b);
  return record(call("div", p), [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(combine("div", dy, p.b), p.a.shape) : null,
    needs[1] ? sumTo(callSlope("divByB", view(p.a), view(p.b), dy), p.b.shape) : null,
  ]);
}

/**
 * a to the power of b. Tensors of shapes that broadcast, or numbers. Whole exponents up to 127 are multiplied out and
 * take negative a; other exponents of negative a give NaN. The gradient for b needs a > 0. Throws ShapeError when the
 * shapes do not broadcast.
 */
export function pow(a: Operand, b: Operand): Tensor {
  const p = operands("pow", a, b);
  const y = call("pow", p);
  return record(y, [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(combine("mul", dy, powSlope(p.a, p.b)), p.a.shape) : null,
    needs[1] ? sumTo(combine("mul", combine("mul", dy, y), safeLog(p.a)), p.b.shape) : null,
  ]);
}

/** b * a^(b - 1) */
function powSlope(a: Tensor, b: Tensor): Tensor {
  return combine("mul", b, combine("pow", a, combine("sub", b, scalar(1))));
}

/** Finite at 0, where it is multiplied by 0^b = 0. */
function safeLog(a: Tensor): Tensor {
  return log(combine("maximum", a, scalar(1e-37)));
}

/**
 * The smaller of a and b; where they are equal each gets half of the gradient. Tensors of shapes that broadcast, or
 * numbers.
 */
export function minimum(a: Operand, b: Operand): Tensor {
  return extremum("minimum", "minimumByA", a, b);
}

/**
 * The larger of a and b; where they are equal each gets half of the gradient. Tensors of shapes that broadcast, or
 * numbers.
 */
export function maximum(a: Operand, b: Operand): Tensor {
  return extremum("maximum", "maximumByA", a, b);
}

function extremum(op: BinaryOp, slope: BinarySlope, a: Operand, b: Operand): Tensor {
  const p = operands(op, a, b);
  return record(call(op, p), [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(callSlope(slope, view(p.a), view(p.b), dy), p.a.shape) : null,
    needs[1] ? sumTo(callSlope(slope, view(p.b), view(p.a), dy), p.b.shape) : null,
  ]);
}

/** 1 where a = b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function equal(a: Operand, b: Operand): Tensor {
  return call("equal", operands("equal", a, b));
}

/** 1 where a differs from b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function notEqual(a: Operand, b: Operand): Tensor {
  return call("notEqual", operands("notEqual", a, b));
}

/** 1 where a < b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function less(a: Operand, b: Operand): Tensor {
  return call("less", operands("less", a, b));
}

/** 1 where a <= b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function lessEqual(a: Operand, b: Operand): Tensor {
  return call("lessEqual", operands("lessEqual", a, b));
}

/** 1 where a > b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function greater(a: Operand, b: Operand): Tensor {
  return call("greater", operands("greater", a, b));
}

/** 1 where a >= b, else 0, as f32 and without a gradient. Tensors of shapes that broadcast, or numbers. */
export function greaterEqual(a: Operand, b: Operand): Tensor {
  return call("greaterEqual", operands("greaterEqual", a, b));
}

/**
 * a where `cond` is not 0, else b. cond: f32, as comparisons give it; a and b: tensors or numbers; all three broadcast.
 * Throws ShapeError when the shapes do not broadcast.
 */
export function where(cond: Tensor, a: Operand, b: Operand): Tensor {
  checkFloat("where", "cond", cond);
  const p = operands("where", a, b);
  const y = callWhere(cond, p.a, p.b, broadcastShapes("where", cond.shape, p.shape));
  tell("where", [cond, p.a, p.b], y);
  return record(y, [p.a, p.b], (dy, needs) => [
    needs[0] ? sumTo(callWhere(cond, dy, scalar(0), dy.shape), p.a.shape) : null,
    needs[1] ? sumTo(callWhere(cond, scalar(0), dy, dy.shape), p.b.shape) : null,
  ]);
}
