// Where in a training step the first number appears that is not finite. The step is computed once more, uncompiled, with
// a check of every weight, layer output and gradient: slow, for a training that is about to end.

import { record } from "../autograd.ts";
import { stack } from "../kernels/layout.ts";
import { step } from "../scope.ts";
import { hostTensor, Tensor } from "../tensor.ts";
import { namedModules, namedParameters, type Model } from "./module.ts";
import { noteNonfinite } from "./nonfinite.ts";

/** What a probed step tells of besides the layers. */
export interface Probe {
  /** A value by its name, such as the loss. */
  value(name: string, tensor: Tensor): void;
  /** The gradients that parameters have now, those of the last layers first. */
  gradients(parameters: readonly Tensor[]): void;
}

/**
 * Runs `fn`, a training step without its optimisers, and names the first tensor in the order of computing that holds an
 * infinity or NaN: "the output of encoder.0.conv1"; null where all are finite. `models` by the prefix of their layers'
 * names. Running statistics and random sequences move on as in any step.
 */
export async function firstNonfinite(
  models: Readonly<Record<string, Model>>,
  fn: (probe: Probe) => void,
): Promise<string | null> {
  const names: string[] = [];
  const flags = await step(() => {
    const found: Tensor[] = [];
    const check = (name: string, tensor: Tensor) => {
      if (tensor.dtype !== "f32" && tensor.dtype !== "f16") return;
      names.push(name);
      found.push(hostTensor([1], "u32", () => new Uint32Array(1)));
      noteNonfinite([tensor], found.at(-1)!);
    };
    probed(models, check, fn);
    return stack(found);
  });
  const at = (await flags.read()).findIndex((flag) => flag !== 0);
  return at < 0 ? null : names[at];
}

type Check = (name: string, tensor: Tensor) => void;

function probed(models: Readonly<Record<string, Model>>, check: Check, fn: (probe: Probe) => void): void {
  const parameters = named(models, namedParameters);
  for (const [name, p] of parameters) check(`the weight ${name}`, p);
  const nameOf = new Map(parameters.map(([name, p]) => [p, name]));
  const unwatch = named(models, namedModules).map(([name, layer]) => watch(layer, name || "the network", check));
  try {
    fn({
      value: check,
      gradients: (list) =>
        [...list].reverse().forEach((p) => p.grad && check(`the gradient of ${nameOf.get(p) ?? "a weight"}`, p.grad)),
    });
  } finally {
    for (const end of unwatch) end();
  }
}

/** What `list` finds in each model, by the model's prefix and its own name. */
function named<T>(
  models: Readonly<Record<string, Model>>,
  list: (model: Model) => [name: string, T][],
): [name: string, T][] {
  return Object.entries(models).flatMap(([prefix, model]) =>
    list(model).map(([name, found]): [string, T] => [[prefix, name].filter((part) => part !== "").join("."), found]),
  );
}

/** Has a layer's outputs checked, and their gradients when they come; copies made of it meanwhile, too. */
function watch(layer: object, name: string, check: Check): () => void {
  const watched = layer as { forward?: (...inputs: unknown[]) => unknown };
  const { forward } = watched;
  if (typeof forward !== "function") return () => {};
  const own = Object.hasOwn(layer, "forward");
  watched.forward = function (...inputs) {
    return checkedOutput(forward.apply(this, inputs), name, check);
  };
  return () => {
    if (own) watched.forward = forward;
    else delete watched.forward;
  };
}

function checkedOutput(y: unknown, name: string, check: Check): unknown {
  if (Array.isArray(y)) return y.map((part) => checkedOutput(part, name, check));
  if (!(y instanceof Tensor)) return y;
  check(`the output of ${name}`, y);
  return record(y.detach(), [y], (dy) => {
    check(`the gradient of the output of ${name}`, dy);
    return [dy];
  });
}
