// What an epoch shows the networks, and from where in a slice.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { augmentDefaults, augmentNone } from "../../src/kits/augment.ts";
import { uploadSlices, type Drawing } from "../../src/kits/batch.ts";
import { openCache, type SliceCache } from "../../src/kits/cache.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import { roisOf } from "../../src/kits/roi.ts";
import {
  classCounts,
  epochOrder,
  roiSlices,
  slicesOf,
  targetSlices,
  wholeSlices,
  type SliceSource,
} from "../../src/kits/sample.ts";
import { coarseStage, fineStages, regionStage } from "../../src/kits/stages.ts";
import { close, init } from "../../src/index.ts";
import { valuesOf } from "./slices.ts";

let work: string;
let cache: SliceCache;
const [kidney, masses, tumor] = fineStages;

beforeAll(async () => {
  await init();
  work = mkdtempSync(join(tmpdir(), "wgrad-sample-"));
  await writePhantom(join(work, "data"), { cases: 3, slices: 10, size: 48 });
  await preprocess(await openDataset(join(work, "data")), join(work, "cache"), { size: 48 });
  cache = await openCache(join(work, "cache"));
});
afterAll(() => {
  cache.close();
  close();
  rmSync(work, { recursive: true, force: true });
});

describe("epochOrder", () => {
  const slices = Array.from({ length: 20 }, (_, i) => i);
  const targets = [3, 4, 5, 6];

  test("all: each slice once, in another order every epoch, the same for the same seed", () => {
    const options = { seed: 7, slicesPerEpoch: "all" as const, foreground: 0.5 };
    const first = epochOrder(slices, targets, 0, options);
    expect(first.toSorted((a, b) => a - b)).toEqual(slices);
    expect(epochOrder(slices, targets, 0, options)).toEqual(first);
    expect(epochOrder(slices, targets, 1, options)).not.toEqual(first);
    expect(epochOrder(slices, targets, 0, { ...options, seed: 8 })).not.toEqual(first);
  });

  test("a number: that many, the share of foreground among them at least", () => {
    const order = epochOrder(slices, targets, 0, { seed: 0, slicesPerEpoch: 16, foreground: 0.75 });
    expect(order.length).toBe(16);
    expect(order.filter((s) => targets.includes(s)).length).toBeGreaterThanOrEqual(12);
    for (const t of targets) expect(order.filter((s) => s === t).length).toBeGreaterThanOrEqual(3);
  });

  test("organ: each slice that shows the target, and as many others as the share leaves", () => {
    const order = epochOrder(slices, targets, 0, { seed: 0, slicesPerEpoch: "organ", foreground: 0.5 });
    expect(order.length).toBe(8);
    for (const t of targets) expect(order).toContain(t);
  });

  test("without any target slice all come from the others", () => {
    expect(epochOrder(slices, [], 0, { seed: 0, slicesPerEpoch: 10, foreground: 0.9 }).length).toBe(10);
    expect(epochOrder(slices, [], 0, { seed: 0, slicesPerEpoch: "organ", foreground: 0.9 }).length).toBe(20);
  });
});

describe("classes of the stages", () => {
  test("labels 0 background, 1 kidney, 2 tumor, 3 cyst", () => {
    const of = (stage: typeof coarseStage) => [0, 1, 2, 3].map((label) => stage.classOf(label));
    expect(of(coarseStage)).toEqual([0, 1, 2, 2]);
    expect(of(kidney)).toEqual([0, 1, 1, 1]);
    expect(of(masses)).toEqual([0, 0, 1, 1]);
    expect(of(tumor)).toEqual([0, 0, 1, 0]);
    expect(of(regionStage)).toEqual([0, 1, 3, 2]); // in as many regions as the class says
  });

  test("counts and target slices agree with the labels", () => {
    const id = cache.index.cases[1].id;
    const { labels } = cache.readCase(id);
    const { first, slices } = cache.caseById(id);
    for (const stage of [kidney, masses, tumor]) {
      const expected = Array.from({ length: slices }, (_, s) =>
        labels.subarray(s * 48 * 48, (s + 1) * 48 * 48).reduce((n, label) => n + stage.classOf(label), 0),
      );
      expect(
        classCounts({ cache, stage })
          .slice(first, first + slices)
          .map((c) => c[1]),
      ).toEqual(expected);
      expect(targetSlices({ cache, stage }, slicesOf(cache, [id]))).toEqual(
        expected.flatMap((n, s) => (n > 0 ? [first + s] : [])),
      );
    }
  });
});

