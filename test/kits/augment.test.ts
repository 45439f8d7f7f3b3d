import { describe, expect, it } from "vitest";
import { augment, augmentNone, augmentRng, move } from "../../src/kits/augment.ts";
import type { Slice } from "../../src/kits/augment.ts";

/** Image and label show the same blob, off the middle, so that any disagreement is seen. */
function blob(size = 64): Slice {
  const image = new Uint8Array(size * size);
  const label = new Uint8Array(size * size);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const inside = Math.hypot((x - 0.6 * size) / 1.8, y - 0.45 * size) < 0.12 * size;
      image[y * size + x] = inside ? 200 : 0;
      label[y * size + x] = inside ? 2 : 0;
    }
  return { image, label, height: size, width: size };
}

const grid: Slice = { image: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]), label: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]), height: 3, width: 3 };

describe("move", () => {
  it("mirrors exactly", () => {
    expect([...move(grid, 0, true, false).image]).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
    expect([...move(grid, 0, false, true).label]).toEqual([7, 8, 9, 4, 5, 6, 1, 2, 3]);
  });

  it("turns by quarters exactly, clockwise for positive angles", () => {
    const expected = [7, 4, 1, 8, 5, 2, 9, 6, 3];
    expect([...move(grid, 90, false, false).image]).toEqual(expected);
    expect([...move(grid, 90, false, false).label]).toEqual(expected);
    expect([...move(grid, 360, false, false).image]).toEqual([...grid.image]);
    expect([...move(grid, 180, false, false).label]).toEqual([...grid.label].reverse());
    expect([...move(grid, -90, false, false).label]).toEqual([...move(grid, 270, false, false).label]);
  });

  it("a small angle moves a point to where trigonometry says, and fills with 0", () => {
    const size = 65; // the middle is a pixel
    const source: Slice = { image: new Uint8Array(size * size).fill(9), label: new Uint8Array(size * size), height: size, width: size };
    source.label[32 * size + 52] = 3; // 20 to the right of the middle
    const turned = move(source, 30, false, false);
    const x = 32 + Math.round(20 * Math.cos(Math.PI / 6));
    const y = 32 + Math.round(20 * Math.sin(Math.PI / 6)); // clockwise on the screen: downwards
    expect(turned.label[y * size + x]).toBe(3);
    expect(turned.image[0]).toBe(0);
    expect(turned.image[32 * size + 32]).toBe(9);
  });
});

