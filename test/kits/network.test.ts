// The networks of a run: one optimiser step of each kind, and what they make of logits.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { assign, close, init, noGrad, step, tensor } from "../../src/index.ts";
import { parameters, type Model } from "../../src/nn/index.ts";
import { fineNetwork } from "../../src/kits/fineNetwork.ts";
import { coarseNetwork, regionNetwork, type Network } from "../../src/kits/network.ts";
import type { FineOptions } from "../../src/kits/options.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import { sourceOf } from "./slices.ts";
import { uploadSlices, type Batch } from "../../src/kits/batch.ts";

beforeAll(() => init());
afterAll(() => close());

const SIZE = 16;
const tiny = { size: SIZE, width: 4, depth: 2, batch: 2, epochs: 4 };
const fine = (change: Partial<FineOptions> = {}): FineOptions => ({
  ...presetOptions("demo").kidney,
  ...tiny,
  scales: 2,
  discriminatorWidth: 4,
  discriminatorDepth: 2,
  ...change,
});
const coarse = { ...presetOptions("demo").coarse, ...tiny, lr: 1e-2 };

/** A bright square on noise, from slices that stay on the GPU. */
const batch = async (classes: number): Promise<Batch> => {
  const labels = Uint8Array.from({ length: 2 * SIZE ** 2 }, (_, i) =>
    i % SIZE > 7 && i % 256 > 120 ? classes - 1 : 0,
  );
  const images = Uint8Array.from(labels, (v, i) => 255 * ((v > 0 ? 0.8 : 0.2) + 0.05 * Math.sin(12.9 * i)));
  return (await uploadSlices(sourceOf({ size: SIZE, images, labels }), [0, 1])).batch([0, 1]);
};
const weights = async (model: Model) => Promise.all(parameters(model).map((p) => p.read()));
const moved = (a: ArrayLike<number>[], b: ArrayLike<number>[]) =>
  a.filter((t, i) => Array.from(t).some((v, k) => v !== b[i][k])).length;

async function steps(network: Network, n: number, classes: number): Promise<number[]> {
  network.setTraining(true);
  const losses: number[] = [];
  const shown = await batch(classes);
  for (let i = 0; i < n; i++) losses.push((await (await network.trainStep(shown)).values.read())[0]);
  return losses;
}

describe("coarse and region networks", () => {
  test.each([
    ["coarse", () => coarseNetwork(coarse, 0, [9, 1, 1]), 3],
    ["region", () => regionNetwork(coarse, 0, [90, 5, 3, 2]), 4],
  ] as const)("%s: the loss falls", async (_, make, classes) => {
    const losses = await steps(make(), 30, classes);
    expect(losses.at(-1)!).toBeLessThan(0.95 * losses[0]);
  });

  test("the prior is what an untrained network predicts: softmax and nested sigmoids", async () => {
    const region = regionNetwork(coarse, 0, [90, 5, 3, 2]);
    expect(Array.from(await region.model.classifier.bias!.read(), (v) => 1 / (1 + Math.exp(-v)))).toEqual([
      expect.closeTo(0.1, 5),
      expect.closeTo(0.05, 5),
      expect.closeTo(0.02, 5),
    ]);
  });

  test("nested sigmoids: a region counts only inside the one before", async () => {
    const region = regionNetwork(coarse, 0, [1, 1, 1, 1]);
    // one pixel per combination of kidney, masses, tumor
    const logits = tensor(
      [0, 1, 2].flatMap((k) => Array.from({ length: 8 }, (_, i) => ((i >> k) & 1 ? 3 : -3))),
      { shape: [1, 3, 1, 8] },
    );
    const classes = await step(() => noGrad(() => region.classes(logits)));
    expect([...(await classes.read())]).toEqual([0, 1, 0, 2, 0, 1, 0, 3]);
  });
});

