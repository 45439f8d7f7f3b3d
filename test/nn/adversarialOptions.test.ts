// What the losses of MSALDS-UNet do besides the paper's reading: scales without discriminator, no difficulty, the
// authors' code's way of feeding them. The paper's reading itself is held against PyTorch in msalds.test.ts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Rng,
  backward,
  close,
  crossEntropy,
  dice,
  init,
  nn,
  randn,
  step,
  tensor,
  zeros,
  type Tensor,
} from "../../src/index.ts";

beforeAll(() => init());
afterAll(() => close());

const image = () => randn([2, 1, 16, 16], new Rng(1));
const labels = () =>
  tensor(
    Int32Array.from({ length: 2 * 256 }, (_, i) => (i % 16 > 8 ? 1 : 0)),
    { shape: [2, 16, 16] },
  );
const logits = (seed: number): Tensor => {
  const z = randn([2, 2, 16, 16], new Rng(seed));
  z.requiresGrad = true;
  return z;
};
const critic = () => new nn.Discriminator({ inChannels: 3, width: 4, depth: 2, dropout: 0, rng: new Rng(5, "d") });
const read = (tensors: readonly (Tensor | undefined)[]) => Promise.all(tensors.map((t) => t!.item()));

describe("generatorLoss", () => {
  test("a scale without discriminator is plain Dice plus cross entropy, and has no other terms", async () => {
    const [z, y] = [logits(2), labels()];
    const { g, expected } = await step(() => ({
      g: nn.generatorLoss(image(), [z], y, [null]),
      expected: [dice(z, y, { activation: "softmax" }), crossEntropy(z, y)],
    }));
    const [d, ce] = await read(expected);
    const [terms] = g.scales;
    expect(await read([terms.dice, terms.crossEntropy, g.loss])).toEqual([d, ce, expect.closeTo(d + ce, 6)]);
    expect([terms.adversarial, terms.confidence, terms.difficulty]).toEqual([undefined, undefined, undefined]);
  });

  test("difficulty false leaves the cross entropy plain but keeps the adversarial term", async () => {
    const [z, y, x, d] = [logits(2), labels(), image(), critic()];
    const { g, weighted, ce } = await step(() => ({
      g: nn.generatorLoss(x, [z], y, [d], { difficulty: false }),
      weighted: nn.generatorLoss(x, [z], y, [d]),
      ce: crossEntropy(z, y),
    }));
    const [plain, lambda, expected] = await read([g.scales[0].crossEntropy, weighted.scales[0].crossEntropy, ce]);
    expect(plain).toBe(expected);
    expect(Math.abs(lambda - expected)).toBeGreaterThan(0.01); // an untrained discriminator: lambda near 0.75
    expect(await g.scales[0].adversarial!.item()).toBeGreaterThan(0);
  });

  test("segmentation takes Dice and cross entropy from other logits than those that are judged", async () => {
    const [judged, other, y, x, d] = [logits(2), logits(3), labels(), image(), critic()];
    const g = await step(() => {
      const loss = nn.generatorLoss(x, [judged], y, [d], { segmentation: [other] });
      backward(loss.loss);
      return loss;
    });
    const plain = await step(() => dice(other, y, { activation: "softmax" }));
    expect(await g.scales[0].dice.item()).toBe(await plain.item());
    // the judged logits learn from the discriminator alone, the others from Dice and cross entropy
    const size = async (t: Tensor) => Math.max(...(await t.grad!.read()).map(Math.abs));
    expect(await size(judged)).toBeGreaterThan(0);
    expect(await size(other)).toBeGreaterThan(10 * (await size(judged)));
  });
});

describe("discriminatorLoss", () => {
  test("input logits shows raw logits: another loss on the prediction, the same on the label", async () => {
    const [z, y, x, d] = [logits(2), labels(), image(), critic()];
    const [soft, raw] = await step(() => [
      nn.discriminatorLoss(x, [z], y, [d]),
      nn.discriminatorLoss(x, [z], y, [d], { input: "logits" }),
    ]);
    const [a, b] = [soft.scales[0], raw.scales[0]];
    expect(await a.label.item()).toBe(await b.label.item());
    expect(Math.abs((await a.prediction.item()) - (await b.prediction.item()))).toBeGreaterThan(1e-3);
  });
});

describe("discriminators side by side", () => {
  const together = () => new nn.Discriminator({ inChannels: 3, width: 4, depth: 2, dropout: 0, count: 2, rng: new Rng(5, "d") });

  test("judge, learn and teach as the same ones apart do", async () => {
    const [grouped, y, x] = [together(), labels(), image()];
    const apart = [grouped.alone(0), grouped.alone(1)];
    const run = async (critics: readonly nn.Discriminator[]) => {
      const scales = [logits(2), logits(3)];
      const { d, g } = await step(() => {
        const d = nn.discriminatorLoss(x, scales, y, critics);
        backward(d.loss);
        const g = nn.generatorLoss(x, scales, y, critics);
        backward(g.loss);
        return { d, g };
      });
      const terms = [...d.scales, ...g.scales].flatMap((t) => Object.values(t) as Tensor[]);
      const weights = nn.namedParameters(critics).map(async ([name, t]) => ({
        name: name.replace(/^\d+\./, ""),
        grad: [...(await t.grad!.read())],
      }));
      return {
        terms: await read([d.loss, g.loss, ...terms]),
        logits: await Promise.all(scales.map(async (z) => [...(await z.grad!.read())])),
        weights: await Promise.all(weights),
      };
    };
    const [a, b] = [await run([grouped]), await run(apart)];
    expect(a.terms.length).toBe(2 + 2 * 6 + 2 * 6);
    // sums in another order: a few units in the last place of f32
    const close = (u: readonly number[], v: readonly number[]) => {
      const scale = Math.max(...v.map(Math.abs));
      expect(u.length).toBe(v.length);
      expect(Math.max(...u.map((value, i) => Math.abs(value - v[i])))).toBeLessThan(2e-5 * scale);
    };
    close(a.terms, b.terms);
    a.logits.forEach((grad, k) => close(grad, b.logits[k]));
    for (const { name, grad } of a.weights) {
      const parts = b.weights.filter((w) => w.name === name);
      expect(parts.length).toBe(2);
      close(grad, parts.flatMap((w) => w.grad));
    }
  });

  test("have each the weights of one, and alone() names what there is", () => {
    const four = new nn.Discriminator({ inChannels: 5, count: 4, rng: new Rng(0, "d") });
    expect(nn.parameterCount(four)).toBe(4 * 5_923_617);
    expect(() => together().alone(2)).toThrow("alone: the index must be 0 to 1, got 2");
    expect(() => together().forward(zeros([1, 3, 16, 16]))).toThrow("Discriminator: x must be [N, 6, H, W]");
  });
});