describe("batches of a cache", () => {
  const read = async (source: SliceSource, slices: readonly number[], drawing?: Drawing) =>
    valuesOf((await uploadSlices(source, slices)).batch(slices, drawing));

  test("whole slices are those of the cache, grey levels over 255", async () => {
    const source = wholeSlices(cache, coarseStage);
    const batch = await read(source, [4, 13]);
    const [image, label] = [new Uint8Array(48 * 48), new Uint8Array(48 * 48)];
    cache.readImage(13, image);
    cache.readLabel(13, label);
    expect([...batch.images.subarray(48 * 48)]).toEqual([...Float32Array.from(image, (v) => v / 255)]);
    expect([...batch.labels.subarray(48 * 48)]).toEqual(Array.from(label, (v) => Math.min(v, 2)));
  });

  const roisById = () =>
    Object.fromEntries(
      cache.index.cases.map(({ id, slices }) => [
        id,
        roisOf(cache.readCase(id).labels, [slices, 48, 48], { inside: [1, 2, 3] }),
      ]),
    );
  const regions = (predictedRois: number, jitter = 0.1) => {
    const reference = roisById();
    const predicted = Object.fromEntries(
      Object.entries(reference).map(([id, list]) => [
        id,
        list.map((roi) => roi && { ...roi, x: roi.x + 0.25, y: roi.y + 0.25 }),
      ]),
    );
    return roiSlices(cache, kidney, { size: 32, reference, predicted, predictedRois, jitter });
  };
  const shown = () => targetSlices({ cache, stage: kidney }, slicesOf(cache, [cache.index.cases[0].id]))[2];
  const target = (labels: ArrayLike<number>) => Array.from(labels).reduce((n, v) => n + v, 0);

  test("a region magnifies its target and keeps all of it", async () => {
    const slice = shown();
    const whole = target((await read(wholeSlices(cache, kidney), [slice])).labels);
    const drawing = { augment: augmentNone, seed: 0, epoch: 0, place: 0 };
    const { labels } = await read(regions(0, 0), [slice], drawing);
    const id = cache.index.cases[0].id;
    const { side } = roisById()[id][slice - cache.caseById(id).first]!;
    const magnified = (whole * 32 ** 2) / (side * 48) ** 2;
    expect(Math.abs(target(labels) / magnified - 1)).toBeLessThan(0.1); // borders of a small organ in 32 x 32 pixels
  });

  test("training takes predicted regions by their share, prediction always", async () => {
    const slice = shown();
    const drawing = (place: number) => ({ augment: augmentNone, seed: 0, epoch: 0, place });
    const centre = (labels: Int32Array) => {
      const at = [...labels].flatMap((v, i) => (v ? [i % 32] : []));
      return at.reduce((a, b) => a + b, 0) / at.length;
    };
    const reference = centre((await read(regions(0, 0), [slice], drawing(0))).labels);
    const predicted = centre((await read(regions(1, 0), [slice], drawing(0))).labels);
    expect(reference - predicted).toBeGreaterThan(3); // the region moved right, so the organ moves left in it
    expect(centre((await read(regions(0, 0), [slice])).labels)).toBeCloseTo(predicted, 6);
    const { labels } = await read(regions(0.5, 0), Array<number>(40).fill(slice), drawing(0)); // 40 places of an epoch
    const draws = Array.from({ length: 40 }, (_, place) =>
      centre(labels.subarray(32 * 32 * place, 32 * 32 * (place + 1))),
    );
    const share = draws.filter((c) => Math.abs(c - predicted) < 0.5).length / draws.length;
    expect(share).toBeGreaterThan(0.25); // 5 standard deviations below a half at 40 draws is 0.1
    expect(share).toBeLessThan(0.75);
  });

  test("the same place in the epoch draws the same batch, another place another", async () => {
    const slice = shown();
    const at = async (place: number) =>
      (await read(regions(0.5), [slice], { augment: augmentDefaults, seed: 3, epoch: 1, place })).images;
    expect(await at(5)).toEqual(await at(5));
    expect(await at(5)).not.toEqual(await at(6));
  });
});
