// Functions of one number, applied to every element: activations and elementary mathematics.

import { record } from "../autograd.ts";
import { OptionError, ShapeError } from "../errors.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { tell } from "../observe.ts";
import { showShape, type Shape } from "../shape.ts";
import { converted, emptyFrom, type Dtype, type Tensor } from "../tensor.ts";
import { callBinary, callSlope, vec4Grid, view } from "./broadcast.ts";
import { checkFloat, isFloat } from "./checks.ts";
import { reshaped, sumTo } from "./reduction.ts";

interface Row {
  /** The case in unary.wgsl and unary_backward.wgsl. */
  readonly op: number;
  /** What the gradient is computed from. */
  readonly keeps: "x" | "y" | "nothing";
}

const ROWS = {
  neg: { op: 0, keeps: "nothing" },
  exp: { op: 1, keeps: "y" },
  log: { op: 2, keeps: "x" },
  sqrt: { op: 3, keeps: "y" },
  rsqrt: { op: 4, keeps: "y" },
  abs: { op: 5, keeps: "x" },
  sign: { op: 6, keeps: "nothing" },
  square: { op: 7, keeps: "x" },
  reciprocal: { op: 8, keeps: "y" },
  sin: { op: 9, keeps: "x" },
  cos: { op: 10, keeps: "x" },
  erf: { op: 11, keeps: "x" },
  floor: { op: 12, keeps: "nothing" },
  round: { op: 13, keeps: "nothing" },
  clamp: { op: 14, keeps: "x" },
  relu: { op: 15, keeps: "y" },
  leakyRelu: { op: 16, keeps: "y" },
  elu: { op: 17, keeps: "y" },
  gelu: { op: 18, keeps: "x" },
  geluTanh: { op: 19, keeps: "x" },
  silu: { op: 20, keeps: "x" },
  sigmoid: { op: 21, keeps: "y" },
  tanh: { op: 22, keeps: "y" },
  softplus: { op: 23, keeps: "x" },
  hardswish: { op: 24, keeps: "x" },
  mish: { op: 25, keeps: "x" },
  logSigmoid: { op: 26, keeps: "x" },
} as const satisfies Record<string, Row>;

type Parameters = { P?: number; Q?: number };

function unary(name: keyof typeof ROWS, x: Tensor, parameters: Parameters = {}): Tensor {
  checkFloat(name, "x", x);
  const row: Row = ROWS[name];
  const consts = { OP: row.op, ...parameters };
  const y = emptyFrom(x.shape, x);
  launch(wgsl.unary, { consts, buffers: { x, y }, grid: vec4Grid(x.size), flops: x.size });
  tell(name, [x], y, parameters);
  const kept = row.keeps === "x" ? x : row.keeps === "y" ? y : null;
  return record(y, [x], (dy) => [unaryBackward(consts, kept ?? dy, dy)]);
}

function unaryBackward(consts: { OP: number } & Parameters, kept: Tensor, dy: Tensor): Tensor {
  const dx = emptyFrom(dy.shape, dy);
  launch(wgsl.unary_backward, { consts, buffers: { kept, dy, dx }, grid: vec4Grid(dy.size), flops: 2 * dy.size });
  return dx;
}

function finite(op: string, name: string, value: number): number {
  if (!Number.isFinite(value)) throw new OptionError(`${op}: ${name} must be finite, got ${value}`);
  return value;
}

/** -x. Any shape. */
export function neg(x: Tensor): Tensor {
  return unary("neg", x);
}

/** e to the power of x; infinite above 88.7. Any shape. */
export function exp(x: Tensor): Tensor {
  return unary("exp", x);
}

/** The natural logarithm. Any shape; what x <= 0 gives depends on the GPU, so keep x above 0. */
export function log(x: Tensor): Tensor {
  return unary("log", x);
}

/** The square root. Any shape; x must not be negative. */
export function sqrt(x: Tensor): Tensor {
  return unary("sqrt", x);
}

/** One over the square root. Any shape; x must be positive. */
export function rsqrt(x: Tensor): Tensor {
  return unary("rsqrt", x);
}

/** The absolute value; its slope at 0 is 0. Any shape. */
export function abs(x: Tensor): Tensor {
  return unary("abs", x);
}

/** -1, 0 or 1. Any shape; the gradient is zero. */
export function sign(x: Tensor): Tensor {
  return unary("sign", x);
}

/** x * x. Any shape. */
export function square(x: Tensor): Tensor {
  return unary("square", x);
}

/** 1 / x. Any shape; x must not be 0. */
export function reciprocal(x: Tensor): Tensor {
  return unary("reciprocal", x);
}

/** The sine of x in radians; beyond 10,000 digits get lost. Any shape. */
export function sin(x: Tensor): Tensor {
  return unary("sin", x);
}

/** The cosine of x in radians; beyond 10,000 digits get lost. Any shape. */
export function cos(x: Tensor): Tensor {
  return unary("cos", x);
}

/** The error function 2/sqrt(pi) * integral of exp(-t^2) from 0 to x. Any shape. */
export function erf(x: Tensor): Tensor {
  return unary("erf", x);
}

/** The largest whole number not above x. Any shape; the gradient is zero. */
export function floor(x: Tensor): Tensor {
  return unary("floor", x);
}

/** The nearest whole number, halves to the even one. Any shape; the gradient is zero. */
export function round(x: Tensor): Tensor {
  return unary("round", x);
}

