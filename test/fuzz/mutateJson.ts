// Damage to JSON that stays JSON: values of other types, numbers out of all bounds, paths that lead elsewhere, fields
// missing, twice or unknown, nesting without end.

import type { Rng } from "../../src/random.ts";
import { damaged, pick, type Bytes } from "./mutateBytes.ts";

/** What plain JSON.stringify cannot write stands for itself in a string until the text is made. */
const RAW = /"@raw(\d+)@"/g;
const raws: ((rng: Rng) => string)[] = [
  () => "1e999",
  () => "-1e999",
  () => "-0",
  (rng) => "[".repeat(5000 << rng.integer(5)) + "]".repeat(80_000),
  (rng) => nested(5000 << rng.integer(5), "[", "]"),
  (rng) => nested(1000 << rng.integer(5), '{"a":', "}"),
];

function nested(depth: number, open: string, close: string): string {
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}

const numbers = [-1, 0, 1, 0.5, 2, 1e3, 65536, 2 ** 31, 2 ** 32, 1e12, 2 ** 53, 1e300, -1e300, 5e-324];
export const paths = [
  "../../x",
  "..",
  ".",
  "/etc/passwd",
  "a/b",
  "..\\x",
  "C:\\x",
  "a\u0000b",
  "case_00000/../../x",
  "",
];
const others = [
  null,
  true,
  false,
  [],
  {},
  "",
  "text",
  [0],
  [null],
  { a: 1 },
  "__proto__",
  "constructor",
  "x".repeat(5000),
];

type Container = Record<string, unknown> | unknown[];

/** Every object and list in a value, itself first. */
function containers(value: unknown): Container[] {
  if (typeof value !== "object" || value === null) return [];
  return [value as Container, ...Object.values(value).flatMap(containers)];
}

/** One change somewhere in `root`. */
function change(root: Container, rng: Rng): void {
  const all = containers(root).filter((c) => Object.keys(c).length > 0);
  // Lists of numbers are many; half of the changes are to objects.
  const objects = all.filter((c) => !Array.isArray(c));
  const target = pick(objects.length > 0 && rng.uniform() < 0.5 ? objects : all, rng) as Record<string, unknown>;
  const key = pick(Object.keys(target), rng);
  const old = target[key];
  const kind = rng.uniform();
  if (kind < 0.2)
    target[key] = structuredClone(pick(others, rng)); // a later change must not reach the list itself
  else if (kind < 0.35) target[key] = pick(numbers, rng);
  else if (kind < 0.45) target[key] = pick(paths, rng);
  else if (kind < 0.55) target[key] = `@raw${rng.integer(raws.length)}@`;
  else if (kind < 0.65 && typeof old === "number")
    target[key] = pick([old + 1, old - 1, -old, old * 1e6, old + 0.5], rng);
  else if (kind < 0.8) dropOrRename(target, key, rng);
  else if (kind < 0.9) target[key] = structuredClone(pick(Object.values(target), rng));
  else if (Array.isArray(target)) target.splice(rng.integer(target.length), 0, structuredClone(old));
  else addField(target, old, rng);
}

function dropOrRename(target: Record<string, unknown>, key: string, rng: Rng): void {
  const old = target[key];
  if (Array.isArray(target)) return void target.splice(Number(key), 1);
  delete target[key];
  if (rng.uniform() < 0.4) addField(target, old, rng);
}

function addField(target: Record<string, unknown>, value: unknown, rng: Rng): void {
  const name = pick(["unknown", "__proto__", "constructor", "toString", "length", ...paths], rng);
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

/** A field that is there twice, the second time with another value. */
function repeated(text: string, rng: Rng): string {
  const fields = [...text.matchAll(/"[^"\\]+":/g)];
  if (fields.length === 0) return text;
  const { index, 0: name } = pick(fields, rng);
  return `${text.slice(0, index)}${name}${JSON.stringify(pick(others, rng))},${text.slice(index)}`;
}

/** The text of `value` with one to three changes. */
export function mutatedJson(value: unknown, rng: Rng): string {
  const root: { root?: unknown } = { root: structuredClone(value) };
  for (let n = 1 + rng.integer(3); n > 0 && Object.hasOwn(root, "root"); n--) {
    const inside = containers(root.root).some((c) => Object.keys(c).length > 0) && rng.uniform() < 0.97;
    change(inside ? (root.root as Container) : root, rng);
  }
  const text = JSON.stringify(root.root, null, rng.uniform() < 0.5 ? 2 : 0) ?? "";
  const whole = rng.uniform() < 0.05 ? repeated(text, rng) : text;
  return whole.replace(RAW, (_, n: string) => raws[Number(n)](rng));
}

const encoder = new TextEncoder();

/** A JSON file damaged as data, or one time in four as bytes. */
export function mutatedJsonFile(value: unknown, rng: Rng): Bytes {
  if (rng.uniform() < 0.25) return damaged(encoder.encode(JSON.stringify(value, null, 2)), rng);
  return encoder.encode(mutatedJson(value, rng));
}
