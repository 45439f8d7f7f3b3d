// Reverse-mode differentiation. Each operation records one closure beside its
// forward; backward() runs them newest first.

import { ShapeError, WgradError } from "./errors.ts";
import { linearGrid } from "./gpu/grid.ts";
import * as wgsl from "./gpu/kernels.gen.ts";
import { launch } from "./gpu/program.ts";
import { keepGradient, madeHere } from "./scope.ts";
import { sameShape, showShape } from "./shape.ts";
import { converted, emptyFrom, ones, type Tensor } from "./tensor.ts";

/** Given the gradient of the output, the gradients of the inputs; `needs` says which are wanted, others may be null. */
export type Backward = (dy: Tensor, needs: readonly boolean[]) => readonly (Tensor | null)[];

/** How a tensor was computed: what backward() follows. */
export interface Node {
  readonly order: number;
  readonly inputs: readonly Tensor[];
  readonly backward: Backward;
}

let enabled = true;
let order = 0;

/** Records how `y` was computed from `inputs`, where any of them needs a gradient. Returns `y`. */
export function record(y: Tensor, inputs: readonly Tensor[], backward: Backward): Tensor {
  if (enabled && inputs.some((t) => t.requiresGrad)) {
    y.requiresGrad = true;
    y.node = { order: order++, inputs, backward };
  }
  return y;
}

/** True while operations on tensors that require gradients are recorded. */
export function gradEnabled(): boolean {
  return enabled;
}

/** Runs `fn` without recording gradients: less memory, for evaluation and updates. `fn` must not be asynchronous. */
export function noGrad<T>(fn: () => T): T {
  const before = enabled;
  enabled = false;
  try {
    return fn();
  } finally {
    enabled = before;
  }
}

/**
 * Adds to the `grad` of every leaf that requires one the gradient of `y` with respect to it. `dy` is the gradient of
 * `y`, by default 1 for a tensor of one element. Throws ShapeError when `dy` is missing or does not fit, WgradError
 * when nothing requires a gradient.
 */
export function backward(y: Tensor, dy?: Tensor): void {
  if (!y.requiresGrad) throw new WgradError("backward: the tensor does not depend on anything with requiresGrad");
  if (!dy && y.size !== 1)
    throw new ShapeError(
      `backward: the tensor must have one element, got shape ${showShape(y.shape)}; ` +
        "pass its gradient as the second argument",
    );
  if (dy && !sameShape(dy.shape, y.shape))
    throw new ShapeError(
      `backward: the gradient has shape ${showShape(dy.shape)} but the tensor ${showShape(y.shape)}`,
    );
  noGrad(() => propagate(y, dy ?? ones(y.shape), accumulateLeaf));
}

/** Gives `found` the gradient of every leaf below `y`; what was recorded before `since` counts as a leaf. */
function propagate(y: Tensor, dy: Tensor, found: (leaf: Tensor, grad: Tensor) => void, since = 0): void {
  const grads = new Map<Tensor, Tensor>([[y, dy]]);
  for (const t of newestFirst(y, since)) {
    const grad = grads.get(t);
    if (!grad) continue;
    grads.delete(t);
    const node = nodeSince(t, since);
    if (node) spread(node, grad, grads);
    else found(t, grad);
  }
}

function spread(node: Node, grad: Tensor, grads: Map<Tensor, Tensor>): void {
  const needs = node.inputs.map((t) => t.requiresGrad);
  const results = node.backward(grad, needs);
  node.inputs.forEach((input, i) => {
    const g = results[i];
    if (!needs[i] || !g) return;
    const before = grads.get(input);
    const fitting = g.dtype === input.dtype ? g : converted(g, input.dtype);
    grads.set(input, before ? accumulate(before, fitting) : fitting);
  });
}

/** a + b, for gradients that meet. */
function accumulate(a: Tensor, b: Tensor): Tensor {
  const y = emptyFrom(a.shape, a, b);
  launch(wgsl.accumulate, { buffers: { a, b, y }, grid: linearGrid(Math.ceil(y.size / 4), 64), flops: y.size });
  return y;
}

function accumulateLeaf(leaf: Tensor, grad: Tensor): void {
  leaf.grad = leaf.grad ? accumulate(leaf.grad, grad) : grad;
  if (!madeHere(leaf.storage)) keepGradient(() => leaf.grad?.storage);
}

/** Every tensor that `y` depends on and that requires a gradient, later ones first, leaves last. */
function newestFirst(y: Tensor, since: number): Tensor[] {
  const seen = new Set<Tensor>([y]);
  const stack = [y];
  while (stack.length > 0) {
    for (const input of nodeSince(stack.pop()!, since)?.inputs ?? []) {
      if (!input.requiresGrad || seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  return [...seen].sort((a, b) => (nodeSince(b, since)?.order ?? -1) - (nodeSince(a, since)?.order ?? -1));
}

function nodeSince({ node }: Tensor, since: number): Node | null {
  return node && node.order >= since ? node : null;
}

/** Runs `fn` with gradients recorded, whatever was set before. Returns also the order of the first node it records. */
export function recorded<T>(fn: () => T): { result: T; since: number } {
  const [before, since] = [enabled, order];
  enabled = true;
  try {
    return { result: fn(), since };
  } finally {
    enabled = before;
  }
}

/** The leaves below `y` that require a gradient; what was recorded before `since` counts as a leaf. */
export function leavesOf(y: Tensor, since: number): Tensor[] {
  return y.requiresGrad ? newestFirst(y, since).filter((t) => !nodeSince(t, since)) : [];
}

/** The gradients of those leaves, given that of `y`. */
export function gradientsOf(y: Tensor, dy: Tensor, since: number): ReadonlyMap<Tensor, Tensor> {
  const grads = new Map<Tensor, Tensor>();
  if (y.requiresGrad) noGrad(() => propagate(y, dy, (leaf, grad) => grads.set(leaf, grad), since));
  return grads;
}
