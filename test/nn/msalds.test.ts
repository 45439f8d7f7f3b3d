// MSALDS-UNet: sizes and shapes of both networks, and joint steps of generator and discriminators against PyTorch
// (fixtures/msalds.py).
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Rng,
  backward,
  close,
  init,
  interpolate,
  nn,
  noGrad,
  optim,
  ones,
  step,
  zeros,
  type Tensor,
} from "../../src/index.ts";
import { absolute, checkThrows, download, expectClose, ulps, upload } from "../check.ts";
import { batch, fixture, initial, sampled, values, type Batch, type Terms, type Values } from "../msalds.ts";

beforeAll(() => init());
afterAll(() => close());

const rng = () => new Rng(11, "init");
const counts = (list: readonly object[]) => list.map((part) => nn.parameterCount(part));

describe("sizes", () => {
  // Counted by PyTorch 1.13 from modules of the same description; the sum is that of the authors' code without the
  // layers it never uses.
  test("the generator at the published width has 40,856,040 parameters", () => {
    const g = new nn.MSALDSUNet({ inChannels: 3, classes: 2, rng: rng() });
    expect(nn.parameterCount(g)).toBe(40_856_040);
    expect(counts(g.encoder)).toEqual([39_680, 232_192, 927_232, 3_705_856]);
    expect(nn.parameterCount(g.bottleneck)).toBe(14_686_208);
    expect(counts(g.decoder)).toEqual([15_994_368, 3_999_488, 1_000_320, 250_304]);
    expect(counts(g.head.layers)).toEqual([18_464, 64, 0, 66]);
    expect(counts(g.sides)).toEqual([258, 514, 1_026]);
    // squeeze and excitation: C * C / 16 twice, no biases
    expect(counts(g.encoder.map((b) => b.se!))).toEqual([512, 2_048, 8_192, 32_768]);
    expect(g.bottleneck.se).toBeNull();
    expect(g.decoder.map(({ block }) => block.se)).toEqual([null, null, null, null]);
  });

  test("a discriminator at the published width has 5,923,617 parameters", () => {
    const d = new nn.Discriminator({ inChannels: 5, rng: rng() });
    expect(nn.parameterCount(d)).toBe(5_923_617);
    expect(counts(d.encoder)).toEqual([1_504, 18_560, 73_984, 295_424, 1_180_672]);
    expect(counts(d.decoder)).toEqual([3_277_568, 819_584, 204_992, 51_296]);
    expect(nn.parameterCount(d.head)).toBe(33);
  });
});

describe("the generator", () => {
  const build = (depth: number) => new nn.MSALDSUNet({ inChannels: 1, classes: 3, width: 4, depth, rng: rng() });

  test("gives one output per level, resized bilinearly from its own resolution", async () => {
    const model = build(3);
    nn.setTraining(model, false);
    const x = upload({ shape: [1, 1, 16, 8], data: Float64Array.from({ length: 128 }, (_, i) => Math.sin(i * i)) });
    const all = await step(() => noGrad(() => [...model.forward(x), ...model.forward(x, { raw: true })]));
    const [outputs, raw] = [all.slice(0, 3), all.slice(3)];
    expect(outputs.map((y) => y.shape)).toEqual(Array(3).fill([1, 3, 16, 8]));
    expect(raw.map((y) => y.shape)).toEqual([
      [1, 3, 16, 8],
      [1, 3, 8, 4],
      [1, 3, 4, 2],
    ]);
    for (const [k, y] of outputs.entries()) {
      const again = k === 0 ? raw[0] : interpolate(raw[k], { size: [16, 8], mode: "linear", alignCorners: false });
      expect(await y.read()).toEqual(await again.read());
    }
  });

  test("refuses sizes that its levels cannot halve, and other channel counts", () => {
    checkThrows(
      () => build(4).forward(zeros([1, 1, 32, 24])),
      "MSALDSUNet: height and width must be divisible by 16, got 32 x 24 (x [1, 1, 32, 24]); pad or resize the input",
    );
    checkThrows(
      () => build(4).predict(zeros([1, 1, 33, 32])),
      "MSALDSUNet: height and width must be divisible by 16, got 33 x 32 (x [1, 1, 33, 32]); pad or resize the input",
    );
    checkThrows(
      () => build(4).forward(zeros([1, 3, 32, 32])),
      "MSALDSUNet: x must be [N, 1, H, W], got [1, 3, 32, 32]",
    );
  });

  test("fullResolution is the same model with the first output alone", async () => {
    const model = build(1);
    const single = nn.fullResolution(model);
    expect(nn.namedParameters(single)).toEqual(nn.namedParameters(model));
    expect(single.classifier).toBe(model.classifier);
    nn.setTraining(single, false); // reaches the shared layers
    const x = ones([1, 1, 4, 4]);
    const [a, b] = await step(() => noGrad(() => [single.forward(x), model.forward(x)[0]]));
    expect(await a.read()).toEqual(await b.read());
  });

  test("is in the registry, with its own defaults", () => {
    const model = nn.buildModel("msalds-unet", { inChannels: 1, classes: 2, width: 4, depth: 1, rng: rng() });
    expect(noGrad(() => model.forward(zeros([1, 1, 4, 6]))).shape).toEqual([1, 2, 4, 6]);
    const drops = nn.namedModules(model).filter(([, m]) => m instanceof nn.Dropout2d);
    expect(drops.map(([name, m]) => [name, (m as nn.Dropout2d).p])).toEqual([
      ["encoder.0.dropout", 0.3],
      ["bottleneck.dropout", 0.3],
      ["decoder.0.block.dropout", 0.3],
    ]);
  });
});

