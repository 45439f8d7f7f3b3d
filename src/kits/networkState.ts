// All of a network that training changes: weights and statistics, optimisers, random positions, loss scale.

import { loadRngState, loadStateDict, rngState, stateDict, type Model, type StateDict } from "../nn/index.ts";
import type { Optimizer } from "../nn/optim.ts";
import type { Descent } from "./descent.ts";

/** Tensors and numbers by name. */
export interface NetworkState {
  readonly tensors: StateDict;
  readonly numbers: Readonly<Record<string, number>>;
}

/** The parts of a network that training changes. */
export interface TrainedParts {
  readonly models: Readonly<Record<string, Model>>;
  readonly optimisers: Readonly<Record<string, Pick<Optimizer<{ lr: number }>, "state" | "loadState">>>;
  readonly descent: Descent;
}

/** Copies all of it to the host. */
export async function networkState({ models, optimisers, descent }: TrainedParts): Promise<NetworkState> {
  const tensors: StateDict = {};
  const numbers: Record<string, number> = {};
  for (const [name, model] of Object.entries(models)) {
    Object.assign(tensors, prefixed(name, await stateDict(model)));
    Object.assign(numbers, prefixed(`${name}/rng`, rngState(model)));
  }
  for (const [name, optimiser] of Object.entries(optimisers)) {
    const state = await optimiser.state();
    Object.assign(tensors, prefixed(name, state.tensors));
    Object.assign(numbers, prefixed(name, state.numbers));
  }
  Object.assign(numbers, prefixed("scale", await descent.state()));
  return { tensors, numbers };
}

/** Restores what networkState() gave. Throws as loadStateDict and Optimizer.loadState for another network's. */
export function loadNetworkState({ models, optimisers, descent }: TrainedParts, state: NetworkState): void {
  for (const [name, model] of Object.entries(models)) {
    loadStateDict(model, below(name, state.tensors));
    loadRngState(model, below(`${name}/rng`, state.numbers));
  }
  for (const [name, optimiser] of Object.entries(optimisers))
    optimiser.loadState({ tensors: below(name, state.tensors), numbers: below(name, state.numbers) });
  descent.loadState(below("scale", state.numbers));
}

function prefixed<T>(prefix: string, values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value]));
}

function below<T>(prefix: string, values: Readonly<Record<string, T>>): Record<string, T> {
  const own = Object.entries(values).filter(([name]) => name.startsWith(`${prefix}/`));
  const rest = own.map(([name, value]) => [name.slice(prefix.length + 1), value] as const);
  return Object.fromEntries(rest.filter(([name]) => !name.includes("/")));
}
