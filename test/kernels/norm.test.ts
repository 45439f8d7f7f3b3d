// Normalisations against float64 loops and central differences. Odd planes take the scalar form, planes divisible by 4
// the vec4 form, and [1, 1, 60, 64] is cut into 32 slices that take several threads to join.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  Rng,
  ShapeError,
  batchNorm,
  close,
  groupNorm,
  init,
  instanceNorm,
  layerNorm,
  step,
  tensor,
  zeros,
} from "../../src/index.ts";
import type { BatchNormOptions, Tensor } from "../../src/index.ts";
import { type CheckOptions, checkOp, checkThrows, exact, expectClose, randomInputs, ulps, upload } from "../check.ts";
import { type NdArray, array, map } from "../reference/array.ts";
import * as reference from "../reference/norm.ts";

beforeAll(() => init());
afterAll(() => close());

// Sums of some hundred values that cancel, divided by a standard deviation: 16 and 64 units cover them with room for
// none but rounding.
const TOL: Pick<CheckOptions, "tol" | "gradTol"> = { tol: ulps(16), gradTol: ulps(64) };

const SHAPES = [
  [2, 1, 7, 5],
  [1, 33, 3, 3],
  [4, 3, 1, 1],
  [2, 3, 4, 6],
  [1, 2, 3, 5, 4],
  [3, 5],
  [2, 2, 20, 21],
  [1, 1, 60, 64],
];

const relu = (y: NdArray): NdArray => map(y, (v) => Math.max(v, 0));
const withAffine = (shape: readonly number[]): number[][] => [[...shape], [shape[1]], [shape[1]]];

interface Running {
  mean: Tensor;
  variance: Tensor;
}

/**
 * Fresh running statistics, the same numbers each time: a check runs the operation once, but the reference many times.
 */
function running(C: number): Running {
  const values = (low: number): number[] => Array.from({ length: C }, (_, c) => low + 0.1 * (c % 7));
  return { mean: tensor(values(-0.3)), variance: tensor(values(0.5)) };
}

function referenceRunning(C: number): [NdArray, NdArray] {
  const values = (low: number): number[] => Array.from({ length: C }, (_, c) => Math.fround(low + 0.1 * (c % 7)));
  return [array([C], values(-0.3)), array([C], values(0.5))];
}

