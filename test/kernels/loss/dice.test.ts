import { afterAll, beforeAll, expect, test } from "vitest";
import {
  backward,
  close,
  crossEntropy,
  dice,
  diceBce,
  diceCrossEntropy,
  difficultyWeightedCrossEntropy,
  init,
  softDice,
  step,
  tensor,
  tversky,
} from "../../../src/index.ts";
import { Rng } from "../../../src/random.ts";
import { binaryTargets, checkOp, checkThrows, classTargets, fixed, randomInputs, ulps } from "../../check.ts";
import { checkGolden, goldenCases } from "../../golden.ts";
import { array, map, scalar, type NdArray } from "../../reference/array.ts";
import * as reference from "../../reference/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const rng = new Rng(17, "dice tests");
// Scores are ratios of sums of up to 4,920 rounded exponentials.
const tol = ulps(24);
const shapes = [[1, 1, 3], [2, 3, 5, 7], [3, 2, 40, 41]]; // 1,640 pixels per plane make two chunks
const space = (shape: readonly number[]) => [shape[0], ...shape.slice(2)];
const logits = (shape: readonly number[]) => randomInputs([shape], rng, { range: [-3, 3] })[0];
const probabilities = (shape: readonly number[]) => randomInputs([shape], rng, { range: [0.01, 0.99] })[0];
const labelsOf = (shape: readonly number[]) => classTargets(space(shape), Math.max(2, shape[1]), rng);
/** One-hot labels; with one channel, the labels themselves. */
const hot = (labels: NdArray, shape: readonly number[]) =>
  shape[1] === 1 ? array(shape, labels.data) : reference.oneHot(labels, shape[1]);
const add = (a: NdArray, b: NdArray) => scalar(a.data[0] + b.data[0]);

/** Dice per row from the definition, weighted by class: an independent check of `weights`. */
function weightedDice(p: NdArray, t: NdArray, weights: NdArray): NdArray {
  const classes = p.shape[1];
  const plane = p.data.length / (p.shape[0] * classes);
  const one = (c: number) => {
    const pick = (x: NdArray) => x.data.filter((_, i) => Math.floor(i / plane) % classes === c);
    return reference.dice(array([1, 1, p.shape[0] * plane], pick(p)), array([1, 1, p.shape[0] * plane], pick(t)))
      .data[0];
  };
  const sum = weights.data.reduce((s, w, c) => s + w * one(c), 0);
  return scalar(sum / weights.data.reduce((s, w) => s + w, 0));
}

test.each([true, false])("dice, softDice and tversky of probabilities, batch %s", async (batch) => {
  const soft = { inputs: shapes.map((s) => [probabilities(s), fixed(probabilities(s))]), tol, probes: 40 };
  await checkOp("dice", (p, t) => dice(p, t, { batch }), (p, t) => reference.dice(p, t, { batch }), soft);
  await checkOp(
    "softDice",
    (p, t) => softDice(p, t, { batch, smooth: 1 }),
    (p, t) => reference.softDice(p, t, { batch, smooth: 1 }),
    soft,
  );
  const options = { batch, alpha: 0.2, beta: 0.9, smooth: 0.5 };
  await checkOp("tversky", (p, t) => tversky(p, t, options), (p, t) => reference.tversky(p, t, options), soft);
});

test.each([true, false])("class labels stand for their one-hot tensor, batch %s", async (batch) => {
  const list = { inputs: shapes.map((s) => [probabilities(s), labelsOf(s)]), tol, probes: 40 };
  await checkOp("dice", (p, t) => dice(p, t, { batch }), (p, t) => reference.dice(p, hot(t, p.shape), { batch }), list);
});

test("activations run inside the kernel", async () => {
  const batch = false;
  for (const labels of [true, false]) {
    const inputs = (list: number[][]) => ({
      inputs: list.map((s) => [logits(s), labels ? labelsOf(s) : fixed(binaryTargets(s, rng))]),
      tol,
      probes: 40,
    });
    const goal = (t: NdArray, x: NdArray) => (labels ? hot(t, x.shape) : t);
    await checkOp(
      "dice",
      (x, t) => dice(x, t, { activation: "sigmoid", batch }),
      (x, t) => reference.diceWithSigmoid(x, goal(t, x), { batch }),
      inputs(shapes),
    );
    const several = inputs([...shapes.slice(1), [2, 16, 9], [2, 17, 9]]); // 17 classes take the way through softmax()
    await checkOp(
      "dice",
      (x, t) => dice(x, t, { activation: "softmax" }),
      (x, t) => reference.dice(reference.softmax(x, 1), goal(t, x)),
      several,
    );
    await checkOp(
      "softDice",
      (x, t) => softDice(x, t, { activation: "softmax", batch }),
      (x, t) => reference.softDice(reference.softmax(x, 1), goal(t, x), { batch }),
      several,
    );
    const tv = (x: NdArray, t: NdArray) => reference.tversky(reference.softmax(x, 1), goal(t, x));
    await checkOp("tversky", (x, t) => tversky(x, t, { activation: "softmax" }), tv, several);
  }
});