const LARGEST = 3.4028234663852886e38; // float32

/**
 * Values limited to [min, max]; a limit left out does not apply. Any shape. The limits are compiled into the kernel:
 * for limits that change every step use minimum and maximum. Throws OptionError unless min <= max.
 */
export function clamp(x: Tensor, { min = -LARGEST, max = LARGEST }: { min?: number; max?: number } = {}): Tensor {
  if (!(min <= max)) throw new OptionError(`clamp: min must not exceed max, got min ${min}, max ${max}`);
  return unary("clamp", x, { P: finite("clamp", "min", min), Q: finite("clamp", "max", max) });
}

/** x where positive, else 0. Any shape. */
export function relu(x: Tensor): Tensor {
  return unary("relu", x);
}

/** x where positive, else `slope` * x (default 0.01). Any shape. Throws OptionError unless slope >= 0. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  if (!(slope >= 0)) throw new OptionError(`leakyRelu: slope must not be negative, got ${slope}`);
  return unary("leakyRelu", x, { P: finite("leakyRelu", "slope", slope) });
}

/**
 * x where positive, else `alpha` * (exp(x) - 1) (default 1). Any shape. Throws OptionError unless alpha >= 0. Clevert
 * et al. 2015, arXiv:1511.07289.
 */
export function elu(x: Tensor, alpha = 1): Tensor {
  if (!(alpha >= 0)) throw new OptionError(`elu: alpha must not be negative, got ${alpha}`);
  return unary("elu", x, { P: finite("elu", "alpha", alpha) });
}

/**
 * x * Phi(x) with Phi the normal distribution function, or with `approximate: "tanh"` the form that GPT-2 uses. Any
 * shape. Hendrycks and Gimpel 2016, arXiv:1606.08415.
 */
export function gelu(x: Tensor, { approximate = "none" }: { approximate?: "none" | "tanh" } = {}): Tensor {
  if (approximate !== "none" && approximate !== "tanh") {
    throw new OptionError(`gelu: approximate must be "none" or "tanh", got "${String(approximate)}"`);
  }
  return unary(approximate === "tanh" ? "geluTanh" : "gelu", x);
}

/** x * sigmoid(x), also called swish. Any shape. Ramachandran et al. 2017, arXiv:1710.05941. */
export function silu(x: Tensor): Tensor {
  return unary("silu", x);
}

/** 1 / (1 + exp(-x)). Any shape. */
export function sigmoid(x: Tensor): Tensor {
  return unary("sigmoid", x);
}

/** The hyperbolic tangent. Any shape. */
export function tanh(x: Tensor): Tensor {
  return unary("tanh", x);
}

/** log(1 + exp(x)), without overflow. Any shape. */
export function softplus(x: Tensor): Tensor {
  return unary("softplus", x);
}

/** x * clamp(x + 3, 0, 6) / 6. Any shape. Howard et al. 2019, arXiv:1905.02244. */
export function hardswish(x: Tensor): Tensor {
  return unary("hardswish", x);
}

/** x * tanh(softplus(x)). Any shape. Misra 2019, arXiv:1908.08681. */
export function mish(x: Tensor): Tensor {
  return unary("mish", x);
}

/** log(sigmoid(x)), without overflow. Any shape. */
export function logSigmoid(x: Tensor): Tensor {
  return unary("logSigmoid", x);
}

/**
 * x where positive, else `weight` * x with one learned slope per channel, or one for all. x: [N, C, ...]; weight: [C]
 * or [1]. Throws ShapeError when weight does not fit. He et al. 2015, arXiv:1502.01852.
 */
export function prelu(x: Tensor, weight: Tensor): Tensor {
  checkFloat("prelu", "x", x);
  checkFloat("prelu", "weight", weight);
  const w = view(weight, perChannel(x, weight));
  const y = tell("prelu", [x, weight], callBinary("prelu", view(x), w, x.shape));
  return record(y, [x, weight], (dy, needs) => [
    needs[0] ? callSlope("preluByA", view(x), w, dy) : null,
    needs[1] ? reshaped(sumTo(callSlope("preluByB", view(x), w, dy), w.shape), weight.shape) : null,
  ]);
}

/** The shape that puts the weights of prelu at the channels of x. */
function perChannel(x: Tensor, weight: Tensor): Shape {
  const channels = x.shape[1] ?? 1;
  if (weight.shape.length !== 1 || (weight.size !== 1 && weight.size !== channels)) {
    const shapes = `for x ${showShape(x.shape)}, got ${showShape(weight.shape)}`;
    throw new ShapeError(`prelu: weight must have shape [${channels}] or [1] ${shapes}`);
  }
  return x.shape.map((_, axis) => (axis === 1 ? weight.size : 1));
}

/**
 * The same numbers in another dtype: f32 to integer drops the fraction, f32 to f16 rounds and is infinite from 65,520 on.
 * Any shape. Gradients pass between floats only. Throws AdapterError for f16 where the adapter lacks it (hasF16),
 * ShapeError for f16 with an odd number of elements.
 */
export function cast(x: Tensor, dtype: Dtype): Tensor {
  if (x.dtype === dtype) return x;
  const y = tell("cast", [x], converted(x, dtype));
  return isFloat(x) && isFloat(y) ? record(y, [x], (dy) => [dy]) : y;
}
