// Dropout: the mask is that of the host's generator, the same in the gradient, and whole channels fall together.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { checkThrows } from "../check.ts";

beforeAll(async () => void (await w.init()));
afterAll(() => w.close());

const { Rng } = w;

/** The value and the gradient of a tensor of ones of `shape` under dropout `f`. */
async function onesThrough(f: (x: w.Tensor) => w.Tensor, shape: number[]): Promise<{ y: number[]; dx: number[] }> {
  const x = w.ones(shape, { requiresGrad: true });
  const y = await w.step(() => {
    const t = f(x);
    w.backward(t, w.ones(shape));
    return t;
  });
  return { y: [...(await y.read())], dx: [...(await x.grad!.read())] };
}

test.each([[[1]], [[7]], [[2, 3, 5]], [[257]]])("dropout of %j", async (shape) => {
  const [host, device] = [new Rng(5, "drop", 11), new Rng(5, "drop", 11)];
  const { y, dx } = await onesThrough((x) => w.dropout(x, { p: 0.3, rng: device }), shape);
  expect(y).toEqual(y.map(() => (host.uniform() < 0.3 ? 0 : Math.fround(1 / 0.7))));
  expect(dx).toEqual(y);
  expect(device.counter).toBe(host.counter);
});

test.each([
  ["dropout2d", [2, 5, 3, 3]],
  ["dropout2d", [2, 5, 4, 4]],
  ["dropout3d", [2, 5, 2, 3, 1]],
] as const)("%s of %j drops whole channels", async (name, shape) => {
  const [host, device] = [new Rng(9), new Rng(9)];
  const { y, dx } = await onesThrough((x) => w[name](x, { p: 0.5, rng: device }), [...shape]);
  const per = y.length / 10;
  const channels = Array.from({ length: 10 }, () => (host.uniform() < 0.5 ? 0 : 2));
  expect(y).toEqual(channels.flatMap((v) => new Array<number>(per).fill(v)));
  expect(dx).toEqual(y);
  expect(device.counter).toBe(10);
});

test("the expectation stays", async () => {
  const y = w.dropout(w.ones([1_000_000]), { p: 0.2, rng: new Rng(1) });
  expect(Math.abs((await w.mean(y).item()) - 1)).toBeLessThan(4 * Math.sqrt(0.2 / 0.8 / 1e6)); // four standard errors
});

test("two calls differ, two runs do not", async () => {
  const run = async () => {
    const rng = new Rng(1);
    const x = w.ones([64]);
    return [...(await w.dropout(x, { rng }).read()), ...(await w.dropout(x, { rng }).read())];
  };
  const first = await run();
  expect(first.slice(0, 64)).not.toEqual(first.slice(64));
  expect(await run()).toEqual(first);
});

test("nothing happens outside training or with p = 0; p = 1 leaves zeros", async () => {
  const rng = new Rng(1);
  const x = w.ones([5]);
  expect(w.dropout(x, { training: false, rng })).toBe(x);
  expect(w.dropout(x, { p: 0, rng })).toBe(x);
  expect(rng.counter).toBe(0);
  expect(await onesThrough((t) => w.dropout(t, { p: 1, rng }), [3])).toEqual({ y: [0, 0, 0], dx: [0, 0, 0] });
});

test("errors", () => {
  const rng = new Rng(1);
  checkThrows(() => w.dropout(w.ones([2]), { p: 1.5, rng }), "dropout: p must lie in [0, 1], got 1.5");
  checkThrows(() => w.dropout2d(w.ones([2, 3]), { rng }), "dropout2d: x must have 4 dimensions, got [2, 3]");
  checkThrows(
    () => w.dropout3d(w.ones([2, 3, 4, 4]), { rng }),
    "dropout3d: x must have 5 dimensions, got [2, 3, 4, 4]",
  );
});
