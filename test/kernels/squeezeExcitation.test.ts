// Squeeze and excitation against float64 loops and central differences.
import { afterAll, beforeAll, describe, it } from "vitest";
import { Rng, close, init, squeezeExcitation, zeros } from "../../src/index.ts";
import { checkOp, checkThrows, randomInputs, ulps } from "../check.ts";
import { map } from "../reference/array.ts";
import { seBlock } from "../reference/blocks.ts";

beforeAll(() => init());
afterAll(() => close());

// A chain of sums, an exponential and a division, 16 units; gradients pass through it twice.
const TOL = { tol: ulps(16), gradTol: ulps(64) };

const SIZES: [shape: number[], R: number][] = [
  [[2, 8, 5, 6], 2],
  [[1, 33, 7, 5], 3],
  [[3, 1, 4, 4], 1],
  [[2, 4, 1, 1], 2],
  [[1, 6, 2, 3, 4], 3],
  [[1, 200, 2, 2], 150],
  [[1, 3, 30, 40], 2], // 16 slices per plane
];

describe("squeezeExcitation", () => {
  it("agrees with float64 loops", async () => {
    for (const [shape, R] of SIZES) {
      const C = shape[1];
      // |b1| > 1.5 and |w1 mean| < 1: hidden units stay clear of the kink of relu, two thirds of them on its open side.
      const inputs = randomInputs([shape, [R, C], [R], [C, R], [C]], new Rng(2, `${shape}`), { range: [-1, 1] });
      inputs[1] = map(inputs[1], (v) => v / C);
      inputs[2] = map(inputs[2], (v, i) => (i % 3 === 1 ? -2 - v / 2 : 2 + v / 2));
      await checkOp(
        "squeezeExcitation",
        (x, w1, b1, w2, b2) => squeezeExcitation(x, w1, b1, w2, b2),
        (x, w1, b1, w2, b2) => seBlock(x, w1, b1, w2, b2),
        {
          inputs: [inputs],
          probes: 60,
          ...TOL,
        },
      );
    }
  });

  it("works without biases", async () => {
    const options = {
      shapes: [
        [
          [2, 6, 3, 5],
          [2, 6],
          [6, 2],
        ],
      ],
      ...TOL,
    };
    await checkOp(
      "squeezeExcitation",
      (x, w1, w2) => squeezeExcitation(x, w1, null, w2, null),
      (x, w1, w2) => seBlock(x, w1, undefined, w2, undefined),
      options,
    );
  });

  it("says what does not fit", () => {
    const x = zeros([1, 8, 4, 4]);
    const [w1, w2] = [zeros([2, 8]), zeros([8, 2])];
    checkThrows(
      () => squeezeExcitation(zeros([1, 8]), w1, null, w2, null),
      "squeezeExcitation: x must have at least 3 dimensions [N, C, ...], got [1, 8]",
    );
    checkThrows(
      () => squeezeExcitation(x, zeros([2, 7]), null, w2, null),
      "squeezeExcitation: w1 must have shape [R, 8] for x [1, 8, 4, 4], got [2, 7]",
    );
    checkThrows(
      () => squeezeExcitation(x, w1, null, w1, null),
      "squeezeExcitation: w2 must have shape [8, 2], got [2, 8]",
    );
    checkThrows(
      () => squeezeExcitation(x, w1, zeros([8]), w2, null),
      "squeezeExcitation: b1 must have shape [2], got [8]",
    );
    checkThrows(
      () => squeezeExcitation(x, w1, null, w2, zeros([2])),
      "squeezeExcitation: b2 must have shape [8], got [2]",
    );
    checkThrows(
      () => squeezeExcitation(zeros([1, 3968, 1]), zeros([1, 3968]), null, zeros([3968, 1]), null),
      "squeezeExcitation: channels and hidden units together must be at most 3968, got 3968 + 1",
    );
  });
});
