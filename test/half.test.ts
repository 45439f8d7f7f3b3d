// Tensors stored as f16: kernels compute in f32 and round what they store, so that an operation on f16 tensors gives
// the very numbers of the operation on f32 tensors, rounded once.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { storeAsHalf } from "../src/gpu/half.ts";
import { HALF, pipelineKey, specialise } from "../src/gpu/kernel.ts";
import * as wgsl from "../src/gpu/kernels.gen.ts";
import { gpu } from "../src/gpu/device.ts";
import { leavesOf } from "../src/autograd.ts";
import * as w from "../src/index.ts";
import type { Tensor } from "../src/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const binding = (name: string, element: string) => ({ name, element, access: "read_write" as const });

describe("kernel text", () => {
  const head = "@group(0) @binding(0) var<storage, read_write> x: array<f32>;";

  test("loads are widened, stores rounded, brackets, comments and equal names left alone", () => {
    const code = [head, "  // x[0] is not code", "  y[x2[i]] = x[i] + 2.0 * s.x[x[j]];", "  x[i] = x[i + u32(x[j])];"];
    expect(storeAsHalf("k", code.join("\n"), [binding("x", "f32")]).split("\n")).toEqual([
      "@group(0) @binding(0) var<storage, read_write> x: array<f16>;",
      "  // x[0] is not code",
      "  y[x2[i]] = f32(x[i]) + 2.0 * s.x[f32(x[j])];",
      "  x[i] = f16(f32(x[i + u32(f32(x[j]))]));",
    ]);
  });

  test("vectors and aliases", () => {
    const code = "alias V = vec4<f32>;\nvar<storage, read> x: array<V>;\nlet a = x[i].y == x[j][k];";
    expect(storeAsHalf("k", code, [binding("x", "V")])).toBe(
      "alias V = vec4<f32>;\nvar<storage, read> x: array<vec4<f16>>;\nlet a = vec4<f32>(x[i]).y == vec4<f32>(x[j])[k];",
    );
    const natural = "alias T = f16;\nvar<storage, read> x: array<T>;\nlet a = x[i];";
    expect(storeAsHalf("k", natural, [binding("x", "T")])).toBe(natural);
  });

  test("what cannot hold f16 says so", () => {
    const change = (line: string) => () => storeAsHalf("k", `${head}\n${line}`, [binding("x", "f32")]);
    expect(change("x[i] += 1.0;")).toThrow("k.wgsl: x is changed in place, so it cannot hold f16");
    expect(change("let p = &x[i];")).toThrow(/changed in place/);
    expect(change("x[i].y = 1.0;")).toThrow(/changed in place/);
    expect(() => storeAsHalf("k", head, [binding("x", "u32")])).toThrow(/buffer x of u32 cannot hold f16/);
  });

  test("every kernel compiles with any of its float buffers in f16", async ({ skip }) => {
    if (!w.hasF16()) skip("this adapter has no shader-f16");
    const refused: string[] = [];
    for (const kernel of Object.values(wgsl).filter(({ name }) => !name.endsWith("_subgroup_matrix"))) {
      const half: string[] = [];
      for (const b of kernel.bindings) {
        try {
          specialise(kernel, { [HALF]: b.name });
          half.push(b.name);
        } catch (error) {
          if (/^(vec4<)?f32/.test(b.element)) refused.push(`${kernel.name}.${b.name}`);
          expect((error as Error).message).toMatch(/cannot hold f16/);
        }
      }
      const consts: Record<string, string> = half.length > 0 ? { [HALF]: half.join(",") } : {};
      await gpu().pipelines.compile(kernel, consts, pipelineKey(kernel.name, consts));
    }
    expect(refused).toEqual(["loss_scale.scale"]); // the state of the loss scale, changed in place
  }, 600_000);
});

/** An operation on one float tensor; parameters are made inside, always the same. */
type Op = (x: Tensor) => Tensor;

