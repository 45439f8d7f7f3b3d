// The layers: wgsl <- gpu <- tensor, autograd <- kernels <- nn <- onnx <- kits; tensorboard knows nothing of tensors. A file may
// import from its own layer and those below.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import * as wgsl from "../src/gpu/kernels.gen.ts";

const root = join(import.meta.dirname, "..");
const LAYERS = ["base", "tensorboard", "gpu", "tensor", "kernels", "nn", "onnx", "kits"];

/** Files at the top of src that know nothing of tensors may be used from everywhere. */
const BASE = ["errors.ts", "debug.ts", "random.ts", "shape.ts", "structure.ts", "files.ts", "filesBrowser.ts"];

function layerOf(file: string): number {
  const [first, second] = relative(join(root, "src"), file).split("/");
  if (second === undefined) return LAYERS.indexOf(BASE.includes(first) ? "base" : "tensor");
  return LAYERS.indexOf(first);
}

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".ts") && !f.endsWith(".gen.ts") && !f.includes("node_modules"))
    .map((f) => join(root, folder, f));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+)"/g)].map(([, path]) => join(dirname(file), path));
}

test("imports point downwards only", () => {
  const wrong: string[] = [];
  for (const file of filesIn("src").filter((f) => !f.endsWith("src/index.ts"))) {
    for (const target of importsOf(file)) {
      if (layerOf(target) > layerOf(file)) wrong.push(`${relative(root, file)} imports ${relative(root, target)}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("nothing in src imports tests or benches, and core files name no Node module outside the Node-only ones", () => {
  const all = filesIn("src");
  expect(all.filter((f) => importsOf(f).some((t) => /\/(test|bench)\//.test(t)))).toEqual([]);
  const nodeOnly = [
    ...["src/gpu/node.ts", "src/gpu/nodeCache.ts", "src/gpu/nodeTranslate.ts", "src/gpu/swiftshader.ts"],
    "src/tensorboard/summaryWriter.ts",
  ];
  const core = all.filter((f) => !relative(root, f).startsWith("src/kits/") && !nodeOnly.includes(relative(root, f)));
  expect(core.filter((f) => /^import .*"node:/m.test(readFileSync(f, "utf8"))).map((f) => relative(root, f))).toEqual(
    [],
  );
});

test("nothing evaluates text", () => {
  const evaluates = /\beval\(|\bnew Function\b|\bFunction\(|"(node:)?vm"/;
  expect(filesIn("src").filter((f) => evaluates.test(readFileSync(f, "utf8")))).toEqual([]);
  expect(evaluates.test('new Function("return 1")')).toBe(true);
});

test("every kernel has a header that says grid, numerics, source and user, and at most 10 storage buffers", () => {
  const sources = [...filesIn("src"), ...filesIn("bench")].map((f) => readFileSync(f, "utf8")).join("\n");
  for (const { name, bindings } of Object.values(wgsl)) {
    const text = readFileSync(join(root, "wgsl", `${name}.wgsl`), "utf8");
    expect(
      text.startsWith(`// ${name}.wgsl: `),
      `${name}.wgsl must begin with "// ${name}.wgsl: what it computes"`,
    ).toBe(true);
    const header = text.slice(0, text.search(/^(?!\/\/)/m));
    for (const part of ["grid", "numerics", "source", "used by"])
      expect(header, `the header of ${name}.wgsl has a line "// ${part}"`).toMatch(new RegExp(`^// ${part} `, "m"));
    for (const user of header.match(/(?<=^\/\/ used by .*)\b(src|bench)\/[\w/]+\.ts/gm) ?? [])
      expect(readFileSync(join(root, user), "utf8"), `${user} uses ${name}.wgsl, as its header says`).toContain(name);
    expect(bindings.length, `${name}.wgsl`).toBeLessThanOrEqual(10);
    expect(sources.includes(`wgsl.${name}`), `${name} is used`).toBe(true);
  }
});
