// Losses without a golden value, against numbers worked out by hand.
import { expect, test } from "vitest";
import { argmax } from "./reduce.ts";
import { array } from "./array.ts";
import { dice, difficultyWeight, difficultyWeightedCrossEntropy, oneHot } from "./losses.ts";

test("difficulty is 2 where the discriminator sees a fake, 3/4 where it cannot tell, 0 where it is fooled", () => {
  expect([...difficultyWeight(array([3], [0, 0.5, 1])).data]).toEqual([2, 0.75, 0]);
  expect(difficultyWeight(array([1], [0.5]), { power: 4 }).data[0]).toBe(0.0625 + 0.5);
});

test("difficulty weights each pixel, not the mean", () => {
  const x = array([1, 2, 2], [0, 10, 0, 0]); // cross entropies log 2 and log(1 + exp(-10))
  const loss = difficultyWeightedCrossEntropy(x, array([1, 2]), array([1, 1, 2], [1, 0]));
  expect(loss.data[0]).toBeCloseTo((0 * Math.log(2) + 2 * Math.log1p(Math.exp(-10))) / 2, 12);
});

test("dice over the batch and per sample differ where samples do", () => {
  const p = array([2, 1, 2], [1, 1, 0, 0]);
  const target = array([2, 1, 2], [1, 0, 0, 0]);
  expect(dice(p, target, { smooth: 1, batch: true }).data[0]).toBeCloseTo(1 - 3 / 4, 12);
  // The second sample is empty in both, which counts as right.
  expect(dice(p, target, { smooth: 1, batch: false }).data[0]).toBeCloseTo((1 - 3 / 4 + 0) / 2, 12);
});

test("dice can leave the background out", () => {
  const target = array([1, 2], [0, 1]);
  const p = array([1, 2, 2], [1, 1, 0, 0]); // all background
  expect(dice(p, oneHot(target, 2), { smooth: 0, firstClass: 1 }).data[0]).toBe(1);
  expect(dice(p, oneHot(target, 2), { smooth: 0 }).data[0]).toBeCloseTo((1 + 1 - 2 / 3) / 2, 12);
});

test("argmax takes the first of equals", () => {
  expect([...argmax(array([2, 3], [1, 3, 3, 2, 2, 2]), { dim: 1 }).data]).toEqual([1, 0]);
});
