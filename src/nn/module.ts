// Models are plain objects: layers in fields and arrays. Parameters are found by walking them; there is no base class.

import { DataError, OptionError, ShapeError } from "../errors.ts";
import { assign } from "../kernels/layout.ts";
import { Rng } from "../random.ts";
import { sameShape, showShape } from "../shape.ts";
import { hostTensor, Tensor, type HostTensor } from "../tensor.ts";
import { Sequential } from "./sequential.ts";

/** Whatever maps one tensor to another. */
export interface Layer {
  forward(x: Tensor): Tensor;
}

export type { HostTensor } from "../tensor.ts";

/** Values by dotted name, as in PyTorch's `state_dict`. */
export type StateDict = Record<string, HostTensor>;

/** A layer, block or model. */
export type Model = object;

type Visit = (name: string, value: object) => void;

/** PyTorch's spelling of a field: runningMean is running_mean. */
function spell(field: string): string {
  return field.replace(/([a-z0-9])([A-Z])/g, (_, a: string, b: string) => `${a}_${b.toLowerCase()}`);
}

/** Visits every object below `value` once, tensors included, in the order of the fields. */
function walk(value: unknown, name: string, visit: Visit, seen: Set<object>): void {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || seen.has(value)) return;
  seen.add(value);
  visit(name, value);
  if (value instanceof Tensor || value instanceof Rng) return;
  const inner = value instanceof Sequential ? value.layers : value; // named 0, 1, ... as in PyTorch
  for (const [field, child] of Object.entries(inner))
    walk(child, name === "" ? spell(field) : `${name}.${spell(field)}`, visit, seen);
}

function collect<T>(model: Model, pick: (value: object) => T | null): [name: string, T][] {
  const found: [string, T][] = [];
  walk(
    model,
    "",
    (name, value) => {
      const picked = pick(value);
      if (picked !== null) found.push([name, picked]);
    },
    new Set(),
  );
  return found;
}

/**
 * All tensors that are trained (requiresGrad), with their dotted names: "encoder.0.conv1.weight". A shared one is
 * listed once.
 */
export function namedParameters(model: Model): [name: string, Tensor][] {
  return collect(model, (v) => (v instanceof Tensor && v.requiresGrad ? v : null));
}

/** All tensors that are trained: what an optimiser takes. */
export function parameters(model: Model): Tensor[] {
  return namedParameters(model).map(([, t]) => t);
}

/** Tensors that belong to the model but are not trained, such as running statistics, with their dotted names. */
export function namedBuffers(model: Model): [name: string, Tensor][] {
  return collect(model, (v) => (v instanceof Tensor && !v.requiresGrad ? v : null));
}

/** Every layer, block and array of layers in the model, itself (named "") included. */
export function namedModules(model: Model): [name: string, object][] {
  return collect(model, (v) => (v instanceof Tensor || v instanceof Rng ? null : v));
}

/** How many numbers are trained. */
export function parameterCount(model: Model): number {
  return parameters(model).reduce((n, t) => n + t.size, 0);
}

/**
 * Switches all layers that differ between training and evaluation: batch normalisation and dropout. New models are
 * in training.
 */
export function setTraining(model: Model, training: boolean): void {
  for (const [, m] of namedModules(model)) if ("training" in m) m.training = training;
}

/** Parameters that setRequiresGrad() has stopped: what it may start again, unlike running statistics. */
const stopped = new WeakSet<Tensor>();

/**
 * Stops training the parameters of a part of a model, or starts it again for those that were stopped so. Call it before
 * the optimiser takes the parameters.
 */
export function setRequiresGrad(model: Model, requiresGrad: boolean): void {
  for (const [, t] of collect(model, (v) => (v instanceof Tensor ? v : null))) {
    if (!requiresGrad && t.requiresGrad) stopped.add(t);
    if (stopped.has(t)) t.requiresGrad = requiresGrad;
  }
}

/** Copies all parameters and buffers to the host. */
export async function stateDict(model: Model): Promise<StateDict> {
  const named = collect(model, (v) => (v instanceof Tensor ? v : null));
  const entries = await Promise.all(
    named.map(async ([name, t]) => [name, { shape: t.shape, dtype: t.dtype, data: await t.read() }]),
  );
  return Object.fromEntries(entries) as StateDict;
}