test("without background, and with weights of classes", async () => {
  const s = [2, 3, 5, 7];
  for (const activation of ["none", "softmax"] as const) {
    const p = (x: NdArray) => (activation === "none" ? x : reference.softmax(x, 1));
    const inputs = [[activation === "none" ? probabilities(s) : logits(s), labelsOf(s)]];
    const bare = (x: NdArray, t: NdArray) => reference.dice(p(x), hot(t, s), { firstClass: 1 });
    await checkOp("dice", (x, t) => dice(x, t, { activation, includeBackground: false }), bare, { inputs, tol });
    const weights = array([3], [0.5, 2, 1]);
    const w = tensor([0.5, 2, 1]);
    const heavy = (x: NdArray, t: NdArray) => weightedDice(p(x), hot(t, s), weights);
    await checkOp("dice", (x, t) => dice(x, t, { activation, weights: w }), heavy, { inputs, tol });
  }
});

test("diceBce is the sum of both, of targets and of labels", async () => {
  const mixed = (x: NdArray, t: NdArray) => {
    const d = reference.diceWithSigmoid(x, t, { smooth: 1 }).data[0];
    return scalar(0.7 * d + 2 * reference.bceWithLogits(x, t).data[0]);
  };
  const options = { smooth: 1, diceScale: 0.7, ceScale: 2 };
  const run = (x: Parameters<typeof diceBce>[0], t: typeof x) => diceBce(x, t, options);
  await checkOp("diceBce", run, mixed, {
    inputs: shapes.map((s) => [logits(s), fixed(probabilities(s))]),
    tol,
    probes: 40,
  });
  await checkOp("diceBce", run, (x, t) => mixed(x, hot(t, x.shape)), {
    inputs: shapes.map((s) => [logits(s), labelsOf(s)]),
    tol,
    probes: 40,
  });
});

test("diceCrossEntropy is the sum of both, with all options", async () => {
  const list = { inputs: [[2, 3, 5, 7], [3, 2, 40, 41]].map((s) => [logits(s), labelsOf(s)]), tol, probes: 40 };
  const plain = (x: NdArray, t: NdArray) => add(reference.diceWithSoftmax(x, t), reference.crossEntropy(x, t));
  await checkOp("diceCrossEntropy", (x, t) => diceCrossEntropy(x, t), plain, list);

  const s = [2, 3, 5, 7];
  const ceWeight = array([3], [0.5, 2, 1]);
  const w = tensor([0.5, 2, 1]);
  const all = (x: NdArray, t: NdArray) => {
    const d = reference.softDice(reference.softmax(x, 1), reference.oneHot(t, 3), { batch: false, firstClass: 1 })
      .data[0];
    return scalar(0.5 * d + 3 * reference.crossEntropy(x, t, { weight: ceWeight }).data[0]);
  };
  const options = { batch: false, includeBackground: false, squared: true, diceScale: 0.5, ceScale: 3, ceWeight: w };
  await checkOp("diceCrossEntropy", (x, t) => diceCrossEntropy(x, t, options), all, {
    inputs: [[logits(s), labelsOf(s)]],
    tol,
  });
});

test("pixels to ignore count neither in the overlap nor in the cross entropy", async () => {
  const s = [2, 3, 5, 7];
  const labels = labelsOf(s);
  labels.data.forEach((_, i) => i % 4 === 0 && (labels.data[i] = 255));
  const counted = (x: NdArray): NdArray =>
    map(x, (v, i) => (labels.data[Math.floor(i / 105) * 35 + (i % 35)] === 255 ? 0 : v));
  const without = (x: NdArray, t: NdArray) =>
    add(
      reference.dice(counted(reference.softmax(x, 1)), reference.oneHot(t, 3)),
      reference.crossEntropy(x, t, { ignoreIndex: 255 }),
    );
  await checkOp("diceCrossEntropy", (x, t) => diceCrossEntropy(x, t, { ignoreIndex: 255 }), without, {
    inputs: [[logits(s), labels]],
    tol,
  });
});

test("with a confidence map the cross entropy is that of difficulty supervision", async () => {
  const s = [3, 2, 40, 41];
  const m = randomInputs([[3, 1, 40, 41]], rng, { range: [0, 1] })[0];
  const confidence = tensor(Float32Array.from(m.data), { shape: m.shape });
  for (const power of [2, 4]) {
    const both = (x: NdArray, t: NdArray) =>
      add(reference.diceWithSoftmax(x, t), reference.difficultyWeightedCrossEntropy(x, t, m, { power }));
    const run = (x: typeof confidence, t: typeof confidence) => diceCrossEntropy(x, t, { confidence, power });
    await checkOp("diceCrossEntropy", run, both, { inputs: [[logits(s), labelsOf(s)]], tol, probes: 40 });
  }
  const [x, labels] = [logits(s), labelsOf(s)].map((v) =>
    tensor((v.dtype === "i32" ? Int32Array : Float32Array).from(v.data), { shape: v.shape }),
  );
  const parts =
    (await dice(x, labels, { activation: "softmax" }).item()) +
    (await difficultyWeightedCrossEntropy(x, labels, confidence).item());
  expect(Math.abs((await diceCrossEntropy(x, labels, { confidence }).item()) - parts)).toBeLessThan(1e-6 * parts);
});

