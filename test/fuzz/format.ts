// What the fuzzer knows of a kind of file.

import { strict as assert } from "node:assert";
import type { Rng } from "../../src/random.ts";

/** One damaged input, ready to be read. */
export interface Input {
  /** Reads it as the library does. Whatever it throws must be a WgradError. */
  read(): unknown;
  /** Throws if `value`, which was accepted, is not a correct result. */
  judge(value: unknown): void;
}

export interface Format {
  readonly name: string;
  /** Inputs of `npm run fuzz`. */
  readonly inputs: number;
  /** Makes valid files in a folder of the format's own; the function returned damages one of them. */
  prepare(folder: string): Promise<(rng: Rng) => Input | Promise<Input>>;
}

/** Places of a value, lists and records having one for all their items. */
export interface Places {
  /** Objects whose names are data. */
  readonly records?: RegExp;
  /** Strings of which only those count that valid files have. */
  readonly words?: RegExp;
}

/** The kinds of values in valid files, by place. */
export interface Kinds {
  readonly places: Places;
  readonly at: ReadonlyMap<string, ReadonlySet<string>>;
  /** Fields that an object has in every valid file. */
  readonly needed: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Learns from valid values. */
export function kindsOf(values: readonly unknown[], places: Places = {}): Kinds {
  const at = new Map<string, Set<string>>();
  const needed = new Map<string, Set<string>>();
  for (const value of values)
    walk(value, places, (place, one) => {
      if (!at.has(place)) at.set(place, new Set());
      at.get(place)!.add(kindOf(one, place, places));
      if (kindOf(one) !== "object" || places.records?.test(place)) return;
      const names = new Set(Object.keys(one as object));
      needed.set(place, new Set([...(needed.get(place) ?? names)].filter((name) => names.has(name))));
    });
  return { places, at, needed };
}

/** Throws unless `value` is made as the valid ones were: the same fields, each of a kind that was seen there. */
export function assertKinds(value: unknown, { places, at, needed }: Kinds): void {
  walk(value, places, (place, one) => {
    const kind = kindOf(one, place, places);
    const known = at.get(place);
    assert(known, `${place || "the value"} is unknown`);
    assert(known.has(kind) || (kind === "count" && known.has("number")), `${place || "the value"} is a ${kind}`);
    if (kind !== "object") return;
    for (const name of needed.get(place) ?? []) assert(Object.hasOwn(one as object, name), `${place} has no ${name}`);
  });
}

function kindOf(value: unknown, place = "", { words }: Places = {}): string {
  if (value === null) return "null";
  if (typeof value === "string") return words?.test(place) ? `string ${value}` : "string";
  if (Array.isArray(value)) return "list";
  if (typeof value !== "number") return typeof value;
  if (!Number.isFinite(value)) return "number that is not finite";
  return Number.isInteger(value) && value >= 0 ? "count" : "number";
}

function walk(value: unknown, places: Places, visit: (place: string, value: unknown) => void, place = ""): void {
  visit(place, value);
  if (typeof value !== "object" || value === null) return;
  const anonymous = Array.isArray(value) || places.records?.test(place);
  for (const [name, inner] of Object.entries(value)) walk(inner, places, visit, `${place}.${anonymous ? "*" : name}`);
}

/** True for a name that stays in its folder on every system. */
export const staysInside = (name: string): boolean =>
  name !== "" && !name.startsWith(".") && !/[/\\\u0000-\u001f]/.test(name);
