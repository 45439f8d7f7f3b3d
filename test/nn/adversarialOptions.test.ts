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
