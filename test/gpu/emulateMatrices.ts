// Kernels for matrix units, run where there are none: the builtins become plain functions, and each lane of a subgroup
// holds its share of the results. What is checked so is all the rest: staging, offsets, strides, edges, grids.
import { gpu } from "../../src/gpu/device.ts";
import type { Consts, Kernel } from "../../src/gpu/kernel.ts";
import { currentProgram } from "../../src/gpu/program.ts";

/** Where element [r, c] of a matrix lies that was "loaded" from `m.x` with stride `m.y`. */
const place = (majorness: string, r: string, c: string) =>
  majorness === "row_major" ? `m.x + ${r} * m.y + ${c}` : `m.x + ${c} * m.y + ${r}`;

/** Loads only note where a matrix lies: kernels multiply before anything there changes. */
function loader(text: string, name: string): string {
  const found = new RegExp(`subgroupMatrixLoad<${name}, (row_major|col_major)>\\(&(\\w+), `).exec(text);
  if (!found) throw new Error(`emulateMatrices: no load of ${name}`);
  return `fn at_${name}(m: ${name}, r: u32, c: u32) -> f32 { return f32(${found[2]}[${place(found[1], "r", "c")}]); }`;
}

/** The kernel with its consts set and its loops not written out: lavapipe takes 2 s for each barrier. */
function rolled(kernel: Kernel, consts: Consts): string {
  return Object.entries(consts).reduce(
    (text, [name, value]) => text.replace(new RegExp(`^((?:const|alias) ${name}\\b[^=]*= )[^;]+`, "m"), `$1${value}`),
    kernel.code,
  );
}

/** The text of a kernel with its matrices emulated; subgroups have `lanes` lanes, one after another. */
export function emulateMatrices(text: string, lanes: number): string {
  const shares = `for (var s = 0u; s < MM * NN / ${lanes}; s++) { let e = s * ${lanes} + emulated_lane; `;
  const functions = [
    "var<private> emulated_lane: u32;",
    loader(text, "Left"),
    loader(text, "Right"),
    "fn multiply_accumulate(left: Left, right: Right, acc: Result) -> Result {",
    `  var sum = acc; ${shares} for (var k = 0u; k < KK; k++) {`,
    "  sum[s] += at_Left(left, e / NN, k) * at_Right(right, k, e % NN); } } return sum; }",
    "fn store_sh_y(offset: u32, value: Result, stride: u32) {",
    `  var v = value; ${shares} sh_y[offset + e / NN * stride + e % NN] = v[s]; } }`,
  ];
  const code = text
    .replace(/^enable chromium_experimental_subgroup_matrix;.*$/m, "")
    .replace("alias Left = subgroup_matrix_left<T, KK, MM>;", "alias Left = vec2u;")
    .replace("alias Right = subgroup_matrix_right<T, NN, KK>;", "alias Right = vec2u;")
    .replace("alias Result = subgroup_matrix_result<f32, NN, MM>;", `alias Result = array<f32, MM * NN / ${lanes}>;`)
    .replace(/subgroupMatrixLoad<\w+, \w+>\(&\w+, /g, "vec2u(")
    .replace(/subgroupMatrixStore<row_major>\(&sh_y, /g, "store_sh_y(")
    .replace(/subgroupMatrixMultiplyAccumulate\(/g, "multiply_accumulate(")
    .replace(
      "@builtin(subgroup_id) subgroup: u32) {",
      `@builtin(local_invocation_id) thread: vec3u) {
  let subgroup = thread.x / ${lanes}; emulated_lane = thread.x % ${lanes};`,
    );
  const rest = /^[^/\n]*(subgroup_matrix|subgroupMatrix|subgroup_id).*$/m.exec(code);
  if (rest) throw new Error(`emulateMatrices: this line must be emulated too: ${rest[0]}`);
  // The compiler must not write the loops out either, so it must not know their ends.
  const whole = `${code}\n${functions.join("\n")}`.replace(
    /; (\w+) < ([A-Z][^;]*); \1(\+\+| \+=)/g,
    "; $1 < bound($2); $1$3",
  );
  return `${whole}\nfn bound(n: u32) -> u32 { return n + (arrayLength(&y) >> 31); }\n`;
}

/** Gives the last recorded call an emulated pipeline instead of the one it would be compiled to. */
export async function emulateLastCall(lanes: number): Promise<void> {
  const { device, pipelines } = gpu();
  const call = currentProgram().calls.at(-1)!;
  const code = emulateMatrices(rolled(call.kernel, call.consts), lanes);
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const error = await device.popErrorScope();
  if (error) throw new Error(error.message);
  const compute = { module, entryPoint: "main" };
  const pipeline = await device.createComputePipelineAsync({ layout: pipelines.layout(call.kernel).pipeline, compute });
  // No other way in: pipelines are private to the cache.
  (pipelines as unknown as { ready: Map<string, GPUComputePipeline> }).ready.set(call.key, pipeline);
}
