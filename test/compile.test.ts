// Compiled steps: the bits of plain ones, everything per step as data, memory that does not grow, clear errors.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Rng,
  add,
  backward,
  close,
  compile,
  diceCrossEntropy,
  dropout,
  flush,
  init,
  keep,
  mul,
  nn,
  noGrad,
  optim,
  step,
  tensor,
  type HostTensor,
  type Tensor,
} from "../src/index.ts";
import { gpu } from "../src/gpu/device.ts";

beforeAll(() => init());
afterAll(() => close());

const host = (values: readonly number[]): HostTensor => ({
  shape: [values.length],
  dtype: "f32",
  data: Float32Array.from(values),
});
const read = async (t: Tensor) => [...(await t.read())];

/** A small network with everything that changes from step to step: dropout, running statistics, Adam, a learning rate. */
function training() {
  const model = new nn.ResUNet({ inChannels: 1, classes: 2, width: 4, depth: 2, dropout: 0.2, rng: new Rng(1, "net") });
  const adam = new optim.Adam(nn.parameters(model), { lr: 1e-2 });
  const fn = ({ x, y }: { x: Tensor; y: Tensor }) => {
    const loss = diceCrossEntropy(model.forward(x), y);
    backward(loss);
    adam.step();
    adam.zeroGrad();
    return { loss: loss.detach() };
  };
  return { model, adam, fn };
}

function batch(seed: number, size = 16): { x: HostTensor; y: HostTensor } {
  const rng = new Rng(seed, "batch");
  const labels = Int32Array.from({ length: 2 * size * size }, () => rng.integer(2));
  const data = Float32Array.from(labels, (l) => l + 0.5 * rng.normal());
  return {
    x: { shape: [2, 1, size, size], dtype: "f32", data },
    y: { shape: [2, size, size], dtype: "i32", data: labels },
  };
}

