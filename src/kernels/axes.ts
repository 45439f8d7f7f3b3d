// Settings that convolution and pooling take per axis. Kernels are written for D, H, W: with fewer axes the depth (and
// the height) is 1.

import { OptionError } from "../errors.ts";
import { showShape } from "../shape.ts";

/** One number for every spatial axis, or one per axis in the order (D,) H, W. */
export type PerAxis = number | readonly number[];

/** Depth, height, width. */
export type Triple = readonly [number, number, number];

/** An option as one number per axis. Throws OptionError unless it is one, or `axes`, whole numbers from `least` up. */
export function perAxis(op: string, name: string, value: PerAxis, axes: number, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(axes).fill(value) : [...value];
  if (list.length === axes && list.every((v) => Number.isInteger(v) && v >= least)) return list;
  const found = typeof value === "number" ? value : showShape(value);
  const several = axes === 1 ? "" : `, or ${axes} of them`;
  throw new OptionError(`${op}: ${name} must be one whole number of at least ${least}${several}, got ${found}`);
}

/** Up to three numbers as three, with `fill` in front. */
export function triple(values: readonly number[], fill: number): Triple {
  const padded = [fill, fill, fill, ...values].slice(-3);
  return [padded[0], padded[1], padded[2]];
}

/** Three numbers as the consts <prefix>D, <prefix>H and <prefix>W of a kernel. */
export function axisConsts<P extends string>(prefix: P, [d, h, w]: Triple): Record<`${P}${"D" | "H" | "W"}`, number> {
  return { [`${prefix}D`]: d, [`${prefix}H`]: h, [`${prefix}W`]: w } as Record<`${P}${"D" | "H" | "W"}`, number>;
}

/** a / b rounded up. */
export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b);
}
