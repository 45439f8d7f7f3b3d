// Batches as the GPU makes them of bytes, against a float64 reference.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, init } from "../../src/index.ts";
import {
  augmentDefaults,
  augmentNone,
  augmentRelease,
  augmentRng,
  drawAugmentation,
  type AugmentOptions,
} from "../../src/kits/augment.ts";
import { uploadSlices, type Drawing } from "../../src/kits/batch.ts";
import type { Roi } from "../../src/kits/roi.ts";
import { randomSlices, reference, sliceValues, sourceOf, valuesOf, whole, type Slices } from "./slices.ts";

beforeAll(() => init());
afterAll(() => close());

const drawing = (augment: Partial<AugmentOptions>, place = 0): Drawing => ({
  ...{ augment: { ...augmentNone, ...augment }, seed: 4, epoch: 1, place },
});

/** One augmented slice on the GPU. */
async function made(slices: Slices, augment: Partial<AugmentOptions>, place = 0, to = slices.size, region = whole) {
  const opened = await uploadSlices(sourceOf(slices, to, region), [0]);
  return valuesOf(opened.batch([0], drawing(augment, place)));
}

const grid: Slices = {
  ...{
    size: 3,
    images: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]),
    labels: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]),
  },
};
const constant = (size: number, grey: number): Slices => ({
  ...{ size, images: new Uint8Array(size * size).fill(grey), labels: new Uint8Array(size * size).fill(1) },
});
const rounded = (values: readonly number[]) => values.map((v) => Math.round(v));

describe("without region and augmentation", () => {
  test("every grey level is exactly the float32 of byte / 255, every label its class", async () => {
    const size = 17; // 289 bytes: slices begin at whole words
    const slices = randomSlices(size, 3);
    slices.images.set(
      Array.from({ length: 256 }, (_, i) => i),
      2 * size * size,
    );
    const source = { ...sourceOf(slices), stage: { classOf: (label: number) => [7, 5, 0, 200][label] } };
    const opened = await uploadSlices(source, [0, 1, 2]);
    const { images, labels } = await valuesOf(opened.batch([2, 0]));
    const order = [slices.images.subarray(2 * size * size), slices.images.subarray(0, size * size)];
    expect([...images]).toEqual(order.flatMap((image) => Array.from(image, (v) => Math.fround(v / 255))));
    const classes = [slices.labels.subarray(2 * size * size), slices.labels.subarray(0, size * size)];
    expect([...labels]).toEqual(classes.flatMap((plane) => Array.from(plane, (label) => [7, 5, 0, 200][label])));
  });

  test("resident or with each batch: the same bits, and images alone as well", async () => {
    const slices = randomSlices(32, 6);
    const source = sourceOf(slices, 24, { y: 0.1, x: -0.2, side: 0.9 });
    const batchOf = async (resident: boolean, labels = true) => {
      const opened = await uploadSlices(source, [1, 2, 4, 5], { resident, labels });
      expect(opened.residentBytes > 0).toBe(resident);
      const batch = opened.batch([4, 1, 4], drawing(augmentDefaults));
      expect(Object.keys(batch.inputs).length).toBe(resident ? 1 : labels ? 3 : 2);
      return valuesOf(batch);
    };
    const resident = await batchOf(true);
    expect(await batchOf(false)).toEqual(resident);
    expect((await batchOf(false, false)).images).toEqual(resident.images);
  });

  test("a resident step uploads 80 bytes per sample", async () => {
    const opened = await uploadSlices(sourceOf(randomSlices(32, 2)), [0, 1]);
    const { inputs } = opened.batch([0, 1, 0, 1], drawing(augmentDefaults));
    expect(Object.values(inputs).reduce((n, { data }) => n + data.byteLength, 0)).toBe(4 * 80);
    expect(opened.residentBytes).toBe(2 * 2 * 32 * 32);
  });

  test("a slice that was not opened is named", async () => {
    const opened = await uploadSlices(sourceOf(randomSlices(8, 3)), [0, 1]);
    expect(() => opened.batch([2])).toThrow("batch: slice must be one of the 2 opened, found 2");
  });
});

