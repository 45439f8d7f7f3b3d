// Blocks that are computed again in the backward pass instead of keeping what is inside them.

import { gradEnabled, gradientsOf, leavesOf, record, recorded } from "./autograd.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Computes `fn` of `inputs` without keeping what is inside it for the gradient: backward() computes it again. Less
 * memory for about a third more work; values and gradients are the same bits. `fn` must compute the same each time:
 * random draws of the first time are used again, and running statistics move only once. It may use parameters and other
 * tensors from outside.
 *
 *   const y = checkpoint((x) => block.forward(x), x);
 *
 * Source: Chen et al. 2016, arXiv:1604.06174; PyTorch's `torch.utils.checkpoint`.
 */
export function checkpoint<T extends readonly Tensor[]>(fn: (...inputs: T) => Tensor, ...inputs: T): Tensor {
  if (!gradEnabled()) return fn(...inputs);
  const memory: unknown[] = [];
  const { y, others } = firstTime(fn, inputs, memory);
  return record(y, [...inputs, ...others], (dy) => {
    const again = compute(fn, inputs, { memory, replayed: 0 });
    const grads = gradientsOf(again.y, dy, again.since);
    return [...again.inputs, ...others].map((t) => grads.get(t) ?? null);
  });
}

/** The values of `fn` without the graph behind them, and the tensors besides its inputs that need a gradient. */
function firstTime<T extends readonly Tensor[]>(fn: (...inputs: T) => Tensor, given: T, memory: unknown[]) {
  const { y, inputs, since } = compute(fn, given, { memory, replayed: null });
  return { y: y.detach(), others: leavesOf(y, since).filter((t) => !inputs.includes(t)) };
}

/** `fn` of copies of `given` that are leaves, and the order of its first node. */
function compute<T extends readonly Tensor[]>(fn: (...inputs: T) => Tensor, given: T, tape: Tape) {
  const inputs = given.map((t) => Object.assign(t.detach(), { requiresGrad: t.requiresGrad })) as unknown as T;
  tapes.push(tape);
  try {
    const { result: y, since } = recorded(() => fn(...inputs));
    return { y, inputs, since };
  } finally {
    tapes.pop();
  }
}

/** What a function gave the first time that must not be made twice; `replayed` counts what the second time has taken. */
interface Tape {
  readonly memory: unknown[];
  replayed: number | null;
}

const tapes: Tape[] = []; // of the checkpoints under way, the innermost last

/** make(), or what it gave the first time where a checkpoint computes something again. */
export function once<T>(make: () => T): T {
  return onceAt(tapes.length - 1, make);
}

function onceAt<T>(level: number, make: () => T): T {
  if (level < 0) return make();
  const tape = tapes[level];
  if (tape.replayed !== null) return tape.memory[tape.replayed++] as T;
  const made = onceAt(level - 1, make);
  tape.memory.push(made);
  return made;
}

/** True while a checkpoint computes something again. */
export function recomputing(): boolean {
  return tapes.some(({ replayed }) => replayed !== null);
}