const parameter = (...shape: number[]): Tensor => {
  const t = w.randn(shape, new w.Rng(7, shape.join()));
  t.requiresGrad = true;
  return t;
};
/** f16 numbers in the dtype of x. */
const constant = (x: Tensor): Tensor => w.cast(w.cast(w.randn(x.shape, new w.Rng(5, "constant")), "f16"), x.dtype);
const training = { training: true } as const;

const single: Record<string, Op> = {
  relu: w.relu,
  "leaky relu": (x) => w.leakyRelu(x, 0.1),
  neg: w.neg,
  gelu: w.gelu,
  "scaled by a number": (x) => w.mul(x, 0.3),
  "added to itself": (x) => w.add(x, x),
  "convolution 3x3": (x) => w.conv2d(x, parameter(16, 8, 3, 3), parameter(16), { padding: 1 }),
  "convolution 1x1": (x) => w.conv2d(x, parameter(4, 8, 1, 1)),
  "dilated grouped convolution": (x) =>
    w.conv2d(x, parameter(8, 2, 3, 3), null, { padding: 2, dilation: 2, groups: 4 }),
  "strided convolution": (x) => w.conv2d(x, parameter(16, 8, 3, 3), null, { padding: 1, stride: 2 }),
  "transposed convolution": (x) => w.convTranspose2d(x, parameter(8, 4, 2, 2), parameter(4), { stride: 2 }),
  "batch norm": (x) => w.batchNorm(x, parameter(8), parameter(8), training),
  "batch norm, residual and ReLU": (x) =>
    w.batchNorm(x, parameter(8), parameter(8), { ...training, residual: constant(x), activation: "relu" }),
  "group norm": (x) => w.groupNorm(x, 2, parameter(8), parameter(8)),
  "layer norm": (x) => w.layerNorm(x, [12], parameter(12), parameter(12)),
  "squeeze and excitation": (x) => w.squeezeExcitation(x, parameter(4, 8), parameter(4), parameter(8, 4), parameter(8)),
  "max pool": (x) => w.maxPool2d(x, { kernelSize: 2 }),
  "average pool": (x) => w.avgPool2d(x, { kernelSize: 2 }),
  interpolate: (x) => w.interpolate(x, { scale: 2, mode: "linear" }),
  dropout: (x) => w.dropout(x, { p: 0.5, rng: new w.Rng(3, "dropout"), training: true }),
  pad: (x) => w.pad(x, [1, 1, 2, 2]),
  concat: (x) => w.concat([x, w.neg(x)], 1),
  slice: (x) => w.slice(x, { dim: 1, start: 2, end: 6 }),
  transpose: (x) => w.permute(x, [0, 2, 3, 1]),
};

describe.skipIf(process.env.WGRAD_ADAPTER === "swiftshader")("operations", () => {
  const shape = [2, 8, 8, 12];

  /** Output, gradient of x, and gradients of the parameters for a gradient dy. */
  async function run(op: Op, x: Tensor, dy: Tensor) {
    const leaf = x.detach();
    leaf.requiresGrad = true;
    const y = op(leaf);
    const parameters = leavesOf(y, 0).filter((t) => t !== leaf);
    w.backward(y, w.cast(dy, y.dtype));
    return { y: y.detach(), dx: leaf.grad!, parameters: parameters.map((t) => t.grad!) };
  }

  test.each(Object.entries(single))("%s", async (_, op) => {
    const x = w.cast(w.randn(shape, new w.Rng(1, "x")), "f16");
    const like = w.noGrad(() => op(x));
    expect(like.dtype).toBe("f16");
    const dy = w.cast(w.randn(like.shape, new w.Rng(2, "dy")), "f16");
    const half = await run(op, x, dy);
    const full = await run(op, w.cast(x, "f32"), w.cast(dy, "f32"));
    expect([half.y.dtype, half.dx.dtype]).toEqual(["f16", "f16"]);
    expect(await half.y.read()).toEqual(await w.cast(full.y, "f16").read());
    for (const [i, grad] of half.parameters.entries()) {
      expect(grad.dtype).toBe("f32");
      expect(await grad.read()).toEqual(await full.parameters[i].read());
    }
    expect(await half.dx.read()).toEqual(await w.cast(full.dx, "f16").read());
  });
});
