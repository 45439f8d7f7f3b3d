// Kernels of users of the library: WGSL text of their own, launched, traced and planned like those in wgsl/.

import { KernelError } from "../errors.ts";
import type { Grid } from "./grid.ts";
import type { Kernel } from "./kernel.ts";
import { launch } from "./program.ts";
import { reflect } from "./reflect.ts";
import type { Storage } from "./storage.ts";

/** One call of a kernel of one's own. */
export interface KernelCallOptions {
  /** New values for `const` and `alias` lines of the text; each set of them is compiled once. */
  consts?: Readonly<Record<string, number | boolean | string>>;
  /** Whole numbers for the fields of the struct in `var<immediate>`, which may differ from call to call. */
  immediates?: Readonly<Record<string, number>>;
  /** A tensor for every buffer of the text, by its name there. */
  buffers: Readonly<Record<string, { readonly storage: Storage }>>;
  /** Workgroups along x, y and z. See linearGrid(). */
  grid: Grid;
  /** Floating-point operations, for the profile. Default 0: not stated. */
  flops?: number;
}

/** By the names that users gave them: pipelines are kept by name. */
const defined = new Map<string, Kernel>();

/** Appends one call of the kernel to what is recorded. */
export type OwnKernel = (call: KernelCallOptions) => void;

/**
 * A kernel from WGSL text, as a function that records one call of it. The text has the form of those in `wgsl/`: one
 * entry point `main`, bindings `@group(0) @binding(0..)` of `array<...>` one per line and in order, and every number that
 * a call may change as a `const NAME: type = value;` line. Calls are part of steps and compiled steps; a gradient is given by
 * record(). The kernel must write every element of its outputs, which are made by empty(), and give the same bits in
 * whatever order its workgroups run. Errors and profiles call it `own/name`.
 *
 * Throws KernelError for a text without that form, and for a name that is given to another text already; a call throws KernelError
 * for a buffer that is missing or a grid out of range. A const that the text does not have, and a text that does not
 * compile, are a KernelError of the step or read() that runs it.
 */
export function defineKernel(name: string, code: string): OwnKernel {
  const before = defined.get(name);
  if (before && before.code !== code)
    throw new KernelError(`defineKernel: there is a kernel ${name} with another text already; choose another name`);
  const kernel = reflect(`own/${name}`, code); // a name that no kernel in wgsl/ has
  defined.set(name, kernel);
  return (call) => launch<Kernel>(kernel, call);
}
