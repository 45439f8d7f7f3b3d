// What plain data read from a file must be. Checks are put together like the types they stand for, and say where in the
// data the first fault is and what belongs there.

import { DataError } from "./errors.ts";

/** A value that is not as it must be: where (".cases[3].id"), what belongs there, what is there. */
export interface Fault {
  readonly at: string;
  readonly must: string;
  readonly found: unknown;
}

/** The first fault of a value, or null. */
export type Check = (value: unknown) => Fault | null;

/** A check of one's own: `must` ends the sentence "it must be". */
export function that(must: string, holds: (value: unknown) => boolean): Check {
  return (value) => (holds(value) ? null : { at: "", must, found: value });
}

export const text = that("text", (v) => typeof v === "string");
export const flag = that("true or false", (v) => typeof v === "boolean");

/** A finite number, which NaN and numbers beyond float64 are not. */
export const number = that("a number", Number.isFinite);

/** A finite number from `low` to `high`. */
export const real = (low: number, high: number): Check =>
  that(`from ${low} to ${high}`, (v) => Number.isFinite(v) && (v as number) >= low && (v as number) <= high);

export const whole = (low: number, high: number): Check =>
  that(
    `a whole number from ${low} to ${high}`,
    (v) => Number.isInteger(v) && (v as number) >= low && (v as number) <= high,
  );

/** How many there are of something, or how much of it. */
export const count = whole(0, Number.MAX_SAFE_INTEGER);
export const amount = real(0, Number.MAX_VALUE);

export const oneOf = (...allowed: readonly unknown[]): Check =>
  that(`one of ${allowed.join(", ")}`, (v) => allowed.includes(v));

/** A name that is one part of a path: it leads nowhere else. */
export const fileName = that(
  "a file name without /, \\, : and control characters that does not begin with a dot",
  (v) => typeof v === "string" && isFileName(v),
);

const isFileName = (name: string): boolean => /^[^./\\:\p{Cc}][^/\\:\p{Cc}]{0,254}$/u.test(name);

/** A path that leads from a folder into that folder. */
export const insidePath = that(
  "a path inside the folder",
  (v) => typeof v === "string" && v.split(/[/\\]/).every(isFileName),
);

/** Any path, by which files are read only. */
export const pathText = that("a path", (v) => typeof v === "string" && v !== "" && !v.includes("\0"));

export const either =
  (first: Check, second: Check): Check =>
  (value) =>
    first(value) && second(value);

export const nullable =
  (check: Check): Check =>
  (value) =>
    value === null ? null : check(value);

/** A field that may be left out. */
export const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined ? null : check(value);

/** A list; `length` items where given. */
export function listOf(item: Check, length?: number): Check {
  const must = length === undefined ? "a list" : `a list of ${length}`;
  return (value) => {
    if (!Array.isArray(value) || (length !== undefined && value.length !== length))
      return { at: "", must, found: value };
    return firstFault(value.map((v: unknown, i) => [`[${i}]`, item(v)]));
  };
}

/** An object whose names are data too. */
export const recordOf =
  (item: Check, name: Check = text): Check =>
  (value) => {
    if (!isRecord(value)) return { at: "", must: "an object", found: value };
    return firstFault(
      Object.entries(value).flatMap(
        ([key, v]) =>
          [
            [" name", name(key)],
            [`.${key}`, item(v)],
          ] as const,
      ),
    );
  };

/** An object with the fields of T, all that are not optional; others only where `more` says what they must be. */
export function object<T extends object>(fields: Readonly<Record<keyof T, Check>>, more?: Check): Check {
  const checks = new Map(Object.entries<Check>(fields));
  return (value) => {
    if (!isRecord(value)) return { at: "", must: "an object", found: value };
    const others = Object.keys(value).filter((key) => !checks.has(key));
    if (!more && others.length > 0)
      return { at: "", must: `an object of ${[...checks.keys()].join(", ")}`, found: `the name ${others[0]}` };
    const all = [...checks, ...others.map((key) => [key, more!] as const)];
    return firstFault(all.map(([key, check]) => [`.${key}`, check(value[key])]));
  };
}

/** The first check that fails; later ones may rely on earlier ones. */
export const all =
  (...checks: readonly Check[]): Check =>
  (value) => {
    for (const check of checks) {
      const fault = check(value);
      if (fault) return fault;
    }
    return null;
  };

/** Any plain value nested at most `depth` deep, so that whoever walks through it comes back. */
export function plain(depth: number): Check {
  const must = `plain data nested at most ${depth} deep`;
  const fits = (value: unknown, left: number): boolean =>
    typeof value !== "object" || value === null || (left > 0 && Object.values(value).every((v) => fits(v, left - 1)));
  return that(must, (value) => fits(value, depth));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws DataError unless `value` is as `check` says: "`where`: cases[3].id must be ..., found ...; `fix`". */
export function must(value: unknown, check: Check, where: string, fix: string): void {
  const fault = check(value);
  if (!fault) return;
  const name = shorten(fault.at.replace(/^\./, "")) || "it";
  throw new DataError(`${where}: ${name} must be ${fault.must}, found ${shown(fault.found)}; ${fix}`);
}

/** A value for a message: short whatever it is. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) {
    const short = value.length <= 8 && value.every((v) => typeof v !== "object");
    return short ? shorten(`[${value.join(", ")}]`) : `a list of ${value.length}`;
  }
  if (typeof value === "object" && value !== null) return "an object";
  return shorten(String(value));
}

/** A text from a file for a message. */
export function shorten(text: string, longest = 80): string {
  return text.length > longest ? `${text.slice(0, longest)}...` : text;
}

function firstFault(faults: readonly (readonly [at: string, fault: Fault | null])[]): Fault | null {
  for (const [at, fault] of faults) if (fault) return { ...fault, at: `${at}${fault.at}` };
  return null;
}