describe("the discriminator", () => {
  const build = (depth?: number) => new nn.Discriminator({ inChannels: 5, width: 4, depth, rng: rng() });

  test("gives one logit per pixel, and its confidence between 0 and 1", async () => {
    const d = build(1);
    nn.setTraining(d, false);
    const x = ones([2, 5, 8, 6]);
    const [logits, confidence] = await step(() => noGrad(() => [d.forward(x), d.confidence(x)]));
    expect(logits.shape).toEqual([2, 1, 8, 6]);
    const expected = Array.from(await logits.read(), (z) => 1 / (1 + Math.exp(-z)));
    expectClose("confidence", await download(confidence), { shape: logits.shape, data: expected }, ulps(4));
  });

  test("drops channels in the encoder only", () => {
    const d = build();
    expect(d.encoder.map((s) => s.dropout?.p)).toEqual([0.3, 0.3, 0.3, 0.3, 0.3]);
    expect(d.decoder.map((s) => s.block.dropout)).toEqual([null, null, null, null]);
  });

  test("refuses sizes that its levels cannot halve, and other channel counts", () => {
    checkThrows(
      () => build().forward(zeros([1, 5, 16, 20])),
      "Discriminator: height and width must be divisible by 16, got 16 x 20 (x [1, 5, 16, 20]); " +
        "pad or resize the input",
    );
    checkThrows(
      () => build().forward(zeros([1, 4, 16, 16])),
      "Discriminator: x must be [N, 5, H, W], got [1, 4, 16, 16]",
    );
  });
});

function load(model: object, network: string): void {
  const own = [...initial].filter(([n]) => n.startsWith(`${network}/`));
  nn.loadStateDict(model, Object.fromEntries(own.map(([n, v]) => [n.slice(network.length + 1), v])));
}

interface Networks extends Batch {
  readonly generator: nn.MSALDSUNet;
  readonly discriminators: readonly nn.Discriminator[];
}

/** The networks at their start, and the first batch. */
function networks(): Networks {
  const { inChannels, classes, width, depth } = fixture.model;
  const options = { width, depth, dropout: 0, rng: rng() };
  const generator = new nn.MSALDSUNet({ inChannels, classes, ...options });
  load(generator, "g");
  const discriminators = Array.from({ length: depth }, (_, i) => {
    const d = new nn.Discriminator({ inChannels: inChannels + classes, ...options });
    load(d, `d${i}`);
    return d;
  });
  return { generator, discriminators, ...batch(0) };
}

/** Compares every parameter's gradient with that of PyTorch's first step. */
async function checkGradients(model: object, name: string): Promise<void> {
  for (const [n, p] of nn.namedParameters(model)) await checkFirst(`${name}/${n}`, p.grad);
}

async function checkFirst(name: string, gradient: Tensor | null): Promise<void> {
  const expected = values.get(`first/${name}`)!;
  if (!gradient) throw new Error(`${name} has no gradient`);
  // Eight times what right runs differed by (five runs do not show the worst), and 17 units in the last place; as for
  // the trajectory. A bias before a norm has no gradient but rounding: 1e-7 is 1e-5 of the others' largest values.
  const largest = expected.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const allowed = Math.max(8 * fixture.first_spread[name] + 2e-6 * largest, 1e-7);
  expectClose(`first gradient of ${name}`, sampled(await download(gradient)), expected, absolute(allowed));
}

const LOSS_TOLERANCE = 1e-3; // relative; right runs stay within 2.2e-5 (spread)
// One pixel of both maps of a batch of two. The accuracy moves by it where rounding puts a confidence on the other side
// of 1/2; right runs differed by one (spread), so four are allowed.
const PIXEL = 1 / (2 * 2 * fixture.size ** 2);

