import { Rng } from "../random.ts";
import { Tensor } from "../tensor.ts";
import type { Model } from "./module.ts";

/**
 * The model with constants for parameters: gradients pass through it, but none are computed for its weights. A copy
 * of its layers that shares the memory of all tensors and the random sequences, so that updates of either are seen in
 * both; settings such as `training` are those at the time of the call. Making one costs no GPU work.
 */
export function frozen<T extends Model>(model: T): T {
  return copy(model) as T;
}

function copy(value: unknown): unknown {
  if (value instanceof Tensor) return value.requiresGrad ? value.detach() : value;
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || value instanceof Rng) return value;
  if (Array.isArray(value)) return value.map(copy);
  const fields = Object.entries(value).map(([name, child]) => [name, copy(child)]);
  return Object.assign(Object.create(Object.getPrototypeOf(value) as object), Object.fromEntries(fields));
}