describe.skipIf(process.env.WGRAD_ADAPTER === "swiftshader")("activations in f16", () => {
  const wide = { size: 32, width: 8 };
  test.each([
    ["coarse", (precision: "f32" | "f16") => coarseNetwork({ ...coarse, precision }, 0, [9, 1, 1]), 3],
    ["fine", (precision: "f32" | "f16") => fineNetwork("kidney", fine({ precision }), 0, [3, 1]), 2],
  ] as const)("%s: the losses follow those of f32, and weights stay f32", async (_, make, classes) => {
    const [full, half] = [make("f32"), make("f16")];
    const [expected, found] = [await steps(full, 12, classes), await steps(half, 12, classes)];
    expect(found).not.toEqual(expected);
    // Every activation is rounded to 11 bits; twelve steps of Adam carry that to a hundredth.
    found.forEach((loss, i) => expect(Math.abs(loss / expected[i] - 1)).toBeLessThan(0.02));
    expect(parameters(half.model).every(({ dtype }) => dtype === "f32")).toBe(true);
  });

  test("a step takes little more than half of the memory", async () => {
    const planned = async (precision: "f32" | "f16") => {
      const network = fineNetwork("kidney", fine({ precision, ...wide, discriminatorWidth: 8 }), 0, [3, 1]);
      return (await network.prepare(8, (await batch(2)).slices)).planned;
    };
    expect((await planned("f16")) / (await planned("f32"))).toBeLessThan(0.65);
  });

  test("a step whose gradients overflow leaves the weights alone", async () => {
    const network = coarseNetwork({ ...coarse, precision: "f16" }, 0, [9, 1, 1]);
    const [, last] = [0, parameters(network.model).at(-1)!];
    assign(
      last,
      tensor(
        Float32Array.from({ length: last.size }, () => 1e30),
        { shape: last.shape },
      ),
    );
    const before = await weights(network.model);
    await steps(network, 1, 3);
    expect(moved(before, await weights(network.model))).toBe(0);
  });
});

describe("fine networks", () => {
  test("computing blocks again gives the same bits in less memory", async () => {
    const run = async (recompute: boolean) => {
      const network = fineNetwork(
        "kidney",
        fine({ recompute, width: 8, discriminatorWidth: 8, dropout: 0.3 }),
        0,
        [3, 1],
      );
      const losses = await steps(network, 2, 2);
      const all = await Promise.all([network.model, ...network.discriminators].map(weights));
      return { losses, all, memory: await network.prepare(2, (await batch(2)).slices) };
    };
    const [plain, again] = [await run(false), await run(true)];
    expect([again.losses, again.all]).toEqual([plain.losses, plain.all]);
    expect(again.memory.planned).toBeLessThan(0.85 * plain.memory.planned);
  });

  test("the loss falls, and a step moves the network and every discriminator", async () => {
    const network = fineNetwork("kidney", fine(), 0, [3, 1]);
    expect(network.discriminators.map(({ count }) => count)).toEqual([2]); // both scales in one pass
    const before = [await weights(network.model), ...(await Promise.all(network.discriminators.map(weights)))];
    const losses = await steps(network, 10, 2);
    const after = [await weights(network.model), ...(await Promise.all(network.discriminators.map(weights)))];
    before.forEach((tensors, i) => expect(moved(tensors, after[i])).toBe(tensors.length));
    expect(losses.at(-1)!).toBeLessThan(0.9 * losses[0]);
  });

  test("terms are named by part and scale", async () => {
    const network = fineNetwork("kidney", fine(), 0, [3, 1]);
    network.setTraining(true);
    const { names } = await network.trainStep(await batch(2));
    expect(names.length).toBe(1 + 2 * 6 + 2 * 6);
    expect(names).toContain("generator.1.difficulty");
    expect(names).toContain("discriminator.0.accuracy");
  });

  test("last: one discriminator; none: none, and the terms say so", async () => {
    const last = fineNetwork("kidney", fine({ discriminators: "last" }), 0, [3, 1]);
    const none = fineNetwork("kidney", fine({ discriminators: "none" }), 0, [3, 1]);
    expect([last.discriminators.length, none.discriminators.length]).toEqual([1, 0]);
    last.setTraining(true);
    none.setTraining(true);
    const [a, b] = [(await last.trainStep(await batch(2))).names, (await none.trainStep(await batch(2))).names];
    expect(a).toContain("generator.0.adversarial");
    expect(a).not.toContain("generator.1.adversarial");
    expect(a).toContain("generator.1.dice");
    expect(b.filter((name) => /adversarial|discriminator/.test(name))).toEqual([]);
    expect(none.parameterCounts.discriminators).toBe(0);
  });

  test("each of the code's divergences changes the training, and each stage starts from weights of its own", async () => {
    const run = async (change: Partial<FineOptions>, stage = "kidney") =>
      (await steps(fineNetwork(stage, fine({ scales: 2, ...change }), 0, [3, 1]), 3, 2))
        .map((v) => v.toFixed(6))
        .join();
    const runs: Partial<FineOptions>[] = [
      {},
      { power: 4 },
      { detachDifficulty: false },
      { legacyScalarCE: true },
      { discriminatorInput: "logits" },
      { forward: "fresh", dropout: 0.3 },
      { sharedLastDiscriminator: true },
      { difficulty: false },
      { adversarialWeight: 0.5 },
      { dropout: 0.3 },
    ];
    const seen = new Set<string>();
    for (const change of runs) seen.add(await run(change));
    expect(seen.size).toBe(runs.length);
    expect(await run({}, "masses")).not.toBe(await run({}));
    expect(await run({})).toBe(await run({}));
  });
});