describe("batchNorm", () => {
  const run = (options: BatchNormOptions) => (x: Tensor, w: Tensor, b: Tensor) => {
    const { mean, variance } = running(x.shape[1]);
    return [batchNorm(x, w, b, { ...options, runningMean: mean, runningVar: variance }), mean, variance];
  };
  const expected = (options: reference.BatchNormOptions) => (x: NdArray, w: NdArray, b: NdArray) => {
    const [mean, variance] = referenceRunning(x.shape[1]);
    return reference.batchNorm(x, w, b, mean, variance, options);
  };

  it("agrees in training, running statistics included", async () => {
    // The running statistics have no gradient here, so the check weighs y alone: they are compared in the test below.
    const y = (...a: Parameters<ReturnType<typeof run>>) => run({ training: true })(...a)[0];
    await checkOp("batchNorm", y, (x, w, b) => expected({ training: true })(x, w, b)[0], {
      shapes: SHAPES.map(withAffine),
      ...TOL,
    });
  });

  it("updates the running statistics in place by PyTorch's rule", async () => {
    for (const shape of SHAPES) {
      const inputs = randomInputs(withAffine(shape), new Rng(3, "running"));
      const [y, mean, variance] = await step(() =>
        run({ training: true, momentum: 0.3 })(...(inputs.map(upload) as [Tensor, Tensor, Tensor])),
      );
      const [ey, em, ev] = expected({ training: true, momentum: 0.3 })(inputs[0], inputs[1], inputs[2]);
      expectClose("y", { shape, data: await y.read() }, ey, ulps(16));
      expectClose("running mean", { shape: [shape[1]], data: await mean.read() }, em, ulps(4));
      expectClose("running var", { shape: [shape[1]], data: await variance.read() }, ev, ulps(4));
    }
  });

  it("uses the running statistics, and leaves them, in evaluation", async () => {
    const single = await step(() =>
      batchNorm(tensor([[3]]), null, null, {
        training: false,
        runningMean: tensor([1]),
        runningVar: tensor([4]),
        eps: 1e-9,
      }),
    );
    expect(await single.read()).toEqual(Float32Array.of(1)); // (3 - 1) / 2
    const y = (...a: Parameters<ReturnType<typeof run>>) => run({ training: false })(...a)[0];
    await checkOp("batchNorm eval", y, (x, w, b) => expected({ training: false })(x, w, b)[0], {
      shapes: SHAPES.map(withAffine),
      ...TOL,
    });
    const { mean, variance } = running(3);
    await step(() =>
      batchNorm(zeros([2, 3, 4]), null, null, { training: false, runningMean: mean, runningVar: variance }),
    );
    expectClose("mean", { shape: [3], data: await mean.read() }, referenceRunning(3)[0], exact);
    expectClose("variance", { shape: [3], data: await variance.read() }, referenceRunning(3)[1], exact);
  });

  it("applies relu in the same pass", async () => {
    for (const training of [true, false]) {
      const y = (...a: Parameters<ReturnType<typeof run>>) => run({ training, activation: "relu" })(...a)[0];
      const ref = (x: NdArray, w: NdArray, b: NdArray) => relu(expected({ training })(x, w, b)[0]);
      // A value at the kink would make the central difference meaningless; with these seeds none is within a step of
      // it.
      await checkOp("batchNorm relu", y, ref, { shapes: SHAPES.slice(0, 7).map(withAffine), ...TOL });
    }
  });

  it("adds a residual before the activation, and gives it its gradient", async () => {
    // Not the first: its one weight gradient is a sum that cancels to 1/200, where rounding shows.
    const shapes = SHAPES.slice(1, 7).map((shape) => [...withAffine(shape), [...shape]]);
    for (const activation of ["none", "relu"] as const)
      for (const training of [true, false]) {
        const y = (x: Tensor, w: Tensor, b: Tensor, residual: Tensor) =>
          run({ training, activation, residual })(x, w, b)[0];
        const ref = (x: NdArray, w: NdArray, b: NdArray, residual: NdArray) => {
          const sum = map(expected({ training })(x, w, b)[0], (v, i) => v + residual.data[i]);
          return activation === "relu" ? relu(sum) : sum;
        };
        await checkOp(`batchNorm residual ${activation}`, y, ref, { shapes, ...TOL });
      }
  });

  it("works without weight and bias, and with only one of them", async () => {
    const o = { training: true } as const;
    const one = array([3], [1, 1, 1]);
    const zero = array([3], [0, 0, 0]);
    await checkOp(
      "no affine",
      (x) => batchNorm(x, null, null, o),
      (x) => expected(o)(x, one, zero)[0],
      { shapes: [[2, 3, 5, 4]], ...TOL },
    );
    await checkOp(
      "weight",
      (x, w) => batchNorm(x, w, null, o),
      (x, w) => expected(o)(x, w, zero)[0],
      { shapes: [[[2, 3, 5, 4], [3]]], ...TOL },
    );
    await checkOp(
      "bias",
      (x, b) => batchNorm(x, null, b, o),
      (x, b) => expected(o)(x, one, b)[0],
      { shapes: [[[2, 3, 5, 4], [3]]], ...TOL },
    );
  });

  it("keeps its accuracy when the mean is a thousand times the deviation", async () => {
    const x = randomInputs([[2, 2, 64, 64]], new Rng(5), { range: [999, 1001] })[0];
    const y = await step(() => batchNorm(upload(x), null, null, { training: true }));
    const [ey] = expected({ training: true })(x, array([2], [1, 1]), array([2], [0, 0]));
    // The mean itself is rounded to 2^-15 = 6e-5 at best, half that on average, over a deviation of 0.58.
    expectClose("y", { shape: x.shape, data: await y.read() }, ey, () => 1.1e-4);
  });

  it("gives the same bits twice", async () => {
    const x = upload({ ...randomInputs([[2, 3, 40, 40]], new Rng(6))[0], grad: false });
    const run = async () => (await step(() => batchNorm(x, null, null, { training: true }))).read();
    expect(await run()).toEqual(await run());
  });

  it("says what does not fit", () => {
    const x = zeros([2, 3, 4]);
    const o = { training: true };
    checkThrows(
      () => batchNorm(zeros([3]), null, null, o),
      "batchNorm: x must have at least 2 dimensions [N, C, ...], got [3]",
    );
    checkThrows(
      () => batchNorm(x, zeros([4]), null, o),
      "batchNorm: weight must have shape [3] for x [2, 3, 4], got [4]",
    );
    checkThrows(
      () => batchNorm(x, null, zeros([2]), o),
      "batchNorm: bias must have shape [3] for x [2, 3, 4], got [2]",
    );
    checkThrows(
      () => batchNorm(x, null, null, { ...o, residual: zeros([2, 3, 1]) }),
      "batchNorm: residual must have the shape of x [2, 3, 4], got [2, 3, 1]",
    );
    checkThrows(() => batchNorm(x, null, null, { ...o, eps: 0 }), "batchNorm: eps must lie between 0 and 1, got 0");
    checkThrows(
      () => batchNorm(x, null, null, { ...o, momentum: 2 }),
      "batchNorm: momentum must lie between 0 and 1, got 2",
    );
    checkThrows(
      () => batchNorm(x, null, null, { training: false }),
      "batchNorm: without training it needs runningMean and runningVar",
    );
    checkThrows(
      () => batchNorm(x, null, null, { ...o, runningMean: zeros([3]) }),
      "batchNorm: runningMean and runningVar must be given together",
    );
    checkThrows(
      () => batchNorm(x, null, null, { ...o, runningMean: zeros([3]), runningVar: zeros([4]) }),
      "batchNorm: runningVar must have shape [3], got [4]",
    );
    expect(() => batchNorm(zeros([1, 3, 1, 1]), null, null, o)).toThrow(ShapeError);
    checkThrows(
      () => batchNorm(zeros([1, 3, 1, 1]), null, null, o),
      "batchNorm: training needs more than 1 value per channel, got x [1, 3, 1, 1]; " +
        "use a larger batch or training: false",
    );
  });
});

