// The quick form of npm run soak: some hundred steps hold what a hundred hold, compiled or not; closing lets go of all.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { add, backward, close, compile, init, mul, nn, step, sum, tensor, type Tensor } from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { collectGarbage } from "../garbage.ts";
import { Watch, growth, type Held } from "./held.ts";
import { Training } from "./workload.ts";

beforeEach(() => init());
afterEach(close);

const SAMPLES = [100, 200, 300];

describe.each([true, false])("compiled: %s", (compiled) => {
  test("as much is held after 300 steps as after 100, and reads do not queue", async () => {
    const training = new Training({ compiled });
    const watch = new Watch();
    const held: Held[] = [];
    for (let k = 1; k <= SAMPLES.at(-1)!; k++) {
      await training.next();
      if (SAMPLES.includes(k)) held.push((await training.settle(0), await watch.held()));
    }
    // Memory of the process is for the long form: it settles after some thousand steps.
    const still = ({ heapBytes: _, rssBytes: __, ...counts }: Held) => ({ ...counts, heapBytes: 0, rssBytes: 0 });
    expect(growth(still(held[0]), still(held[1]), still(held[2]))).toEqual([]);
    expect(held[0].buffers).toBeGreaterThan(30);
    expect(training.mostUnread).toBe(2);
    expect([1, 2]).toContain(watch.mostMaps);
    expect(training.losses.slice(-20).reduce((a, b) => a + b) / 20).toBeLessThan(training.losses[0] / 2);
    training.free();
  });
});

test("two trainings and one that is not compiled give the same losses, weights, draws and predictions", async () => {
  const outcome = async (compiled: boolean) => {
    const training = new Training({ compiled });
    for (let k = 0; k < 30; k++) await training.next();
    await training.settle(0);
    const { losses, prediction, model } = training;
    training.free();
    return { losses, prediction, weights: await nn.stateDict(model), draws: nn.rngState(model) };
  };
  const first = await outcome(true);
  expect(new Set(first.prediction!.classes)).toEqual(new Set([0, 1]));
  expect(await outcome(true)).toEqual(first);
  expect(await outcome(false)).toEqual(first);
});

describe("results", () => {
  test("that nobody reads are collected before they fill the GPU", async () => {
    const n = 2 ** 20; // 4 MiB
    const twice = compile(({ x }: { x: Tensor }) => add(x, x));
    const x = { shape: [n], dtype: "f32", data: new Float32Array(n) } as const;
    let most = 0;
    for (let k = 0; k < 200; k++) {
      await twice({ x });
      most = Math.max(most, gpu().pool.usedBytes);
    }
    expect(most).toBeLessThan(400 * 2 ** 20);
    twice.free();
  });

  test("and buffers of what nobody holds go, with their bind groups", async () => {
    const watch = new Watch();
    await collectGarbage();
    const before = await watch.held();
    for (let k = 0; k < 50; k++) await (await step(() => add(tensor([k]), 1))).item();
    const { buffers, bindGroups } = await watch.held();
    expect(buffers - before.buffers).toBeLessThanOrEqual(3); // the temporary's, staging
    expect(bindGroups).toBeLessThanOrEqual(1);
  });
});

describe("a GPU that was closed and opened again", () => {
  test("lets go of the device and all that hangs on it", async () => {
    const used = async () => {
      const training = new Training({ compiled: true });
      await training.next();
      await training.settle(0);
      return [gpu().device, gpu(), training].map((object) => new WeakRef<object>(object));
    };
    const before = await used();
    close();
    await init();
    await collectGarbage();
    expect(before.map((ref) => ref.deref())).toEqual([undefined, undefined, undefined]);
  });

  test("knows nothing of the gradients and the calls of before", async () => {
    const w = tensor([1, 2], { requiresGrad: true });
    await step(() => backward(sum(mul(w, w))));
    add(w, 1); // recorded, never run
    close();
    await init();
    w.grad = null;
    for (let k = 0; k < 3; k++) {
      const v = tensor([3, 4], { requiresGrad: true });
      await step(() => backward(sum(mul(v, v))));
      expect([...(await v.grad!.read())]).toEqual([6, 8]);
    }
  });

  test("names tensors that were lost, and compiled steps work on", async () => {
    const old = tensor([1]);
    await old.read();
    const [pure, with_old] = [add, (x: Tensor) => add(x, old)].map((fn) =>
      compile(({ x }: { x: Tensor }) => fn(x, x) as Tensor),
    );
    const x = { shape: [1], dtype: "f32", data: Float32Array.of(2) } as const;
    expect([await (await pure({ x })).item(), await (await with_old({ x })).item()]).toEqual([4, 3]);
    close();
    pure.free();
    await init();
    expect(await (await pure({ x })).item()).toBe(4);
    await expect(with_old({ x })).rejects.toThrow("binary: tensor b was lost when the GPU was closed; make it again");
    await expect(old.read()).rejects.toThrow("read: this tensor [1] was lost when the GPU was closed; make it again");
    expect(await (await pure({ x })).item()).toBe(4);
  });
});
