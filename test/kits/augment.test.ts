// What is drawn for a slice; what the GPU makes of it is in batch.test.ts.
import { describe, expect, it } from "vitest";
import {
  affineOf,
  augmentDefaults,
  augmentNone,
  augmentRng,
  drawAugmentation,
  unaugmented,
  type AugmentOptions,
} from "../../src/kits/augment.ts";

const draw = (sample: number, options: Partial<AugmentOptions> = {}, size = 64) =>
  drawAugmentation(augmentRng(1, 2, sample), size, options);
const many = (count: number, options: Partial<AugmentOptions>) =>
  Array.from({ length: count }, (_, sample) => draw(sample, { ...augmentNone, ...options }));

describe("drawAugmentation", () => {
  it("the same seed, epoch and sample give the same numbers in any order; others differ", () => {
    const make = (seed: number, epoch: number, sample: number) => drawAugmentation(augmentRng(seed, epoch, sample), 64);
    const forward = [0, 1, 2].map((s) => make(4, 1, s));
    expect([2, 1, 0].map((s) => make(4, 1, s)).reverse()).toEqual(forward);
    for (const other of [make(4, 1, 1), make(4, 2, 0), make(5, 1, 0)]) expect(other).not.toEqual(forward[0]);
  });

  it("switching one part off leaves the others as they were", () => {
    const all = { ...augmentDefaults, zoom: 1, brightness: 1, noise: 1, saltPepper: 1 };
    for (let sample = 0; sample < 10; sample++) {
      const full = draw(sample, all);
      expect({ ...draw(sample, { ...all, noise: 0 }), sigma: full.sigma, noiseRng: full.noiseRng }).toEqual(full);
      expect({ ...draw(sample, { ...all, saltPepper: 0 }), salt: full.salt }).toEqual(full);
      expect({ ...draw(sample, { ...all, zoom: 0 }), zoom: full.zoom }).toEqual(full);
      const still = draw(sample, { ...all, rotate: 0, mirrorHorizontal: 0, mirrorVertical: 0 });
      expect({ ...still, ...pick(full) }).toEqual(full);
    }
  });
  const pick = ({ degrees, mirrorHorizontal, mirrorVertical }: ReturnType<typeof draw>) => ({
    ...{ degrees, mirrorHorizontal, mirrorVertical },
  });

  it("with every probability 0 nothing is done", () => {
    const { saltRng, noiseRng } = unaugmented;
    expect({ ...draw(3, augmentNone), saltRng, noiseRng }).toEqual(unaugmented);
  });

  it("probabilities decide how often, each part by itself", () => {
    const half = many(400, { mirrorHorizontal: 0.5, mirrorVertical: 0.5, saltPepper: 0.5, noise: 0.5, zoom: 0.5 });
    const seen = new Map<string, number>();
    for (const { mirrorHorizontal, mirrorVertical, salt, sigma, zoom } of half) {
      const key = [mirrorHorizontal, mirrorVertical, salt > 0, sigma > 0, zoom !== null].map(Number).join("");
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(seen.size).toBe(32);
    for (const count of seen.values()) expect(Math.abs(count - 12.5)).toBeLessThan(17.4); // 5 sigma of 400 draws at 1/32
  });

  it("strengths stay in their ranges and use them", () => {
    const range = (values: number[]) => [Math.min(...values), Math.max(...values)];
    const within = ([low, high]: number[], [from, to]: number[]) => {
      const slack = 0.05 * (to - from); // 200 draws miss the last twentieth with a chance of 4e-5
      expect([low >= from, low < from + slack, high > to - slack, high <= to]).toEqual([true, true, true, true]);
    };
    const all = many(200, { rotate: 1, maxDegrees: 15, noise: 1, noiseSigma: 8, brightness: 1, brightnessRange: 0.3 });
    within(range(all.map(({ degrees }) => degrees)), [-15, 15]);
    within(range(all.map(({ sigma }) => sigma)), [0, 8]);
    within(range(all.map(({ brightness }) => brightness)), [0.7, 1.3]);
    const zooms = many(200, { zoom: 1, zoomRange: [0.25, 2], aspect: 0.3 }).map(({ zoom }) => zoom!);
    for (const { y, x, top, left } of zooms) {
      expect(Math.max(x / y, y / x)).toBeLessThanOrEqual(1.3 / 0.7);
      expect([top / (64 * (1 - y)), left / (64 * (1 - x))].every((share) => share >= 0 && share < 1)).toBe(true);
    }
    const quarters = many(60, { quarterTurn: 1 }).map(({ degrees }) => degrees);
    expect([...new Set(quarters)].sort((a, b) => a - b)).toEqual([90, 180, 270]);
  });

  it("bad arguments are named", () => {
    expect(() => draw(0, { noise: 1.5 })).toThrow("augment: noise must be from 0 to 1, found 1.5");
    expect(() => draw(0, { maxDegrees: -1 })).toThrow("maxDegrees and noiseSigma must be at least 0, found -1 and 8");
    expect(() => draw(0, { zoomRange: [0, 1] })).toThrow("zoomRange must be two factors above 0");
  });
});

describe("affineOf", () => {
  const still = { ...unaugmented };
  it("mirrors and quarter turns are exact", () => {
    expect(affineOf(still, 5)).toEqual({ x: [1, 0, 0], y: [-0, 1, 0] });
    expect(affineOf({ ...still, mirrorHorizontal: true }, 5).x).toEqual([-1, 0, 4]);
    expect(affineOf({ ...still, degrees: 90 }, 4)).toEqual({ x: [0, 1, 0], y: [-1, 0, 3] });
    expect(affineOf({ ...still, degrees: -270 }, 4)).toEqual(affineOf({ ...still, degrees: 90 }, 4));
  });

  it("a picture half as large starts where it is laid", () => {
    const { x, y } = affineOf({ ...still, zoom: { y: 0.5, x: 0.5, top: 2, left: 1 } }, 8);
    expect(x).toEqual([2, 0, -1.5]); // pixel 1 covers pixels 0 and 1: its centre lies between them
    expect(y[2] + 2 * y[1]).toBe(0.5);
  });
});