describe("groupNorm and instanceNorm", () => {
  it("agree with float64 loops", async () => {
    for (const [shape, groups] of [
      [[2, 6, 7, 5], 3],
      [[1, 33, 3, 3], 11],
      [[2, 4, 4, 6], 1],
      [[3, 12], 3],
      [[1, 4, 3, 4, 5], 2],
      [[1, 2, 80, 50], 2],
    ] as const) {
      const ref = (x: NdArray, w: NdArray, b: NdArray) => reference.groupNorm(x, w, b, { groups });
      await checkOp("groupNorm", (x, w, b) => groupNorm(x, groups, w, b), ref, { shapes: [withAffine(shape)], ...TOL });
    }
    for (const shape of [
      [2, 3, 7, 5],
      [1, 33, 3, 3],
      [1, 2, 4, 3, 2],
    ]) {
      await checkOp(
        "instanceNorm",
        (x, w, b) => instanceNorm(x, w, b),
        (x, w, b) => reference.instanceNorm(x, w, b),
        { shapes: [withAffine(shape)], ...TOL },
      );
      await checkOp(
        "instanceNorm plain",
        (x) => instanceNorm(x),
        (x) => reference.instanceNorm(x, null, null),
        { shapes: [shape], ...TOL },
      );
    }
  });

  it("apply relu in the same pass", async () => {
    const ref = (x: NdArray, w: NdArray, b: NdArray) => relu(reference.groupNorm(x, w, b, { groups: 2 }));
    await checkOp("groupNorm relu", (x, w, b) => groupNorm(x, 2, w, b, { activation: "relu" }), ref, {
      shapes: [withAffine([2, 4, 5, 3])],
      ...TOL,
    });
  });

  it("say what does not fit", () => {
    checkThrows(
      () => groupNorm(zeros([2, 6, 4]), 4),
      "groupNorm: groups must divide the channels, got 4 groups and 6 channels (x [2, 6, 4])",
    );
    checkThrows(
      () => groupNorm(zeros([2, 6, 4]), 3, zeros([3])),
      "groupNorm: weight must have shape [6] for x [2, 6, 4], got [3]",
    );
    checkThrows(
      () => instanceNorm(zeros([2, 6, 1, 1])),
      "instanceNorm: x must have more than 1 value per channel and sample, got [2, 6, 1, 1]",
    );
  });
});

describe("layerNorm", () => {
  it("agrees with float64 loops", async () => {
    for (const [shape, normalized] of [
      [[3, 7], [7]],
      [
        [2, 3, 4, 5],
        [4, 5],
      ],
      [[1, 300], [300]],
      [[150, 33], [33]],
    ] as const) {
      const op = (x: Tensor, w: Tensor, b: Tensor) => layerNorm(x, normalized, w, b);
      await checkOp("layerNorm", op, (x, w, b) => reference.layerNorm(x, w, b), {
        shapes: [[shape, normalized, normalized]],
        ...TOL,
      });
    }
    const plain = (x: NdArray) =>
      reference.layerNorm(
        x,
        map(array([7]), () => 1),
        array([7]),
      );
    await checkOp("layerNorm plain", (x) => layerNorm(x, [7]), plain, { shapes: [[5, 7]], ...TOL });
  });

  it("says what does not fit", () => {
    checkThrows(
      () => layerNorm(zeros([2, 6]), [4]),
      "layerNorm: x must end with the dimensions of normalizedShape, got x [2, 6] and normalizedShape [4]",
    );
    checkThrows(
      () => layerNorm(zeros([2, 6]), [6], null, zeros([5])),
      "layerNorm: bias must have shape [6] for x [2, 6], got [5]",
    );
  });
});