describe("compile", () => {
  test("training gives the bits of plain steps: losses, weights, statistics, with a rate that changes", async () => {
    const [plain, compiled] = [training(), training()];
    const train = compile(compiled.fn);
    const upload = ({ shape, dtype, data }: HostTensor) => tensor(data, { shape, dtype });
    for (let k = 0; k < 6; k++) {
      plain.adam.lr = compiled.adam.lr = 1e-2 / (k + 1);
      const { x, y } = batch(k % 4);
      const { loss: a } = await step(() => plain.fn({ x: upload(x), y: upload(y) }));
      const { loss: b } = await train({ x, y });
      expect(await b.item()).toBe(await a.item());
    }
    expect(train.traces).toBe(1);
    expect(await nn.stateDict(compiled.model)).toEqual(await nn.stateDict(plain.model));
    expect(nn.rngState(compiled.model)).toEqual(nn.rngState(plain.model));
  });

  test("results of earlier calls keep their values", async () => {
    const double = compile(({ x }: { x: Tensor }) => [add(x, x), "name"] as const);
    const calls = [
      await double({ x: host([1, 2]) }),
      await double({ x: host([3, 4]) }),
      await double({ x: host([5, 6]) }),
    ];
    expect(await Promise.all(calls.map(([t]) => read(t)))).toEqual([
      [2, 4],
      [6, 8],
      [10, 12],
    ]);
    expect(calls[2][1]).toBe("name");
  });

  test("calls that are not awaited run in order on their own inputs", async () => {
    const double = compile(({ x }: { x: Tensor }) => add(x, x));
    await double({ x: host([1]) });
    const [a, b] = await Promise.all([double({ x: host([2]) }), double({ x: host([3]) })]);
    expect([await a.item(), await b.item()]).toEqual([4, 6]);
  });

  test("random draws go on from call to call, as they would without", async () => {
    const draws = async (run: (rng: Rng) => () => Promise<Tensor>) => {
      const next = run(new Rng(3, "drop"));
      return [await read(await next()), await read(await next()), await read(await next())];
    };
    const ones = host(Array<number>(64).fill(1));
    const compiled = await draws((rng) => {
      const fn = compile(({ x }: { x: Tensor }) => dropout(x, { rng }));
      return () => fn({ x: ones });
    });
    const plain = await draws((rng) => () => step(() => dropout(tensor(ones.data), { rng })));
    expect(compiled).toEqual(plain);
    expect(compiled[1]).not.toEqual(compiled[2]);
  });

  test("other shapes make another plan, in a bounded cache; memory goes back", async () => {
    const sizes = [16, 32, 48, 16, 32];
    const f = compile(({ x }: { x: Tensor }) => mul(add(x, 1), 2), { maxPlans: 2 });
    const before = gpu().pool.bufferCount;
    for (const n of sizes) expect((await (await f({ x: host(Array<number>(n).fill(1)) })).read())[0]).toBe(4);
    expect(f.traces).toBe(5); // 16 had gone when it came back, and so had 32
    await f({ x: host(Array<number>(32).fill(1)) });
    expect(f.traces).toBe(5);
    f.free();
    expect(gpu().pool.bufferCount).toBeLessThanOrEqual(before + sizes.length + 1); // the results
  });

  test("memory of its own is near what is alive at once, and does not grow", async () => {
    const { fn } = training();
    const train = compile(fn);
    for (let k = 0; k < 3; k++) await (await train(batch(k, 64))).loss.read();
    const { planned, bound, outside } = train.memory!;
    expect((planned + outside) / (bound + outside)).toBeLessThan(1.15);
    const { allocatedBytes } = gpu().pool;
    for (let k = 0; k < 30; k++) await (await train(batch(k, 64))).loss.read();
    expect(gpu().pool.allocatedBytes).toBeLessThanOrEqual(allocatedBytes + 30 * 256); // losses not yet collected
  });

  test("prepare tells the memory of a step before any of it is taken, and changes no bit", async () => {
    const [plain, prepared] = [training(), training()].map(({ fn }) => compile(fn));
    await flush();
    const { allocatedBytes } = gpu().pool;
    const told = await prepared.prepare(batch(0));
    expect([gpu().pool.allocatedBytes, prepared.traces]).toEqual([allocatedBytes, 1]);
    for (let k = 0; k < 3; k++)
      expect(await read((await prepared(batch(k))).loss)).toEqual(await read((await plain(batch(k))).loss));
    expect(prepared.memory).toEqual(told);
    expect([prepared.traces, told.planned, told.bound]).toEqual([1, plain.memory!.planned, plain.memory!.bound]);
  });

  test("weights that were replaced are traced anew", async () => {
    const held = { w: tensor([2]) };
    const f = compile(({ x }: { x: Tensor }) => mul(x, held.w));
    expect(await (await f({ x: host([3]) })).item()).toBe(6);
    held.w.storage.released = true;
    held.w = tensor([5]);
    expect(await (await f({ x: host([3]) })).item()).toBe(15);
    expect(f.traces).toBe(2);
  });

  test("what cannot be replayed is refused, and the next step works", async () => {
    const w = tensor([1], { requiresGrad: true });
    const gradient = compile(({ x }: { x: Tensor }) => backward(mul(w, x)));
    await expect(gradient({ x: host([1]) })).rejects.toThrow(
      "compile: a gradient or a kept tensor would outlive the step",
    );
    w.grad = null;
    const kept = compile(({ x }: { x: Tensor }) => void keep(add(x, 1)));
    await expect(kept({ x: host([1]) })).rejects.toThrow("compile: a gradient or a kept tensor would outlive the step");
    const slow = compile(async ({ x }: { x: Tensor }) => x);
    await expect(slow({ x: host([1]) })).rejects.toThrow("compile: the function must not be asynchronous");
    const short = compile(({ x }: { x: Tensor }) => add(x, x));
    const input = { x: { ...host([1, 2]), shape: [3] } };
    await expect(short(input)).rejects.toThrow("compile: input x has shape [3] but 2 values of data");
    expect(() => compile(() => 1, { maxPlans: 0 })).toThrow("compile: maxPlans must be a whole number above 0, got 0");
    await expect(step(async () => short({ x: host([1]) }))).rejects.toThrow("steps do not nest");
    expect(await read(await short({ x: host([1, 2]) }))).toEqual([2, 4]);
  });

  test("without gradients, and with a result from outside", async () => {
    const w = tensor([4], { requiresGrad: true });
    const f = compile(({ x }: { x: Tensor }) => noGrad(() => ({ y: mul(w, x), w })));
    for (const v of [1, 2]) {
      const { y, w: same } = await f({ x: host([v]) });
      expect([await y.item(), await same.item()]).toEqual([4 * v, 4]);
      expect(y.requiresGrad).toBe(false);
    }
  });
});