/** Settings of loadStateDict(). */
export interface LoadOptions {
  /** Default true: both sides must have the same names. False: names that only one side has are skipped. */
  strict?: boolean;
  /** Taken off the names of the state, such as "module." that PyTorch's DataParallel puts before them. Default "". */
  prefix?: string;
}

/**
 * Puts the values of `state` into the model's parameters and buffers. PyTorch's `num_batches_tracked` counters are
 * accepted and skipped. Nothing is changed when it throws: DataError for names that do not fit, ShapeError for
 * shapes or dtypes.
 */
export function loadStateDict(model: Model, state: StateDict, { strict = true, prefix = "" }: LoadOptions = {}): void {
  const own = new Map(collect(model, (v) => (v instanceof Tensor ? v : null)));
  const bare = (name: string) => (name.startsWith(prefix) ? name.slice(prefix.length) : name);
  const entries = Object.entries(state).map(([name, value]) => [bare(name), value] as const);
  const given = new Map(entries.filter(([name]) => !/(^|\.)num_batches_tracked$/.test(name)));
  if (strict) checkNames([...own.keys()], [...given.keys()]);
  const pairs = [...own].flatMap(([name, t]) =>
    given.has(name) ? [{ name, target: t, source: given.get(name)! }] : [],
  );
  for (const { name, target, source } of pairs) {
    if (!sameShape(target.shape, source.shape) || target.dtype !== source.dtype) {
      const wanted = `${target.dtype} ${showShape(target.shape)}`;
      throw new ShapeError(`loadStateDict: ${name} must be ${wanted}, got ${source.dtype} ${showShape(source.shape)}`);
    }
  }
  for (const { target, source } of pairs)
    assign(
      target,
      hostTensor(source.shape, source.dtype, () => source.data),
    );
}

const SHOWN = 5;

/** Throws DataError unless the model's and the state's names are the same. */
function checkNames(own: readonly string[], given: readonly string[]): void {
  const [inOwn, inGiven] = [new Set(own), new Set(given)];
  const faults = [
    ["the state lacks", own.filter((name) => !inGiven.has(name))],
    ["the model has no", given.filter((name) => !inOwn.has(name))],
  ] as const;
  const told = faults.flatMap(([what, names]) => (names.length > 0 ? [`${what} ${someOf(names)}`] : []));
  if (told.length === 0) return;
  const prefix = commonPrefix(own, given);
  const fix = prefix ? `prefix: "${prefix}"` : "strict: false to skip names that do not fit";
  throw new DataError(`loadStateDict: ${told.join("; ")}; load with ${fix}`);
}

function someOf(names: readonly string[]): string {
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
  return `${names.slice(0, SHOWN).join(", ")}${more}`;
}

/** What stands before each of the model's names in the state, if anything does. */
function commonPrefix(own: readonly string[], given: readonly string[]): string {
  const first = given.find((name) => name.endsWith(`.${own[0]}`));
  const prefix = first?.slice(0, -own[0].length) ?? "";
  const names = new Set(given);
  return own.every((name) => names.has(prefix + name)) ? prefix : "";
}

/**
 * The positions of all random sequences in the model (dropout), by dotted name: saved and set again, training goes
 * on bit by bit.
 */
export function rngState(model: Model): Record<string, number> {
  return Object.fromEntries(collect(model, (v) => (v instanceof Rng ? v.counter : null)));
}

/** Sets the positions that `rngState` gave. Throws OptionError for a name the model does not have. */
export function loadRngState(model: Model, state: Readonly<Record<string, number>>): void {
  const own = new Map(collect(model, (v) => (v instanceof Rng ? v : null)));
  for (const [name, counter] of Object.entries(state)) {
    const rng = own.get(name);
    if (!rng)
      throw new OptionError(
        `loadRngState: the model has no random sequence ${name}; it has ${[...own.keys()].join(", ") || "none"}`,
      );
    rng.counter = counter;
  }
}