describe("against the float64 reference", () => {
  // Positions are float32: an error of 3e-5 pixels at 512, times steps of up to 255 between neighbours, times two axes;
  // two triangles more where the region is wider than the grid. The cosine of the noise is only sure to 2^-11, and
  // sigma times its radius is at most 8 * 5.8.
  const regions: [string, number, Roi][] = [
    ["whole", 40, whole],
    ["enlarged", 48, { y: 0.3, x: 0.2, side: 0.41 }],
    ["shrunk", 16, { y: 0.05, x: 0.02, side: 0.93 }],
    ["beyond the edge", 24, { y: -0.31, x: 0.52, side: 0.97 }],
    ["all outside", 24, { y: 1.2, x: 0.1, side: 0.5 }],
  ];
  const kinds: [string, Partial<AugmentOptions>, number][] = [
    ["crop", {}, 0.01],
    ["rotation and mirrors", { rotate: 1, maxDegrees: 40, mirrorHorizontal: 0.5, mirrorVertical: 0.5 }, 0.03],
    ["quarter turns", { quarterTurn: 1 }, 0.01],
    ["zoom on grey, brightness", { ...augmentRelease, rotate: 0.5 }, 0.05],
    ["salt and pepper, noise", { saltPepper: 1, saltPepperAmount: 0.1, noise: 1 }, 0.03],
  ];
  test.each(kinds.flatMap(([kind, options, limit]) => regions.map((r) => [kind, ...r, options, limit] as const)))(
    "%s, %s",
    async (_, __, to, region, options, limit) => {
      const slices = randomSlices(40, 1, to);
      for (const place of [0, 1, 2]) {
        const { greys, labels } = await made(slices, options, place, to, region);
        const augmentation = drawAugmentation(augmentRng(4, 1, place), to, { ...augmentNone, ...options });
        const expected = reference(slices, to, region, augmentation);
        const worst = Math.max(...greys.map((v, i) => Math.abs(v - expected.greys[i])));
        expect(worst).toBeLessThan(limit);
        const wrong = [...labels].filter((v, i) => v !== expected.labels[i] && !expected.ties[i]);
        expect(wrong.length).toBe(0);
        expect(expected.ties.filter(Boolean).length / (to * to)).toBeLessThan(0.3);
      }
    },
  );
});

