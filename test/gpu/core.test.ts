// The core: programs, steps, memory, autograd, reading, errors.
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { accumulateOp, settle } from "../core_ops.ts";
import { collectGarbage } from "../garbage.ts";
import { gpu } from "../../src/gpu/device.ts";
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import { launch } from "../../src/gpu/program.ts";
import { startProfile, stopProfile } from "../../src/gpu/profile.ts";
import {
  arange,
  backward,
  close,
  empty,
  full,
  hostTensor,
  init,
  keep,
  noGrad,
  ones,
  step,
  tensor,
  zeros,
  type Tensor,
} from "../../src/index.ts";

beforeAll(() => init());
afterAll(() => close());

const values = async (t: Tensor) => [...(await t.read())];

describe("tensors", () => {
  test("numbers, nested arrays and typed arrays keep order, shape and dtype", async () => {
    const a = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(a.shape).toEqual([2, 3]);
    expect(await values(a)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await tensor(Int32Array.of(-1, 7)).read()).toEqual(Int32Array.of(-1, 7));
    expect(await tensor(Float32Array.of(1, 2, 3, 4), { shape: [2, 2] }).read()).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(await full([3], -2.5).read()).toEqual(Float32Array.of(-2.5, -2.5, -2.5));
    expect(await tensor(3).item()).toBe(3);
  });

  test("values that are not numbers, and rows of other lengths, are named", () => {
    const plain = (data: unknown) => () => tensor(data as number[]);
    const found = (what: string) => `tensor: every value must be a number, found ${what}`;
    expect(plain([true, false])).toThrow(found("the boolean true at index 0; give 1 for true and 0 for false"));
    expect(plain(false)).toThrow(found("the boolean false at index 0; give 1 for true and 0 for false"));
    expect(
      plain([
        [1, 2],
        [3, "4"],
      ]),
    ).toThrow(found("the string 4 at index 3; convert it, or leave it out"));
    expect(plain([1, null])).toThrow(found("the object null at index 1"));
    expect(plain(undefined)).toThrow(found("the undefined undefined at index 0"));
    const rows = "tensor: nested arrays must have rows of equal length, found others than ";
    expect(plain([[1, 2], [3], [4, 5, 6]])).toThrow(`${rows}[3, 2]; fill the rows up`);
    expect(plain([[1], 2])).toThrow(`${rows}[2, 1]`);
  });

  test("a shape that does not fit the data is refused", () => {
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow(
      "tensor: shape [2, 2] has 4 elements but the data has 3",
    );
    expect(() => empty([2, 0])).toThrow("empty: dimensions must be whole numbers above 0, got [2, 0]");
    expect(() => full([1], NaN)).toThrow("full: the value must be finite, got NaN");
    const none = "arange: there must be at least one number, got 0 to 3 in steps of";
    expect(() => arange(3, { step: -1 })).toThrow(`${none} -1`);
    expect(() => arange(3, { step: 0 })).toThrow(`${none} 0`);
  });

  test("a line longer than 65,535 workgroups folds", async () => {
    const n = 65535 * 256 + 300;
    const y = await full([n], 7).read();
    expect(y.length).toBe(n);
    expect(y[n - 1]).toBe(7);
    expect(y.every((v) => v === 7)).toBe(true);
  });
});

describe("steps", () => {
  test("what a step returns survives, what it does not ends with a clear error", async () => {
    let lost: Tensor | undefined;
    let kept: Tensor | undefined;
    const { out } = await step(() => {
      lost = full([2], 1);
      kept = keep(full([2], 3));
      return { out: accumulateOp(lost, kept) };
    });
    expect(await values(out)).toEqual([4, 4]);
    expect(await values(kept!)).toEqual([3, 3]);
    await expect(lost!.read()).rejects.toThrow(
      "read: this tensor [2] ended with its step; return it from step() or keep() it",
    );
    expect(() => accumulateOp(lost!, kept!)).toThrow(
      "accumulate: tensor a ended with its step; return it from step() or keep() it to use it later",
    );
  });

  test("reading in the middle of a step works, and its tensors still end with it", async () => {
    const used = gpu().pool.usedBytes;
    let middle: Tensor | undefined;
    const sum = await step(async () => {
      middle = full([64], 2);
      const first = (await middle.read())[0];
      return first + (await accumulateOp(middle, middle).read())[0];
    });
    expect(sum).toBe(6);
    await expect(middle!.read()).rejects.toThrow(/ended with its step/);
    expect(gpu().pool.usedBytes).toBe(used);
  });

  test("steps do not nest, and an exception inside one leaves things usable", async () => {
    await expect(step(async () => step(() => 1))).rejects.toThrow("step: another step is still running");
    await expect(
      step(() => {
        throw new Error("mine");
      }),
    ).rejects.toThrow("mine");
    expect(await values(await step(() => full([1], 5)))).toEqual([5]);
  });

  test("bytes held after step 3 equal bytes held after step 100, and temporaries share memory", async () => {
    await collectGarbage(); // tensors of the tests before
    const before = gpu().pool.allocatedBytes;
    const w = tensor(new Float32Array(4096), { requiresGrad: true });
    const run = () =>
      step(() => {
        w.grad = null;
        let t: Tensor = w;
        for (let i = 0; i < 20; i++) t = accumulateOp(t, t);
        backward(t, ones(t.shape));
      });
    for (let i = 0; i < 3; i++) await run();
    const { allocatedBytes, bufferCount } = gpu().pool;
    const createBindGroup = vi.spyOn(gpu().device, "createBindGroup");
    for (let i = 0; i < 97; i++) await run();
    await settle();
    expect(gpu().pool.allocatedBytes).toBe(allocatedBytes);
    expect(gpu().pool.bufferCount).toBe(bufferCount);
    expect(createBindGroup).not.toHaveBeenCalled();
    createBindGroup.mockRestore();
    // 40 temporaries of 16 KiB would not fit without sharing.
    expect(allocatedBytes - before).toBeLessThan(20 * 4096 * 4);
  });

  test("data uploaded in a step reaches the kernels although its memory is reused after its last use", async () => {
    const y = await step(() => {
      const a = tensor([1, 2, 3, 4]);
      const b = accumulateOp(a, a);
      const c = accumulateOp(b, tensor([10, 20, 30, 40]));
      return accumulateOp(c, c);
    });
    expect(await values(y)).toEqual([24, 48, 72, 96]);
  });

  test("data from the host is asked at each run", async () => {
    let n = 0;
    for (const expected of [1, 2, 3]) {
      const y = await step(() => hostTensor([1], "f32", () => Float32Array.of(++n)));
      expect(await y.item()).toBe(expected);
    }
  });
});

