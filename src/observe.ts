// Operations by name, for whoever wants to know what a function computes: the ONNX export. Every operation tells its
// operands, result and settings; while nobody listens that is one comparison.

import type { Tensor } from "./tensor.ts";

/** What an operation was called with besides tensors: plain data. */
export type Settings = Readonly<Record<string, unknown>>;

/** One operation as it was called; operands that were left out are null. */
export interface Operation {
  readonly op: string;
  readonly inputs: readonly (Tensor | null)[];
  readonly output: Tensor;
  readonly settings: Settings;
}

let observer: ((operation: Operation) => void) | null = null;

/** Tells the observer, if there is one, how `output` is computed. Returns `output`. */
export function tell(op: string, inputs: readonly (Tensor | null)[], output: Tensor, settings: Settings = {}): Tensor {
  observer?.({ op, inputs, output, settings });
  return output;
}

/** Runs `fn`, which must not be asynchronous, and tells `listen` of its operations in the order of computing. */
export function observe<T>(listen: (operation: Operation) => void, fn: () => T): T {
  const before = observer;
  observer = listen;
  try {
    return fn();
  } finally {
    observer = before;
  }
}