const sigmoidCases = goldenCases.filter((c) => ["dice_binary", "bce_dice", "tversky"].includes(c.op));
test.each(sigmoidCases)("$name of PyTorch, from logits", async (c) => {
  const { smooth, alpha, beta } = c.attrs as Record<string, number>;
  const options = { smooth, batch: false, activation: "sigmoid" } as const;
  await checkGolden(c, ({ x, t }) => {
    if (c.op === "bce_dice") return [diceBce(x, t, { smooth, batch: false })];
    return [c.op === "tversky" ? tversky(x, t, { ...options, alpha, beta }) : dice(x, t, options)];
  });
});

test.each(goldenCases.filter((c) => c.op === "dice_multiclass"))(
  "$name of PyTorch, from logits and labels",
  async (c) => {
    await checkGolden(c, ({ x, t }) => [dice(x, t, { ...c.attrs, activation: "softmax" })]);
  },
);

test("logits of any size give finite losses and slopes", async () => {
  const x = tensor([1e30, -1e30, 5, -1e30, 1e30, 5], { shape: [1, 2, 3], requiresGrad: true });
  const labels = tensor([0, 0, 1], { shape: [1, 3], dtype: "i32" });
  for (const loss of [
    () => diceCrossEntropy(x, labels, { ceScale: 1e-30 }),
    () => dice(x, labels, { activation: "sigmoid" }),
  ]) {
    x.grad = null;
    const y = await step(() => {
      const l = loss();
      backward(l);
      return l;
    });
    expect(Number.isFinite(await y.item())).toBe(true);
    expect([...(await x.grad!.read())].every(Number.isFinite)).toBe(true);
  }
});

test("an empty target and an empty prediction score 1; nothing to smooth scores 0 without dividing by it", async () => {
  const none = () => tensor(new Float32Array(4), { shape: [1, 1, 4] });
  expect(await dice(none(), none()).item()).toBe(0);
  expect(await dice(none(), none(), { smooth: 0 }).item()).toBe(1);
});

test("the same inputs give the same bits", async () => {
  const x = tensor(Float32Array.from(logits([4, 3, 70, 70]).data), { shape: [4, 3, 70, 70] });
  const labels = tensor(Int32Array.from(labelsOf([4, 3, 70, 70]).data), { shape: [4, 70, 70] });
  const first = [await diceCrossEntropy(x, labels).item(), await crossEntropy(x, labels).item()];
  for (let k = 0; k < 3; k++)
    expect([await diceCrossEntropy(x, labels).item(), await crossEntropy(x, labels).item()]).toEqual(first);
});

test("refusals name the argument and both shapes", () => {
  const x = tensor(new Float32Array(24), { shape: [2, 3, 4] });
  const labels = tensor(new Int32Array(8), { shape: [2, 4] });
  const many = tensor(new Float32Array(34), { shape: [1, 17, 2] });
  checkThrows(
    () => dice(x, tensor([1, 2])),
    "dice: the target must have the shape of the prediction [2, 3, 4], got [2]",
  );
  checkThrows(
    () => dice(x, tensor(new Int32Array(2))),
    "dice: labels must be [2, 4] for a prediction [2, 3, 4], got [2]",
  );
  checkThrows(
    () => softDice(x, labels, { activation: "tanh" as "none" }),
    'softDice: activation must be "none", "sigmoid" or "softmax", got "tanh"',
  );
  checkThrows(() => dice(x, labels, { smooth: -1 }), "dice: smooth must be at least 0, got -1");
  checkThrows(() => dice(x, labels, { weights: tensor([1]) }), "dice: weights must be [3], one per class, got [1]");
  checkThrows(
    () => dice(x, labels, { ignoreIndex: 2 }),
    'dice: ignoreIndex needs activation "softmax" and class labels',
  );
  const one = tensor(new Float32Array(4), { shape: [1, 1, 4] });
  checkThrows(
    () => dice(one, one, { includeBackground: false }),
    "dice: includeBackground: false needs two channels or more, got [1, 1, 4]",
  );
  checkThrows(() => tversky(x, labels, { alpha: -1 }), "tversky: alpha and beta must be at least 0, got -1 and 0.7");
  checkThrows(
    () => diceCrossEntropy(x, x),
    'diceCrossEntropy: labels must be i32 or u32 class numbers, got f32 [2, 3, 4]; ' +
      'make them with tensor(data, { dtype: "i32" })',
  );
  checkThrows(
    () => diceCrossEntropy(many, tensor(new Int32Array(2), { shape: [1, 2] })),
    "diceCrossEntropy: at most 16 classes, got [1, 17, 2]; add dice and crossEntropy",
  );
  checkThrows(
    () => diceCrossEntropy(x, labels, { confidence: x }),
    "diceCrossEntropy: the confidence must be [2, 1, 4] for a prediction [2, 3, 4], got [2, 3, 4]",
  );
  checkThrows(() => diceCrossEntropy(x, labels, { power: 0.5 }), "diceCrossEntropy: power must be at least 1, got 0.5");
});
