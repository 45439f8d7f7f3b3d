// Kernels of users: launched in steps and compiled steps, with f16, and refused where the text is not usable.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../../src/index.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const SCALE = `
const WG: u32 = 64;
const BY: f32 = 1.0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = BY * x[i];
}
`;
const kernel = w.defineKernel("test_scale", SCALE);

function scale(x: w.Tensor, by: number): w.Tensor {
  const call = (x: w.Tensor): w.Tensor => {
    const y = w.empty(x.shape, x.dtype);
    kernel({ consts: { BY: by }, buffers: { x, y }, grid: w.linearGrid(x.size, 64) });
    return y;
  };
  return w.record(call(x), [x], (dy) => [call(dy)]);
}

test("values, gradient, another const, a compiled step", async () => {
  const x = w.tensor([1, -2, 3], { requiresGrad: true });
  const y = scale(x, 2);
  w.backward(y, w.tensor([1, 10, 100]));
  expect([...(await y.read())]).toEqual([2, -4, 6]);
  expect([...(await x.grad!.read())]).toEqual([2, 20, 200]);
  expect([...(await scale(x, 0.5).read())]).toEqual([0.5, -1, 1.5]);
  const triple = w.compile(({ v }: { v: w.Tensor }) => scale(v, 3));
  for (const k of [1, 2]) {
    const z = await triple({ v: { shape: [2], dtype: "f32", data: Float32Array.of(k, k + 1) } });
    expect([...(await z.read())]).toEqual([3 * k, 3 * k + 3]);
  }
});

test("a name that a kernel of the library has is free", async () => {
  const unary = w.defineKernel("unary", SCALE);
  const [x, y] = [w.tensor([4]), w.empty([1])];
  unary({ consts: { BY: 0.5 }, buffers: { x, y }, grid: [1, 1, 1] });
  expect([await y.item(), await w.neg(x).item()]).toEqual([2, -4]);
});

test("f16 tensors where the kernel is written for f32", async () => {
  if (!w.hasF16()) return;
  const y = scale(w.tensor([1, 2], { dtype: "f16" }), 0.5);
  expect(y.dtype).toBe("f16");
  expect([...(await y.read())]).toEqual([0.5, 1]);
});

test("refused: names that are taken, texts without form, missing buffers, consts that are not there", async () => {
  expect(() => w.defineKernel("test_scale", `${SCALE}// other`)).toThrow(
    "there is a kernel test_scale with another text already",
  );
  w.defineKernel("test_scale", SCALE); // the same again, as when a module is loaded twice
  expect(() => w.defineKernel("test_none", "fn f() {}")).toThrow("test_none.wgsl: no compute entry point named main");
  const twice = SCALE.replace("@binding(1)", "@binding(2)");
  expect(() => w.defineKernel("test_gap", twice)).toThrow("binding y is number 2 but stands at place 1");
  const x = w.tensor([1]);
  expect(() => kernel({ buffers: { x }, grid: [1, 1, 1] })).toThrow("test_scale.wgsl: buffer y is not given");
  await expect(
    w.step(() => kernel({ consts: { SCALE: 1 }, buffers: { x, y: w.empty([1]) }, grid: [1, 1, 1] })),
  ).rejects.toThrow("test_scale.wgsl has no const SCALE; it has WG, BY");
});

test("a text that does not compile is named with its line", async () => {
  const wrong = w.defineKernel("test_wrong", SCALE.replace("BY * x[i]", "BY * z[i]"));
  const x = w.tensor([1]);
  await expect(
    w.step(() => {
      const y = w.empty([1]);
      wrong({ buffers: { x, y }, grid: [1, 1, 1] });
      return y;
    }),
  ).rejects.toThrow(/test_wrong\.wgsl does not compile.*\n.*test_wrong\.wgsl:12:.*unresolved value 'z'/);
});