describe("augment", () => {
  const strong = { rotate: 1, maxDegrees: 40, quarterTurn: 0.5, saltPepper: 0, noise: 0 };

  it("image and label stay aligned", () => {
    for (let sample = 0; sample < 50; sample++) {
      const { image, label } = augment(blob(), augmentRng(1, 2, sample), strong);
      let wrong = 0;
      let area = 0;
      for (let i = 0; i < label.length; i++) {
        if (label[i] === 2) area++;
        // On the border the bilinear image is between the two; everywhere else they must say the same.
        if ((image[i] > 190 && label[i] !== 2) || (image[i] < 10 && label[i] === 2)) wrong++;
      }
      expect(area).toBeGreaterThan(200);
      expect(wrong).toBe(0);
    }
  });

  it("labels keep their values: none is invented between two", () => {
    const source = blob();
    for (let i = 0; i < 2000; i++) if (source.label[i] === 0) source.label[i] = 3;
    for (let sample = 0; sample < 10; sample++) {
      const values = new Set(augment(source, augmentRng(0, 0, sample), strong).label);
      expect([...values].every((v) => v === 0 || v === 2 || v === 3)).toBe(true);
    }
  });

  it("the same seed, epoch and sample give the same slice in any order; others differ", () => {
    const make = (seed: number, epoch: number, sample: number) => augment(blob(), augmentRng(seed, epoch, sample), { noise: 1 }).image;
    const forward = [0, 1, 2].map((s) => make(4, 1, s));
    const backward = [2, 1, 0].map((s) => make(4, 1, s)).reverse();
    expect(backward).toEqual(forward);
    expect(make(4, 1, 0)).not.toEqual(make(4, 1, 1));
    expect(make(4, 1, 0)).not.toEqual(make(4, 2, 0));
    expect(make(4, 1, 0)).not.toEqual(make(5, 1, 0));
  });

  it("switching the noise off leaves the motion as it was", () => {
    for (let sample = 0; sample < 10; sample++) {
      const noisy = augment(blob(), augmentRng(1, 1, sample), { noise: 1, saltPepper: 1 });
      const clean = augment(blob(), augmentRng(1, 1, sample), { noise: 0, saltPepper: 0 });
      expect(noisy.label).toEqual(clean.label);
    }
  });

  it("with every probability 0 nothing changes, and the source is never written to", () => {
    const source = blob();
    const copy = { image: source.image.slice(), label: source.label.slice() };
    expect(augment(source, augmentRng(0, 0, 0), augmentNone)).toEqual(source);
    augment(source, augmentRng(0, 0, 0), { ...strong, saltPepper: 1, noise: 1 });
    expect(source.image).toEqual(copy.image);
    expect(source.label).toEqual(copy.label);
  });

  it("salt and pepper hits its share of the pixels, half each, and never the label", () => {
    const grey: Slice = { image: new Uint8Array(10000).fill(100), label: new Uint8Array(10000).fill(1), height: 100, width: 100 };
    const { image, label } = augment(grey, augmentRng(0, 0, 0), { ...augmentNone, saltPepper: 1, saltPepperAmount: 0.1 });
    const salt = image.filter((v) => v === 255).length;
    const pepper = image.filter((v) => v === 0).length;
    // 10000 draws with p = 0.05: standard deviation 22, so 5 of them.
    expect(Math.abs(salt - 500)).toBeLessThan(110);
    expect(Math.abs(pepper - 500)).toBeLessThan(110);
    expect(label.every((v) => v === 1)).toBe(true);
  });

  it("noise has no bias and at most the stated strength", () => {
    const grey: Slice = { image: new Uint8Array(10000).fill(100), label: new Uint8Array(10000), height: 100, width: 100 };
    const { image } = augment(grey, augmentRng(0, 0, 1), { ...augmentNone, noise: 1, noiseSigma: 8 });
    const mean = image.reduce((a, b) => a + b, 0) / image.length;
    const deviation = Math.sqrt(image.reduce((a, b) => a + (b - mean) ** 2, 0) / image.length);
    expect(Math.abs(mean - 100)).toBeLessThan(0.4); // 5 standard errors of sigma 8
    expect(deviation).toBeGreaterThan(0.1);
    expect(deviation).toBeLessThan(8.3);
  });

  it("probabilities decide how often: each mirror about half the time", () => {
    const half: Slice = { image: new Uint8Array(4), label: Uint8Array.from([1, 2, 3, 4]), height: 2, width: 2 };
    const only = { ...augmentNone, mirrorHorizontal: 0.5, mirrorVertical: 0.5 };
    const seen = new Map<string, number>();
    for (let s = 0; s < 400; s++) {
      const key = augment(half, augmentRng(0, 0, s), only).label.join("");
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect([...seen.keys()].sort()).toEqual(["1234", "2143", "3412", "4321"]);
    for (const count of seen.values()) expect(Math.abs(count - 100)).toBeLessThan(45); // 5 sigma of 400 draws at 1/4
  });

  it("bad arguments are named", () => {
    expect(() => augment({ ...blob(), width: 63 }, augmentRng(0, 0, 0))).toThrow("must hold [64, 63] pixels, found 4096 and 4096");
    expect(() => augment(blob(), augmentRng(0, 0, 0), { noise: 1.5 })).toThrow("noise must be from 0 to 1, found 1.5");
    const wide: Slice = { image: new Uint8Array(6), label: new Uint8Array(6), height: 2, width: 3 };
    expect(() => augment(wide, augmentRng(0, 0, 0), { quarterTurn: 1 })).toThrow("needs square slices, found 2 x 3");
  });
});
