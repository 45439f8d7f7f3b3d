// What a kernel's WGSL text says of itself: its consts, buffers and immediates. Used by scripts/gen.mjs for wgsl/*.wgsl
// and by defineKernel() for kernels of users.

import { KernelError } from "../errors.ts";
import type { Binding, Kernel } from "./kernel.ts";

const BINDING =
  /^@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*(read|read_write)>\s+(\w+)\s*:\s*array<([\w<>]+)>;/gm;
const IMMEDIATE = /^var<immediate>\s+\w+\s*:\s*(\w+);/m;
const CONST = /^(?:const|alias)\s+(\w+)\s*(?::\s*(\w+))?\s*=/gm;

/** Reads the text of kernel `name`. Throws KernelError, naming it, for a text that launches could not use. */
export function reflect(name: string, code: string): Kernel {
  const file = `${name}.wgsl`;
  const found = [...code.matchAll(BINDING)];
  const bindings = found.map(([, , access, name, element]) => ({ name, access, element }) as Binding);
  found.forEach(([, index, , name], i) => {
    if (Number(index) !== i)
      throw new KernelError(
        `${file}: binding ${name} is number ${index} but stands at place ${i}; number bindings 0, 1, 2 ... in order`,
      );
  });
  if (!/@compute\s+@workgroup_size\([^)]*\)\s*fn main\(/.test(code.replace(/\n/g, " ")))
    throw new KernelError(`${file}: no compute entry point named main`);
  const consts = Object.fromEntries([...code.matchAll(CONST)].map(([, name, type]) => [name, type ?? "alias"]));
  return { name, code, consts, immediates: immediatesOf(file, code), bindings };
}

function immediatesOf(file: string, code: string): string[] {
  const struct = IMMEDIATE.exec(code)?.[1];
  if (!struct) return [];
  const body = new RegExp(`^struct ${struct} \\{([^}]*)\\}`, "m").exec(code)?.[1].replace(/\/\/.*/g, "") ?? "";
  const fields = [...body.matchAll(/(\w+)\s*:\s*(\w+)/g)];
  const wrong = fields.find(([, , type]) => type !== "u32" && type !== "i32");
  if (wrong || fields.length === 0 || fields.length > 16)
    throw new KernelError(`${file}: struct ${struct} of the immediates must have 1 to 16 fields u32 or i32`);
  return fields.map(([, name]) => name);
}
