// The unroller, as text in and text out.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { specialise } from "../../src/gpu/kernel.ts";
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import { unroll } from "../../src/gpu/unroll.ts";

describe("unroll", () => {
  test("a loop marked on its line, or on the line before, becomes one block per turn", () => {
    const expected = "{ x[0u] += p.i + ai; } { x[1u] += p.i + ai; }";
    expect(unroll("a();\nfor (var i = 0u; i < 2; i++) { x[i] += p.i + ai; }  // @unroll\nb();")).toBe(
      `a();\n${expected}\nb();`,
    );
    expect(unroll("  // @unroll\n  for (var i = 0u; i < 2u; i++) { x[i] += p.i + ai; }\n")).toBe(`\n  ${expected}\n`);
  });

  test("an index that is i32 stays so", () => {
    expect(unroll("for (var i = 0; i < 2; i++) { f(i); }  // @unroll")).toBe("{ f(0); } { f(1); }");
  });

  test("nested marks, comments in the body, and the line numbers of what follows", () => {
    const code = [
      "for (var i = 0u; i < 2; i++) {  // @unroll",
      "  let v = x[i];  // a comment with a brace }",
      "  for (var j = 0u; j < 2; j++) {  // @unroll",
      "    f(v, i, j);",
      "  }",
      "}",
      "g();",
    ].join("\n");
    const inner = (i: string) => `{ let v = x[${i}]; { f(v, ${i}, 0u); } { f(v, ${i}, 1u); } }`;
    expect(unroll(code)).toBe(`${inner("0u")} ${inner("1u")}${"\n".repeat(6)}g();`);
  });

  test("bounds may be consts, computed consts and expressions of them", () => {
    const turns = (bound: string, consts = "") =>
      unroll(`${consts}\nfor (var i = 0u; i < ${bound}; i++) { f(); }  // @unroll`).match(/f\(\)/g)?.length ?? 0;
    expect(turns("N", "const N: u32 = 3;")).toBe(3);
    expect(turns("N", "const M: u32 = 4u;   // lanes\nconst N: u32 = (M + 7) / 4 * 3 - 1 % 2;")).toBe(5);
    expect(turns("2 * (N - 1)", "const N = 3;")).toBe(4);
    expect(turns("0")).toBe(0);
  });

  test("a let of known integers becomes a const, any other stays", () => {
    const body = "{ let s = i * N + 1; let v = x[s]; f(v); }";
    const code = `const N: u32 = 2;\nfor (var i = 0u; i < N; i++) ${body}  // @unroll`;
    expect(unroll(code).split("\n")[1]).toBe(
      "{ const s = 0u * N + 1; let v = x[s]; f(v); } { const s = 1u * N + 1; let v = x[s]; f(v); }",
    );
  });

  test("unmarked loops stay as they are", () => {
    const code = "for (var i = 0u; i < 2; i++) { if (a) { break; } }\n// unrolled elsewhere\n";
    expect(unroll(code)).toBe(code);
  });

  test("what cannot be unrolled is refused", () => {
    const marked = (loop: string) => () => unroll(`${loop}  // @unroll`);
    const form = 'unroll: @unroll takes a loop "for (var i = 0u; i < BOUND; i++) {", found "';
    expect(marked("for (var i = 1u; i < 2; i++) { f(); }")).toThrow(form);
    expect(marked("for (var i = 0u; j < 2; i++) { f(); }")).toThrow(form);
    expect(marked("while (a) { f(); }")).toThrow(form);
    expect(() => unroll("// @unroll")).toThrow(form);
    expect(marked("for (var i = 0u; i < n; i++) { f(); }")).toThrow(
      'unroll: a bound must be made of integers and integer consts, found "n"',
    );
    expect(marked("for (var i = 0u; i < 2; i++) { if (a) { continue; } }")).toThrow(
      "unroll: the loop over i must not hold continue; take its mark away",
    );
    expect(marked("for (var i = 0u; i < 2; i++) { if (a) { break; } }")).toThrow("must not hold break");
    expect(marked("for (var i = 0u; i < 2; i++) {")).toThrow("must end with a brace, found none");
  });
});

test("the text of every kernel has no marks left, and otherwise the file's lines", () => {
  for (const kernel of Object.values(wgsl)) {
    const { name, code } = kernel;
    const lines = readFileSync(join(import.meta.dirname, "../../wgsl", `${name}.wgsl`), "utf8").split("\n");
    expect(code.split("\n"), name).toEqual(lines.map((line) => line.replace(/\s*\/\/(?! @unroll).*/, "")));
    const unrolled = specialise(kernel, {});
    expect(unrolled).not.toMatch(/@unroll/);
    expect(unrolled.split("\n").length, name).toBe(code.split("\n").length);
    if (!code.includes("@unroll")) expect(unrolled).toBe(code);
  }
});
