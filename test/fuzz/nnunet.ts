// Files of others: nnU-Net's dataset.json and splits_final.json, and checksums as sha256sum writes them.

import { strict as assert } from "node:assert";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDataset, type Dataset } from "../../src/kits/datasets/open.ts";
import { readChecksums, type Checksums } from "../../src/kits/download/checksums.ts";
import { splitOfFold } from "../../src/kits/folds.ts";
import type { Split } from "../../src/kits/split.ts";
import type { Format } from "./format.ts";
import { damaged, pick } from "./mutateBytes.ts";
import { mutatedJsonFile } from "./mutateJson.ts";

const ids = Array.from({ length: 6 }, (_, i) => `case_0000${i}`);

const folds = [
  { train: ids.slice(0, 4), val: ids.slice(4) },
  { train: ids.slice(2), val: ids.slice(0, 1) },
];

export const splitsFinal: Format = {
  name: "splits_final.json of nnU-Net",
  inputs: 2000,
  prepare: async (folder) => {
    const path = join(folder, "splits_final.json");
    const base = { seed: 0, fractions: [8, 1, 1] as [number, number, number] };
    return (rng) => {
      writeFileSync(path, mutatedJsonFile(folds, rng));
      return {
        read: () => splitOfFold({ file: path, fold: rng.integer(2) }, ids, base),
        judge: (value) => {
          const { train, val, test } = value as Split;
          assert(train.length > 0 && val.length > 0 && test.length > 0);
          assert([...train, ...val, ...test].every((id) => ids.includes(id)));
          assert.equal(new Set([...train, ...val]).size, train.length + val.length);
          assert(test.every((id) => !train.includes(id)));
        },
      };
    };
  },
};

const common = { channel_names: { 0: "CT" }, numTraining: 1, file_ending: ".nii.gz" };
const datasets = [
  { ...common, labels: { background: 0, kidney: [1, 2, 3], masses: [2, 3], tumor: 2 }, regions_class_order: [1, 3, 2] },
  { ...common, labels: { background: 0, kidney: 1, tumor: 2, cyst: 3 } },
  { ...common, labels: { background: 0, kidney: [1, 2], tumor: [2] }, regions_class_order: [1, 2] },
];

export const datasetJson: Format = {
  name: "dataset.json of nnU-Net",
  inputs: 2000,
  prepare: async (folder) => {
    for (const [part, name] of [
      ["imagesTr", "a_0000.nii.gz"],
      ["labelsTr", "a.nii.gz"],
    ]) {
      mkdirSync(join(folder, part), { recursive: true });
      writeFileSync(join(folder, part, name), "");
    }
    return (rng) => {
      writeFileSync(join(folder, "dataset.json"), mutatedJsonFile(pick(datasets, rng), rng));
      return {
        read: () => openDataset(folder),
        judge: (value) => {
          const { spec, cases } = value as Dataset;
          assert.deepEqual([...spec.labels].slice(0, 3), ["background", "kidney", "tumor"]);
          assert.deepEqual(
            cases.map(({ id }) => id),
            ["a"],
          );
        },
      };
    };
  },
};

const line = (digit: string, path: string) => `${digit.repeat(64)}  ${path}\n`;
const sums = Buffer.from(line("a", "case_00000/imaging.nii.gz") + line("7", "./dataset/case_00001/imaging.nii.gz"));

export const checksums: Format = {
  name: "checksums",
  inputs: 1000,
  prepare: async (folder) => {
    const path = join(folder, "SHA256SUMS");
    return (rng) => {
      writeFileSync(path, damaged(sums, rng));
      return {
        read: () => readChecksums(path),
        judge: (value) => {
          for (const [name, sum] of value as Checksums) assert(/^[0-9a-f]{64}$/.test(sum) && name.length > 0);
        },
      };
    };
  },
};