describe("autograd", () => {
  test("gradients of a tensor used several times add up; leaves accumulate as in PyTorch", async () => {
    const w = tensor([1, 2, 3, 4, 5], { requiresGrad: true });
    backward(accumulateOp(accumulateOp(w, w), w), ones([5]));
    expect(await values(w.grad!)).toEqual([3, 3, 3, 3, 3]);
    await step(() => backward(accumulateOp(w, w), ones([5])));
    expect(await values(w.grad!)).toEqual([5, 5, 5, 5, 5]); // a gradient of a tensor from outside outlives its step
  });

  test("noGrad records nothing and backward says so", () => {
    const w = tensor([1], { requiresGrad: true });
    const y = noGrad(() => accumulateOp(w, w));
    expect(y.requiresGrad).toBe(false);
    expect(() => backward(y)).toThrow("backward: the tensor does not depend on anything with requiresGrad");
    const v = accumulateOp(tensor([1, 2], { requiresGrad: true }), zeros([2]));
    expect(() => backward(v)).toThrow(
      "backward: the tensor must have one element, got shape [2]; pass its gradient as the second argument",
    );
    expect(() => backward(v, ones([3]))).toThrow("backward: the gradient has shape [3] but the tensor [2]");
  });
});

describe("errors", () => {
  test("an unknown const, a bad value and a grid out of range are named", async () => {
    const y = empty([4]);
    // @ts-expect-error the names of consts are types
    launch(wgsl.fill, { consts: { VALU: 1 }, buffers: { y }, grid: [1, 1, 1] });
    await expect(y.read()).rejects.toThrow("fill.wgsl has no const VALU; it has T, VALUE, WG");
    expect(() => launch(wgsl.fill, { buffers: { y }, grid: [65536, 1, 1] })).toThrow(
      "fill: a grid axis takes 1 to 65535 workgroups, got [65536,1,1]",
    );
  });

  test("a kernel that does not compile names its file and line", async () => {
    const y = empty([4]);
    launch(wgsl.fill, { consts: { VALUE: "nonsense" }, buffers: { y }, grid: [1, 1, 1] });
    await expect(y.read()).rejects.toThrow(/fill\.wgsl does not compile[\s\S]*wgsl\/fill\.wgsl:\d+:\d+ error/);
  });

  test("work that the GPU refuses is thrown at the next read and names the operation", async () => {
    const a = full([4], 1);
    await a.read();
    launch(wgsl.accumulate, { buffers: { a, b: a, y: a }, grid: [1, 1, 1] }); // read and written in one call
    await expect(a.read()).rejects.toThrow(/accumulate: the GPU refused the work/);
    expect(await values(a)).toEqual([1, 1, 1, 1]); // and the device goes on
  });

  test("a tensor beyond the adapter's binding limit is refused with its size", () => {
    const limit = gpu().info.limits.maxStorageBufferBindingSize;
    expect(() => full([limit / 4 + 1], 0)).toThrow(
      /fill: y needs [\d.]+ MiB but this adapter binds at most [\d.]+ MiB; use a smaller batch, image or width, f16/,
    );
  });
});

test("profiling times each call", async () => {
  await full([1], 0).read();
  startProfile();
  const a = full([1 << 16], 1);
  await accumulateOp(a, a).read();
  const rows = stopProfile();
  expect(rows.map((r) => r.kernel)).toEqual(["fill", "accumulate"]);
  expect(rows[1].bytes).toBe(3 * 4 * (1 << 16));
  for (const r of rows) expect(r.ms).toBeGreaterThan(0);
});

test("a process that used the GPU exits by itself, and using a tensor before init() says what to do", () => {
  const run = (code: string) =>
    execFileSync(process.execPath, ["--input-type=module", "-e", code], {
      encoding: "utf8",
      timeout: 60_000,
      stdio: ["ignore", "pipe", "pipe"],
    });
  const lib = JSON.stringify(new URL("../../dist/index.js", import.meta.url).href);
  expect(run(`const w = await import(${lib}); await w.init(); console.log(await w.full([1], 4).item());`).trim()).toBe(
    "4",
  );
  expect(
    run(`const w = await import(${lib}); try { w.full([1], 4) } catch (e) { console.log(e.message) }`).trim(),
  ).toBe("the GPU is not open: await init() before the first tensor");
});