describe("motion", () => {
  test("mirrors exactly", async () => {
    expect(rounded((await made(grid, { mirrorHorizontal: 1 })).greys)).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
    expect([...(await made(grid, { mirrorVertical: 1 })).labels]).toEqual([7, 8, 9, 4, 5, 6, 1, 2, 3]);
  });

  test("turns by quarters exactly, clockwise for positive angles", async () => {
    const turned: Record<number, number[]> = {
      90: [7, 4, 1, 8, 5, 2, 9, 6, 3],
      180: [9, 8, 7, 6, 5, 4, 3, 2, 1],
      270: [3, 6, 9, 2, 5, 8, 1, 4, 7],
    };
    const seen = new Set<number>();
    for (let place = 0; place < 12; place++) {
      const { degrees } = drawAugmentation(augmentRng(4, 1, place), 3, { ...augmentNone, quarterTurn: 1 });
      const { images, labels } = await made(grid, { quarterTurn: 1 }, place);
      expect([...images]).toEqual(turned[degrees].map((v) => Math.fround(v / 255)));
      expect([...labels]).toEqual(turned[degrees]);
      seen.add(degrees);
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([90, 180, 270]);
  });

  test("a small angle moves a point to where trigonometry says, and fills with 0", async () => {
    const size = 65; // the middle is a pixel
    const slices = { ...constant(size, 9), labels: new Uint8Array(size * size) };
    slices.labels[32 * size + 52] = 3; // 20 to the right of the middle
    const { degrees } = drawAugmentation(augmentRng(4, 1, 1), size, { ...augmentNone, rotate: 1, maxDegrees: 40 });
    const { greys, labels } = await made(slices, { rotate: 1, maxDegrees: 40 }, 1);
    const x = 32 + Math.round(20 * Math.cos((degrees * Math.PI) / 180));
    const y = 32 + Math.round(20 * Math.sin((degrees * Math.PI) / 180)); // clockwise on the screen: downwards
    expect(Math.abs(degrees)).toBeGreaterThan(10);
    expect(labels[y * size + x]).toBe(3);
    expect(greys[0]).toBe(0);
    expect(greys[32 * size + 32]).toBeCloseTo(9, 4);
  });

  test("a turned region shows at its corners what lies beside it in the slice", async () => {
    const { greys, labels } = await made(constant(64, 200), { rotate: 1, maxDegrees: 40 }, 1, 32, {
      y: 0.25,
      x: 0.25,
      side: 0.5,
    });
    expect(new Set(rounded(greys))).toEqual(new Set([200]));
    expect(new Set(labels)).toEqual(new Set([1]));
  });

  test("labels keep their values: none is invented between two", async () => {
    const slices = randomSlices(64, 1);
    slices.labels.forEach((label, i) => (slices.labels[i] = [0, 2, 2, 200][label]));
    for (let place = 0; place < 5; place++) {
      const { labels } = await made(slices, { rotate: 1, maxDegrees: 40 }, place, 48, { y: 0, x: 0.1, side: 0.9 });
      expect([...new Set(labels)].sort((a, b) => a - b)).toEqual([0, 2, 200]);
    }
  });
});

describe("noise", () => {
  test("salt and pepper hits its share of the pixels, half each, and never the label", async () => {
    const { images, labels } = await made(constant(100, 100), { saltPepper: 1, saltPepperAmount: 0.1 });
    const salt = images.filter((v) => v === 1).length;
    const pepper = images.filter((v) => v === 0).length;
    // 10000 draws with p = 0.05: standard deviation 22, so 5 of them.
    expect(Math.abs(salt - 500)).toBeLessThan(110);
    expect(Math.abs(pepper - 500)).toBeLessThan(110);
    expect(labels.every((v) => v === 1)).toBe(true);
  });

  test("Gaussian noise has mean 0, the sigma drawn and its tails, and no pattern from pixel to pixel", async () => {
    const { sigma } = drawAugmentation(augmentRng(4, 1, 1), 100, { ...augmentNone, noise: 1 });
    const { greys } = await made(constant(100, 100), { noise: 1 }, 1);
    const z = greys.map((v) => (v - 100) / sigma);
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(sigma).toBeGreaterThan(1);
    expect(Math.abs(mean(z))).toBeLessThan(0.05); // 5 standard errors of 10000 draws, here and below
    expect(Math.abs(mean(z.map((v) => v * v)) - 1)).toBeLessThan(5 * Math.sqrt(2 / 10000));
    expect(Math.abs(z.filter((v) => Math.abs(v) > 2).length / 10000 - 0.0455)).toBeLessThan(0.0105);
    expect(Math.abs(mean(z.slice(1).map((v, i) => v * z[i])))).toBeLessThan(0.05);
  });

  test("the same seed, epoch and place give the same bits in any batch; others differ", async () => {
    const opened = await uploadSlices(sourceOf(randomSlices(32, 3)), [0, 1, 2]);
    const at = async (slices: number[], change: Partial<Drawing>) => {
      const { images } = await valuesOf(
        opened.batch(slices, { ...drawing({ ...augmentDefaults, noise: 1 }), ...change }),
      );
      return [...images];
    };
    const batch = await at([0, 1, 2], { place: 7 });
    expect(await at([0, 1, 2], { place: 7 })).toEqual(batch);
    expect(await at([2], { place: 9 })).toEqual(batch.slice(2 * 32 * 32));
    expect(await at([0, 1, 2], { place: 8 })).not.toEqual(batch);
    expect(await at([0, 1, 2], { place: 7, epoch: 2 })).not.toEqual(batch);
    expect(await at([0, 1, 2], { place: 7, seed: 5 })).not.toEqual(batch);
  });

  test("noise leaves labels and the motion as they were", async () => {
    for (let place = 0; place < 3; place++) {
      const noisy = await made(randomSlices(32, 1), { ...augmentDefaults, noise: 1, saltPepper: 1 }, place);
      const clean = await made(randomSlices(32, 1), { ...augmentDefaults, noise: 0, saltPepper: 0 }, place);
      expect(noisy.labels).toEqual(clean.labels);
      expect(noisy.images).not.toEqual(clean.images);
    }
  });
});

test("slices are only read", async () => {
  const slices = randomSlices(32, 1);
  const opened = await uploadSlices(sourceOf(slices), [0]);
  await valuesOf(opened.batch([0], drawing({ ...augmentDefaults, noise: 1, saltPepper: 1 })));
  expect((await valuesOf(opened.batch([0]))).images).toEqual((await sliceValues(sourceOf(slices))).images);
});
