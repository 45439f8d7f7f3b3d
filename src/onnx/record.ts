// What a function computes, operation by operation, without computing it.

import { noGrad } from "../autograd.ts";
import type { KernelCall } from "../gpu/program.ts";
import type { Storage } from "../gpu/storage.ts";
import { observe, type Operation } from "../observe.ts";
import { inStep } from "../scope.ts";
import type { Shape } from "../shape.ts";
import { empty, type Dtype, type Tensor } from "../tensor.ts";

/** Shape and type of an input; a tensor is one, and its values do not matter. */
export interface InputLike {
  readonly shape: Shape;
  /** Default f32. */
  readonly dtype?: Dtype;
}

/** A function's operations on inputs of certain shapes. */
export interface Recording<R> {
  readonly inputs: readonly Tensor[];
  readonly operations: readonly Operation[];
  readonly result: R;
  /** Storages of what the function made; others are weights and constants from outside. */
  readonly made: ReadonlySet<Storage>;
  readonly calls: readonly KernelCall[];
}

/** Records `fn` on inputs without values. Nothing is run. Throws GpuError inside a step. */
export async function recordOperations<R>(
  fn: (...inputs: Tensor[]) => R,
  inputs: readonly InputLike[],
): Promise<Recording<R>> {
  let found: Omit<Recording<R>, "made" | "calls"> | null = null;
  let step: Pick<Recording<R>, "made" | "calls"> | null = null;
  await inStep(
    () => {
      const given = inputs.map(({ shape, dtype }) => empty(shape, dtype));
      const operations: Operation[] = [];
      const result = observe(
        (operation) => operations.push(operation),
        () => noGrad(() => fn(...given)),
      );
      found = { inputs: given, operations, result };
    },
    async ({ created, program }) => void (step = { made: created, calls: program.calls }),
  );
  return { ...found!, ...step! };
}
