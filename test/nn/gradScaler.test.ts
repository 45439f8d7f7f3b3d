import { afterAll, beforeAll, expect, test } from "vitest";
import { backward, close, init, mse, optim, step, tensor, zeros, type Tensor } from "../../src/index.ts";
import { checkThrows } from "../check.ts";

const { GradScaler, SGD, clipGradNorm } = optim;

beforeAll(async () => void (await init()));
afterAll(() => close());

const start = (): Tensor => tensor([1, 2, 3], { requiresGrad: true });

test("scaled and unscaled, a step is the same as without", async () => {
  const [a, b] = [start(), start()];
  const goal = zeros([3]);
  const [sa, sb] = [a, b].map((p) => new SGD([p], { lr: 0.1 }));
  const scaler = new GradScaler();
  const plain = await step(() => {
    const loss = mse(a, goal);
    backward(loss);
    sa.step();
    return loss;
  });
  const scaled = await step(() => {
    const loss = scaler.scale(mse(b, goal));
    backward(loss);
    scaler.step(sb);
    scaler.update();
    return loss;
  });
  expect(await scaled.item()).toBe((await plain.item()) * 65536);
  expect([...(await b.read())]).toEqual([...(await a.read())]); // the scale is a power of two
  expect([...(await b.grad!.read())]).toEqual([...(await a.grad!.read())]);
});

test("a gradient that is infinite or NaN skips the step and lowers the scale; good steps raise it", async () => {
  const p = start();
  const sgd = new SGD([p], { lr: 1 });
  const scaler = new GradScaler({ initScale: 8, growthInterval: 2 });
  const scales: number[] = [];
  for (const bad of [0, Infinity, NaN, -Infinity, 0, 0, 3e38]) {
    p.grad = tensor([8, bad, 0]);
    await step(() => {
      scaler.step(sgd);
      scaler.update();
    });
    scales.push(await scaler.value());
  }
  expect(scales).toEqual([8, 4, 2, 1, 1, 2, 2]);
  const [first, second] = await p.read();
  expect(first).toBe(1 - 8 / 8 - 8 / 1 - 8 / 1 - 8 / 2); // only in the four good steps
  expect(second).toBe(Math.fround(2 - 1.5e38));
});

test("each optimiser is skipped by its own gradients, the scale falls for any", async () => {
  const [a, b] = [start(), start()];
  const [sa, sb] = [a, b].map((p) => new SGD([p], { lr: 1 }));
  const scaler = new GradScaler({ initScale: 2 });
  [a.grad, b.grad] = [tensor([2, 2, NaN]), tensor([2, 2, 2])];
  await step(() => {
    scaler.step(sa);
    scaler.step(sb);
    scaler.update();
  });
  expect([...(await a.read())]).toEqual([1, 2, 3]);
  expect([...(await b.read())]).toEqual([0, 1, 2]);
  expect(await scaler.value()).toBe(1);
});

test("clipping between unscale and step sees true gradients", async () => {
  const p = start();
  const sgd = new SGD([p], { lr: 1 });
  const scaler = new GradScaler({ initScale: 1024 });
  p.grad = tensor([3 * 1024, 4 * 1024, 0]);
  const norm = await step(() => {
    scaler.unscale(sgd);
    const n = clipGradNorm([p], 100);
    scaler.step(sgd);
    scaler.update();
    return n;
  });
  expect(await norm.item()).toBe(5);
  expect([...(await p.read())]).toEqual([-2, -2, 3]);
});

test("goes on from its state", async () => {
  const p = start();
  const scaler = new GradScaler({ initScale: 4, growthInterval: 2 });
  const good = async (s: optim.GradScaler) => {
    p.grad = tensor([0, 0, 0]);
    await step(() => {
      s.step(new SGD([p]));
      s.update();
    });
  };
  await good(scaler);
  const saved = await scaler.state();
  expect(saved).toEqual({ scale: 4, good: 1 });
  const other = new GradScaler({ initScale: 1, growthInterval: 2 });
  other.loadState(saved);
  await good(other);
  expect(await other.value()).toBe(8);
});

test("refusals", () => {
  checkThrows(() => new GradScaler({ initScale: 0 }), "GradScaler: initScale must be above 0, got 0");
  checkThrows(() => new GradScaler({ growthFactor: 1 }), "GradScaler: growthFactor must be above 1, got 1");
  checkThrows(() => new GradScaler({ backoffFactor: 1 }), "GradScaler: backoffFactor must lie between 0 and 1, got 1");
  checkThrows(
    () => new GradScaler({ growthInterval: 0.5 }),
    "GradScaler: growthInterval must be a whole number above 0, got 0.5",
  );
  const scaler = new GradScaler();
  checkThrows(() => scaler.scale(start()), "GradScaler: the loss must have one element, got shape [3]");
  const sgd = new SGD([start()]);
  scaler.unscale(sgd);
  checkThrows(
    () => scaler.unscale(sgd),
    "GradScaler: unscale() was already called for this optimiser since the last update()",
  );
});
