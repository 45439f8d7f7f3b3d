// Tensors stored as f16: the kernel that reads or writes them stays as it is in its file and computes in f32. Where it
// loads from such a buffer the value is widened, where it stores one the value is rounded.

import { KernelError } from "../errors.ts";
import type { Binding } from "./kernel.ts";

interface Stored {
  /** What the kernel computes with. */
  readonly wide: string;
  /** What the buffer holds. */
  readonly narrow: string;
}

const NARROW: Readonly<Record<string, string>> = { f32: "f16", "vec4<f32>": "vec4<f16>" };

/**
 * `text` with the buffers `bindings` holding f16. Those whose element is f16 already, by an alias, stay. Throws
 * KernelError for elements other than f32 and vec4<f32>, and for a buffer that is changed in place or whose address
 * is taken.
 */
export function storeAsHalf(kernel: string, text: string, bindings: readonly Binding[]): string {
  const aliases = new Map([...text.matchAll(/^alias\s+(\w+)\s*=\s*([^;]+);/gm)].map((m) => [m[1], m[2].trim()]));
  const resolve = (type: string): string => {
    const next = type.replace(/\w+/g, (word) => aliases.get(word) ?? word);
    return next === type ? type : resolve(next);
  };
  const stored = new Map<string, Stored>();
  let result = text;
  for (const { name, element } of bindings) {
    const wide = resolve(element);
    if (wide === "f16" || wide === "vec4<f16>") continue;
    const narrow = NARROW[wide];
    if (!narrow)
      throw new KernelError(`${kernel}.wgsl: buffer ${name} of ${wide} cannot hold f16; cast the tensor to f32`);
    stored.set(name, { wide, narrow });
    const declaration = new RegExp(`^(.*var<storage[^>]*>\\s+${name}\\s*:\\s*)array<.*>;`, "m");
    result = result.replace(declaration, (_, head: string) => `${head}array<${narrow}>;`);
  }
  return stored.size > 0 ? rewrite(kernel, result, stored) : result;
}

/** Every `name[index]` in `code`, comments left out, as a widened load or a rounded store. */
function rewrite(kernel: string, code: string, stored: ReadonlyMap<string, Stored>): string {
  const place = /\/\/[^\n]*|(?<![.\w])(\w+)\[/g;
  let out = "";
  let from = 0;
  for (let match = place.exec(code); match; match = place.exec(code)) {
    const types = stored.get(match[1]);
    if (!types) continue;
    const close = closing(code, place.lastIndex);
    const element = `${match[1]}[${rewrite(kernel, code.slice(place.lastIndex, close), stored)}]`;
    out += code.slice(from, match.index);
    from = close + 1;
    const store = /^\s*=(?!=)/.exec(code.slice(from));
    if (store) {
      const start = from + store[0].length;
      const end = code.indexOf(";", start);
      out += `${element} = ${types.narrow}(${rewrite(kernel, code.slice(start, end), stored).trim()})`;
      from = end;
    } else if (/^(\.\w+|\[[^\]]*\])?\s*([-+*/%&|^]=|\+\+|--|=(?!=))/.test(code.slice(from)) || out.endsWith("&")) {
      throw new KernelError(`${kernel}.wgsl: ${match[1]} is changed in place, so it cannot hold f16`);
    } else out += `${types.wide}(${element})`;
    place.lastIndex = from;
  }
  return out + code.slice(from);
}

/** Where the bracket closes that opened before `at`. */
function closing(code: string, at: number): number {
  for (let depth = 1, i = at; i < code.length; i++) {
    if (code[i] === "[") depth++;
    else if (code[i] === "]" && --depth === 0) return i;
  }
  throw new KernelError("a bracket is not closed");
}
