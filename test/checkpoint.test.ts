// Blocks computed again in the backward pass: the bits of plain ones, with less memory.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Rng,
  add,
  backward,
  checkpoint,
  close,
  compile,
  diceCrossEntropy,
  init,
  mean,
  mul,
  nn,
  noGrad,
  sum,
  tensor,
  type Tensor,
} from "../src/index.ts";

beforeAll(() => init());
afterAll(() => close());

const read = async (t: Tensor) => [...(await t.read())];

/** x: [2, 4, 8, 8] that needs a gradient. */
function input(seed = 7): Tensor {
  const rng = new Rng(seed, "x");
  return tensor(
    Float32Array.from({ length: 512 }, () => rng.normal()),
    { shape: [2, 4, 8, 8], requiresGrad: true },
  );
}

/** Two residual blocks with dropout and running statistics; the bits of everything that a step leaves. */
async function twoBlocks(wrap: (block: nn.ResidualBlock, x: Tensor) => Tensor): Promise<number[][]> {
  const rng = new Rng(3, "net");
  const blocks = [4, 6].map((c, i) => new nn.ResidualBlock(c, [6, 6][i], { dropout: 0.4, squeeze: 2, rng }));
  const x = input();
  const y = blocks.reduce((t, block) => wrap(block, t), x);
  const loss = mean(mul(y, y));
  backward(loss);
  const left = [loss, x.grad!, ...blocks.flatMap((b) => nn.parameters(b).map((p) => p.grad!))];
  return Promise.all([...left, ...blocks.flatMap((b) => nn.namedBuffers(b).map(([, t]) => t))].map(read));
}

describe("checkpoint", () => {
  test("loss, gradients and running statistics are the bits of the plain blocks", async () => {
    const plain = await twoBlocks((block, x) => block.forward(x));
    expect(await twoBlocks((block, x) => checkpoint((t) => block.forward(t), x))).toEqual(plain);
  });

  test("one inside another draws the same numbers", async () => {
    const block = (wrapped: boolean) => {
      const [outer, inner] = [0, 1].map((i) => new nn.Dropout(0.5, { rng: new Rng(i, "drop") }));
      const run = (fn: (x: Tensor) => Tensor, x: Tensor) => (wrapped ? checkpoint(fn, x) : fn(x));
      const x = input();
      const y = run((a) => run((b) => mul(inner.forward(b), b), outer.forward(a)), x);
      backward(sum(mul(y, y)));
      return read(x.grad!);
    };
    expect(await block(true)).toEqual(await block(false));
  });

  test("several inputs, and a tensor from outside that has a gradient", async () => {
    const gradients = (wrapped: boolean) => {
      const [a, b, c] = [1, 2, 3].map(input);
      const outside = mul(c, c);
      const fn = (s: Tensor, t: Tensor) => add(mul(s, mul(t, outside)), mul(a, s)); // a also from outside
      const y = wrapped ? checkpoint(fn, a, b) : fn(a, b);
      backward(sum(mul(y, y)));
      return Promise.all([a, b, c].map((t) => read(t.grad!)));
    };
    const [plain, again] = [await gradients(false), await gradients(true)];
    // Sums of the same terms in another order.
    again.forEach((g, k) =>
      g.forEach((v, i) => expect(Math.abs(v - plain[k][i])).toBeLessThan(1e-4 * (1 + Math.abs(v)))),
    );
  });

  test("without gradients it is the function itself", async () => {
    let calls = 0;
    const fn = (x: Tensor) => (calls++, mul(x, x));
    const x = input();
    const y = noGrad(() => checkpoint(fn, x));
    expect([y.requiresGrad, calls]).toEqual([false, 1]);
    const constant = checkpoint(fn, x.detach());
    expect(constant.requiresGrad).toBe(false);
    expect(await read(constant)).toEqual(await read(y));
  });

  test("a U-Net trained with it ends with the same bits in less memory", async () => {
    const train = async (recompute: boolean) => {
      const model = new nn.ResUNet({
        inChannels: 1,
        classes: 2,
        width: 8,
        depth: 2,
        recompute,
        rng: new Rng(1, "net"),
      });
      const run = compile(({ x, y }: { x: Tensor; y: Tensor }) => {
        const loss = diceCrossEntropy(model.forward(x), y);
        backward(loss);
        const grads = nn.parameters(model).map((p) => p.grad!);
        for (const p of nn.parameters(model)) p.grad = null;
        return { loss: loss.detach(), grads };
      });
      const data = Float32Array.from({ length: 2 * 1024 }, (_, i) => Math.sin(i));
      const labels = Int32Array.from(data, (v) => Number(v > 0.3));
      const x = { shape: [2, 1, 32, 32], dtype: "f32" as const, data };
      const y = { shape: [2, 32, 32], dtype: "i32" as const, data: labels };
      const steps = [];
      for (let i = 0; i < 2; i++) {
        const { loss, grads } = await run({ x, y });
        steps.push(await Promise.all([loss, ...grads].map(read)));
      }
      return { steps, bytes: run.memory!.planned };
    };
    const [plain, again] = [await train(false), await train(true)];
    expect(again.steps).toEqual(plain.steps);
    expect(again.bytes).toBeLessThan(0.8 * plain.bytes);
  });
});
