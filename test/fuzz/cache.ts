// The slice cache: its index and its files of slices. What is opened must agree with itself to the last slice, and what is
// used again must be of the data at hand.

import { strict as assert } from "node:assert";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCache, type CacheIndex } from "../../src/kits/cache.ts";
import type { Dataset } from "../../src/kits/datasets/dataset.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { kitsGeometry } from "../../src/kits/geometry.ts";
import { writeNifti } from "../../src/kits/nifti.ts";
import { preprocess } from "../../src/kits/preprocess.ts";
import type { Rng } from "../../src/random.ts";
import { assertKinds, kindsOf, staysInside, type Format } from "./format.ts";
import { damaged } from "./mutateBytes.ts";
import { mutatedJsonFile } from "./mutateJson.ts";

const SIZE = 16;

interface Made {
  dataset: Dataset;
  folder: string;
  index: CacheIndex;
  files: Record<string, Uint8Array>;
}

/** Three small cases, the last without a label, and their cache. */
async function make(root: string): Promise<Made> {
  const data = join(root, "data");
  for (const [i, slices] of [2, 3, 1].entries()) {
    const geometry = kitsGeometry([slices, 10, 12], [5, 0.75, 0.5]);
    const at = join(data, `case_0000${i}`);
    mkdirSync(at, { recursive: true });
    const image = Int16Array.from({ length: slices * 120 }, (_, v) => (v * 7) % 400);
    await writeNifti(join(at, "imaging.nii.gz"), image, geometry);
    if (i < 2)
      await writeNifti(
        join(at, "segmentation.nii.gz"),
        Uint8Array.from(image, (v) => v % 4),
        geometry,
      );
  }
  const dataset = await openDataset(data, { labels: "optional" });
  const folder = join(root, "cache");
  const index = await preprocess(dataset, folder, { size: SIZE });
  const names = ["index.json", "images.u8", "labels.u8"];
  const files = Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
  return { dataset, folder, index, files };
}

/** Writes the cache with its index damaged, or now and then its slices. */
function write({ folder, index, files }: Made, rng: Rng): void {
  const hit = rng.uniform() < 0.1 ? (rng.uniform() < 0.5 ? "images.u8" : "labels.u8") : "index.json";
  for (const [name, bytes] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      name !== hit ? bytes : name === "index.json" ? mutatedJsonFile(index, rng) : damaged(bytes, rng),
    );
}

function judge(index: CacheIndex): void {
  let next = 0;
  for (const { id, first, slices, geometry, labelCounts, voxels, label } of index.cases) {
    assert(staysInside(id), id);
    assert.equal(first, next);
    assert.equal(labelCounts.length, slices);
    assert.equal(geometry.shape[0], slices);
    const size = geometry.dims.reduce((a, b) => a * b, 1);
    assert(size === geometry.shape.reduce((a, b) => a * b, 1) && size > 0 && size <= 32767 ** 3);
    assert.deepEqual([...geometry.axes].sort(), [0, 1, 2]);
    assert(geometry.spacing.every((mm) => mm > 0));
    assert.equal(voxels === null, label === null);
    next += slices;
  }
  assert.equal(next, index.slices);
  assert.equal(new Set(index.cases.map(({ id }) => id)).size, index.cases.length);
}

const signs = (index: CacheIndex): object =>
  JSON.parse(JSON.stringify(index), (name, v: unknown) => {
    if (["affine", "sformCode", "qformCode", "level"].includes(name)) return fraction(v);
    return ["spacing", "window"].includes(name) ? fraction(v) : v;
  }) as object;
const fraction = (v: unknown): unknown => (Array.isArray(v) ? v.map(fraction) : -0.5);

export const sliceCache: Format = {
  name: "slice cache",
  inputs: 3000,
  prepare: async (folder) => {
    const made = await make(folder);
    const sources = ["sform", "qform", "pixdim"].map((affineSource) => ({
      ...made.index,
      cases: [{ ...made.index.cases[0], geometry: { ...made.index.cases[0].geometry, affineSource } }],
    }));
    const kinds = kindsOf([made.index, signs(made.index), ...sources], {
      records: /regions$/,
      words: /^\.kind$|affineSource$/,
    });
    return (rng) => {
      write(made, rng);
      return {
        read: async () => {
          const cache = await openCache(made.folder);
          try {
            for (const { id } of cache.index.cases) cache.readCase(id);
          } finally {
            cache.close();
          }
          return cache.index;
        },
        judge: (value) => {
          assertKinds(value, kinds);
          judge(value as CacheIndex);
        },
      };
    };
  },
};

export const cacheReused: Format = {
  name: "cache reused",
  inputs: 500,
  prepare: async (folder) => {
    const made = await make(folder);
    return (rng) => {
      write(made, rng);
      return {
        read: () => preprocess(made.dataset, made.folder, { size: SIZE }),
        judge: (value) => {
          const { cases, dataset } = value as CacheIndex;
          judge(value as CacheIndex);
          assert.deepEqual(
            cases.map(({ id, image, label }) => ({ id, image, label })),
            made.dataset.cases,
          );
          assert.deepEqual(dataset, made.index.dataset);
        },
      };
    };
  },
};