async function checkTerms(what: string, found: object, expected: Terms): Promise<void> {
  expect(Object.keys(found).sort(), what).toEqual(Object.keys(expected).sort());
  for (const [name, t] of Object.entries(found) as [string, Tensor][]) {
    expect(t.requiresGrad, `${what} ${name} holds no graph`).toBe(false);
    const allowed = name === "accuracy" ? 4.5 * PIXEL : LOSS_TOLERANCE * Math.abs(expected[name]);
    const value = await t.item();
    expect(Math.abs(value - expected[name]), `${what} ${name}: got ${value}, PyTorch ${expected[name]}`).toBeLessThan(
      allowed,
    );
  }
}

/** Compares parameters and running statistics after the last step with PyTorch's. */
async function checkFinal(model: object, network: string): Promise<void> {
  for (const [n, found] of Object.entries(await nn.stateDict(model))) checkWay(`${network}/${n}`, sampled(found));
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.hypot(...Array.from(a, (v, i) => v - b[i]));

/**
 * Compares by distance, as a part of the way that PyTorch's tensor went from its start. Twice what right runs differed
 * by: 0.026 for weights, 0.0065 for running statistics, which a momentum of 0.11 instead of 0.1 moves by 0.03.
 */
function checkWay(name: string, found: Values): void {
  const expected = values.get(`final/${name}`)!;
  // The bias before a norm has no gradient but rounding, whose sign Adam follows; the norm takes it away again, but its
  // running mean holds it. In each direction it goes at most one rate a step.
  if (name === "g/head.0.bias" || name === "g/head.1.running_mean") {
    expectClose(name, found, expected, absolute(2 * fixture.steps.length * fixture.lr));
    return;
  }
  const way = distance(expected.data, sampled(initial.get(name)!).data);
  const { weights, statistics } = fixture.final_spread;
  const seen = /running_(mean|var)$/.test(name) ? statistics : weights;
  const part = distance(found.data, expected.data) / way;
  expect(way, `${name} moves`).toBeGreaterThan(0);
  expect(part, `${name}: distance from PyTorch's, as part of the way`).toBeLessThan(2 * seen);
}

describe("against PyTorch", () => {
  test("the networks have the same names and sizes", () => {
    const { generator, discriminators } = networks();
    expect([nn.parameterCount(generator), nn.parameterCount(discriminators[0])]).toEqual(fixture.parameters);
  });

  test("the course is steep enough to tell, and smooth enough to follow", () => {
    // What the steps change in every network's loss is over ten times what the comparison allows ...
    const last = fixture.steps.at(-1)!;
    for (const [i, t] of last.generator.entries()) expect(t.loss).toBeLessThan(0.9 * fixture.untrained.generator[i]);
    for (const [i, t] of last.discriminator.entries())
      expect(t.loss).toBeLessThan((1 - 10 * LOSS_TOLERANCE) * fixture.untrained.discriminator[i]);
    // ... and what rounding changes is below a twentieth of what it allows.
    for (const { generator, discriminator } of fixture.spread)
      for (const [name, seen] of [...Object.entries(generator), ...Object.entries(discriminator)])
        expect(seen, name).toBeLessThan(name === "accuracy" ? 3.5 * PIXEL : LOSS_TOLERANCE / 20);
  });

  test("twenty joint steps follow the same losses to the same weights", async () => {
    const { generator, discriminators } = networks();
    const adamG = new optim.Adam(nn.parameters(generator), { lr: fixture.lr });
    const adamD = discriminators.map((d) => new optim.Adam(nn.parameters(d), { lr: fixture.lr }));
    const grads = (model: object) => nn.parameters(model).map((p) => p.grad);
    for (const [k, expected] of fixture.steps.entries()) {
      const { x, target } = batch(k);
      // One step, as in training, but for the generator's update, which waits until its gradients are compared.
      const { d, g } = await step(() => {
        const logits = generator.forward(x);
        const d = nn.discriminatorLoss(x, logits, target, discriminators);
        backward(d.loss);
        expect(grads(generator).every((g) => g === null)).toBe(true); // the prediction is a constant here
        adamD.forEach((adam) => adam.step());
        const before = grads(discriminators);
        const g = nn.generatorLoss(x, logits, target, discriminators);
        backward(g.loss);
        grads(discriminators).forEach((t, i) => expect(t).toBe(before[i])); // not touched by the generator's part
        return { d, g };
      });
      if (k === 0) {
        for (const [i, critic] of discriminators.entries()) await checkGradients(critic, `d${i}`);
        await checkGradients(generator, "g");
      }
      await step(() => {
        adamG.step();
        for (const adam of [adamG, ...adamD]) adam.zeroGrad();
      });
      for (const [i, terms] of g.scales.entries())
        await checkTerms(`step ${k}, scale ${i}`, terms, expected.generator[i]);
      for (const [i, terms] of d.scales.entries())
        await checkTerms(`step ${k}, discriminator ${i}`, terms, expected.discriminator[i]);
      const total = expected.generator.reduce((sum, t) => sum + t.loss, 0);
      expect(Math.abs((await g.loss.item()) - total), `step ${k}: sum of scales`).toBeLessThan(LOSS_TOLERANCE * total);
    }
    await checkFinal(generator, "g");
    for (const [i, critic] of discriminators.entries()) await checkFinal(critic, `d${i}`);
  });

  test.each([
    ["attached", { detachDifficulty: false }],
    ["scalarCE", { detachDifficulty: false, legacyScalarCE: true }],
  ])("%s difficulty gives the same gradients", async (name, options) => {
    const { generator, discriminators, x, target } = networks();
    const adamD = new optim.Adam(nn.parameters(discriminators), { lr: fixture.lr });
    await step(() => {
      const logits = generator.forward(x);
      backward(nn.discriminatorLoss(x, logits, target, discriminators).loss);
      adamD.step();
      adamD.zeroGrad();
      backward(nn.generatorLoss(x, logits, target, discriminators, options).loss);
    });
    await checkFirst(`${name}/head.3.weight`, generator.classifier.weight.grad);
    await checkFirst(`${name}/sides.0.weight`, generator.sides[0].weight.grad);
    // The gradient that reaches the confidence map goes on to the generator, not to the discriminators' weights.
    expect(nn.parameters(discriminators).every((p) => p.grad === null)).toBe(true);
  });
});

describe("the losses", () => {
  test("leave the discriminators without gradients, whenever backward comes", async () => {
    const { generator, discriminators, x, target } = networks();
    await step(() => {
      const { loss } = nn.generatorLoss(x, generator.forward(x), target, discriminators);
      backward(loss);
    });
    expect(nn.parameters(discriminators).every((p) => p.grad === null && p.requiresGrad)).toBe(true);
    expect(nn.parameters(generator).every((p) => p.grad !== null)).toBe(true);
  });

  test("the adversarial term reaches the generator through the discriminators", async () => {
    const gradient = async (adversarialWeight: number) => {
      const { generator, discriminators, x, target } = networks();
      await step(() =>
        backward(nn.generatorLoss(x, generator.forward(x), target, discriminators, { adversarialWeight }).loss),
      );
      return generator.classifier.weight.grad!.read();
    };
    const [none, some] = [await gradient(0), await gradient(1)];
    // measured 2e-3; without a path it would be 0
    expect(Math.max(...some.map((v, i) => Math.abs(v - none[i])))).toBeGreaterThan(2e-4);
  });

  test("refuse scales, images and labels that do not fit", () => {
    const { generator, discriminators, x, target } = networks();
    const logits = generator.forward(x);
    for (const [op, run] of [
      ["generatorLoss", nn.generatorLoss],
      ["discriminatorLoss", nn.discriminatorLoss],
    ] as const) {
      checkThrows(
        () => run(x, logits, target, discriminators.slice(1)),
        `${op}: needs one discriminator for each scale of logits, at least one, got 3 for 4`,
      );
      checkThrows(
        () => run(x, generator.forward(x, { raw: true }), target, discriminators),
        `${op}: every scale must be [N, C, H, W] for an image [N, CIN, H, W], got [2, 2, 16, 16] for an image ` +
          "[2, 3, 32, 32]; resize the logits to the size of the image",
      );
      checkThrows(
        () => run(x, logits, zeros([2, 16, 16], { dtype: "i32" }), discriminators),
        `${op}: labels must be [2, 32, 32] for a prediction [2, 2, 32, 32], got [2, 16, 16]`,
      );
    }
  });
});

test("a frozen model shares memory and random sequences with its model, and gets no gradients", async () => {
  const model = new nn.Sequential(new nn.Conv2d(1, 2, { kernelSize: 3, padding: 1, rng: rng() }), new nn.BatchNorm(2));
  const [conv, bn] = model.layers as [nn.Conv2d, nn.BatchNorm];
  const copy = nn.frozen(model);
  expect(copy).toBeInstanceOf(nn.Sequential);
  expect(nn.parameters(copy)).toEqual([]);
  const x = upload({ shape: [1, 1, 4, 4], data: Float64Array.from({ length: 16 }, (_, i) => Math.cos(i)) });
  const before = await bn.runningMean.read();
  const [a, b] = await step(() => [copy.forward(x), model.forward(x)]);
  expect(await a.read()).toEqual(await b.read());
  expect(await bn.runningMean.read()).not.toEqual(before); // moved by the copy and by the model
  expect((copy.layers[0] as nn.Conv2d).weight.storage).toBe(conv.weight.storage);
  const drop = new nn.Dropout2d(0.5, { rng: rng() });
  expect(nn.frozen(drop).rng).toBe(drop.rng);
});
