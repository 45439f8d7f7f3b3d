// volumes.json, which predict:kits --resume goes on from. Nothing guards its digits, so what is accepted must be made as a
// valid file is, and the table of it must come out.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { strict as assert } from "node:assert";
import { formatVolumes, loadVolumes, type VolumesFile } from "../../src/kits/volumesFile.ts";
import { assertKinds, kindsOf, staysInside, type Format } from "./format.ts";
import { pick } from "./mutateBytes.ts";
import { mutatedJsonFile } from "./mutateJson.ts";

const classes = ["background", "kidney", "tumor", "cyst"];
const scan = {
  ...{ name: "case_00000", input: "/data/case_00000/imaging.nii.gz", dims: [40, 512, 512], spacing: [2.5, 0.75, 0.75] },
  ...{ ml: { kidney: 312.125, tumor: 20.5, cyst: 0.25 }, seconds: 4.5 },
};
const stages = ["coarse", "kidney", "masses", "tumor"];
const whole: VolumesFile = { ...{ run: "/runs/demo", stages, classes, tta: true, batch: 8 }, scans: [scan, scan] };
const coarse: VolumesFile = {
  ...{ run: "/runs/part", stages: ["coarse"], classes: ["background", "kidney", "mass"], tta: false, batch: null },
  scans: [{ ...scan, ml: { kidney: 300.5, mass: 10.5 } }],
};
const files = [whole, coarse, { ...whole, scans: [] }];

export const volumesJson: Format = {
  name: "volumes.json",
  inputs: 2000,
  prepare: async (folder) => {
    const kinds = kindsOf(files, { words: /^\.stages\.\*$/, records: /^\.scans\.\*\.ml$/ });
    return (rng) => {
      writeFileSync(join(folder, "volumes.json"), mutatedJsonFile(pick(files, rng), rng));
      return {
        read: () => loadVolumes(folder),
        judge: (value) => {
          const found = value as VolumesFile;
          assertKinds(found, kinds);
          assert(
            found.scans.every(({ name }) => staysInside(name)),
            "a scan leads out of the folder",
          );
          formatVolumes(found);
        },
      };
    };
  },
};
