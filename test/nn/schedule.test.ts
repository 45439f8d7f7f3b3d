import { expect, test } from "vitest";
import { schedule } from "../../src/index.ts";
import { checkThrows } from "../check.ts";
import { goldenSchedules } from "../golden.ts";

const {
  stepLR,
  multiStepLR,
  exponentialLR,
  cosineAnnealingLR,
  cosineWarmRestarts,
  polynomialLR,
  oneCycleLR,
  linearWarmup,
  constantLR,
  ReduceLROnPlateau,
} = schedule;

const twelve = (s: schedule.Schedule): number[] => Array.from({ length: 12 }, (_, k) => s(k));

/** PyTorch multiplies from epoch to epoch where we use powers: 1e-12 covers twelve roundings of float64. */
function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((v, i) =>
    expect(Math.abs(v - expected[i]), `epoch ${i}: ${v}, expected ${expected[i]}`).toBeLessThan(1e-12),
  );
}

test("values of PyTorch", () => {
  expectClose(twelve(stepLR(0.1, { stepSize: 3, gamma: 0.5 })), goldenSchedules.step);
  expectClose(twelve(exponentialLR(0.1, { gamma: 0.9 })), goldenSchedules.exp);
  expectClose(twelve(cosineAnnealingLR(0.1, { tMax: 10, etaMin: 1e-3 })), goldenSchedules.cosine);
  expectClose(twelve(cosineWarmRestarts(0.1, { t0: 3, tMult: 2, etaMin: 1e-3 })), goldenSchedules.restarts);
  expectClose(twelve(polynomialLR(0.1, { total: 12, power: 0.9 })), goldenSchedules.poly09);
  expectClose(twelve(oneCycleLR(0.1, { totalSteps: 12 })), goldenSchedules.onecycle);
});

test("multiStepLR falls at its milestones", () => {
  expectClose(twelve(multiStepLR(1, { milestones: [2, 5] })).slice(0, 7), [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]);
});

test("the rates of the MSALDS-UNet paper and of its authors' later code", () => {
  // lr0 * 0.1^epoch is 1e-14 at epoch 10; with 0.96 about 2.96e-8 is left at epoch 199.
  expect(stepLR(1e-4, { stepSize: 1, gamma: 0.1 })(10)).toBeCloseTo(1e-14, 20);
  expect(stepLR(1e-4, { stepSize: 1, gamma: 0.96 })(199)).toBeCloseTo(2.9647e-8, 11);
});

test("restarts without growth, and far out", () => {
  const s = cosineWarmRestarts(1, { t0: 4 });
  expect([s(0), s(4), s(4_000_000)]).toEqual([1, 1, 1]);
  expect(s(2)).toBeCloseTo(0.5, 12);
});

test("polynomialLR stays at 0, oneCycleLR at its end", () => {
  expect(polynomialLR(1, { total: 5 })(9)).toBe(0);
  expect(oneCycleLR(1, { totalSteps: 5 })(99)).toBe(oneCycleLR(1, { totalSteps: 5 })(4));
});

test("linearWarmup rises, then hands over at epoch 0 of what follows", () => {
  const s = linearWarmup(stepLR(1, { stepSize: 1, gamma: 0.5 }), { epochs: 4, startFactor: 0.2 });
  expectClose([0, 1, 2, 3, 4, 5].map(s), [0.2, 0.4, 0.6, 0.8, 1, 0.5]);
  expect(linearWarmup(constantLR(3), { epochs: 2 })(0)).toBeCloseTo(1, 12);
});

test("ReduceLROnPlateau bears `patience` epochs, cools down, and stops at minLr", () => {
  const s = new ReduceLROnPlateau(1, { patience: 1, cooldown: 1, minLr: 0.3, factor: 0.5 });
  // Two bad epochs lower the rate, the next is not counted, and 0.25 is below the minimum.
  expect([5, 4, 4, 4, 4, 4, 4, 3, 3, 3].map((m) => s.next(m))).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]);
});

test("ReduceLROnPlateau: a share or an amount, rising or falling, never with NaN", () => {
  const rise = new ReduceLROnPlateau(1, { mode: "max", patience: 0, threshold: 0.1 });
  expect([1, 1.05, 1.2].map((m) => rise.next(m))).toEqual([1, 0.1, 0.1]);
  const amount = new ReduceLROnPlateau(1, { patience: 0, threshold: 0.5, thresholdMode: "abs" });
  expect([2, 1.4, 1].map((m) => amount.next(m))).toEqual([1, 1, 0.1]);
  expect(new ReduceLROnPlateau(1, { patience: 0 }).next(NaN)).toBe(0.1);
});

test("ReduceLROnPlateau goes on from its state", () => {
  const metrics = [3, 2, 2, 2, 2.5, 1, 1, 1, 1];
  const a = new ReduceLROnPlateau(1, { patience: 1 });
  const all = metrics.map((m) => a.next(m));
  const b = new ReduceLROnPlateau(1, { patience: 1 });
  const first = metrics.slice(0, 4).map((m) => b.next(m));
  const c = new ReduceLROnPlateau(7, { patience: 1 });
  c.loadState(JSON.parse(JSON.stringify(b.state())));
  expect([...first, ...metrics.slice(4).map((m) => c.next(m))]).toEqual(all);
});

test("refusals", () => {
  checkThrows(() => stepLR(1, { stepSize: 0 }), "stepLR: stepSize must be above 0, got 0");
  checkThrows(() => cosineAnnealingLR(1, { tMax: -1 }), "cosineAnnealingLR: tMax must be above 0, got -1");
  checkThrows(
    () => cosineWarmRestarts(1, { t0: 1.5 }),
    "cosineWarmRestarts: t0 must be a whole number above 0, got 1.5",
  );
  checkThrows(() => polynomialLR(1, { total: 0 }), "polynomialLR: total must be above 0, got 0");
  checkThrows(() => linearWarmup(constantLR(1), { epochs: 0 }), "linearWarmup: epochs must be above 0, got 0");
  checkThrows(() => new ReduceLROnPlateau(1, { factor: 1 }), "ReduceLROnPlateau: factor must be below 1, got 1");
});
