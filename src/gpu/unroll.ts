// Writes marked loops of a WGSL text out, for compilers that keep loops over constant bounds: there, arrays meant
// as registers stay in memory and are indexed at run time.

import { KernelError } from "../errors.ts";

const MARK = /[ \t]*\/\/\s*@unroll\b/;
const LOOP = /^([ \t]*)for\s*\(\s*var\s+(\w+)\s*=\s*0(u?)\s*;\s*\2\s*<\s*([^;]+?)\s*;\s*\2\+\+\s*\)\s*\{/;

/**
 * Repeats the bodies of the loops marked by a comment `// @unroll` at the end of the `for` line or on the line before.
 * Such a loop reads `for (var i = 0u; i < BOUND; i++) {`, where BOUND is made of integers, integer consts of the text,
 * `+ - * / %` and parentheses; `0` for `0u` makes i an i32. Every copy has its own block, in which i is a literal, and
 * a `let` of integers known by then becomes a `const`. All copies stand on the line of the `for`, so other lines keep
 * their numbers and a compile error inside a copy names that line. Loops may nest.
 *
 * Throws KernelError where the mark is not followed by such a loop, or its body holds `break` or `continue`.
 */
export function unroll(code: string): string {
  return unrollWith(code, integerConsts(code));
}

type Values = ReadonlyMap<string, number>;

function unrollWith(marked: string, consts: Values): string {
  const mark = MARK.exec(marked);
  if (!mark) return marked;
  const code = marked.slice(0, mark.index) + marked.slice(mark.index + mark[0].length);
  const line = code.slice(0, mark.index).lastIndexOf("\n") + 1;
  const alone = code.slice(line, mark.index).trim() === "";
  const start = alone ? code.indexOf("\n", line) + 1 || code.length : line;
  const loop = LOOP.exec(code.slice(start));
  if (!loop) {
    const found = code.slice(start).split("\n", 1)[0].trim();
    throw new KernelError(`unroll: @unroll takes a loop "for (var i = 0u; i < BOUND; i++) {", found "${found}"`);
  }
  const [head, indent, name, suffix, bound] = loop;
  const count = evaluate(bound, consts);
  if (count === undefined || count < 0) {
    throw new KernelError(`unroll: a bound must be made of integers and integer consts, found "${bound}"`);
  }
  const open = start + head.length;
  const close = closingBrace(code, open);
  const lines = code.slice(open, close).split("\n").length - 1;
  const body = withoutComments(unrollWith(code.slice(open, close), consts));
  const copies = indent + copiesOf(body, name, suffix, count, consts);
  return code.slice(0, start) + copies + "\n".repeat(lines) + unrollWith(code.slice(close + 1), consts);
}

function copiesOf(body: string, name: string, suffix: string, count: number, consts: Values): string {
  const exit = /\b(?:break|continue)\b/.exec(body);
  if (exit) throw new KernelError(`unroll: the loop over ${name} must not hold ${exit[0]}; take its mark away`);
  const use = new RegExp(`(?<![\\w.])${name}\\b`, "g");
  const copy = (i: number) => `{ ${foldLets(body.replace(use, `${i}${suffix}`), consts)} }`;
  return Array.from({ length: count }, (_, i) => copy(i)).join(" ");
}

/** Makes a `let` of known integers a `const`: an index that is a constant expression is what compilers look for. */
function foldLets(body: string, consts: Values): string {
  return body.replace(/\blet(\s+\w+\s*=\s*)([^;]+);/g, (line, head: string, value: string) =>
    evaluate(value, consts) === undefined ? line : `const${head}${value};`,
  );
}

/** On one line, so that a `//` cannot swallow what follows. */
function withoutComments(body: string): string {
  return body
    .replace(/\/\/[^\n]*/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function closingBrace(code: string, open: number): number {
  let depth = 1;
  for (const brace of code.slice(open).matchAll(/\/\/[^\n]*|[{}]/g)) {
    if (brace[0] === "{") depth++;
    if (brace[0] === "}" && --depth === 0) return open + brace.index;
  }
  throw new KernelError("unroll: the body of a marked loop must end with a brace, found none");
}

/** The integer consts of a WGSL text, also those computed from others. */
function integerConsts(code: string): Values {
  const values = new Map<string, number>();
  for (const [, name, text] of code.matchAll(/^const\s+(\w+)\s*(?::\s*[iu]32\s*)?=\s*([^;]+);/gm)) {
    const value = evaluate(text, values);
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** The value of an integer expression of literals, known names, `+ - * / %` and parentheses, else undefined. */
function evaluate(text: string, known: Values): number | undefined {
  const tokens = text.match(/\d+[iu]?\b|\w+|\S/g) ?? [];
  let at = 0;
  const chain = (operators: string, operand: () => number): number => {
    let value = operand();
    while (at < tokens.length && operators.includes(tokens[at])) value = apply(tokens[at++], value, operand());
    return value;
  };
  const factor = (): number => {
    const token = tokens[at++] ?? "";
    if (/^\d+[iu]?$/.test(token)) return parseInt(token, 10);
    if (token !== "(") return known.get(token) ?? NaN;
    const value = sum();
    return tokens[at++] === ")" ? value : NaN;
  };
  const product = () => chain("*/%", factor);
  const sum = (): number => chain("+-", product);
  const value = sum();
  return at === tokens.length && Number.isSafeInteger(value) ? value : undefined;
}

function apply(operator: string, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return Math.trunc(a / b);
    default:
      return a % b;
  }
}
