// The networks that come with the kidney viewer find kidneys: in the sample scan, and in a real CT where there is one.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sampleCase } from "../../examples/kidney-viewer/sample.ts";
import { close, init } from "../../src/index.ts";
import { countLabels, dice, kitsRegions } from "../../src/kits/metrics.ts";
import { parseImage, parseLabels } from "../../src/kits/nifti_bytes.ts";
import { connectedComponents } from "../../src/kits/postprocess.ts";
import { stageNames } from "../../src/kits/stages.ts";
import { shared } from "../kits/shared_data.ts";
import { kidneyDice, segmentShipped } from "./shippedModel.ts";

beforeAll(() => init());
afterAll(() => close());

const ct = shared("real-ct", "data", "case_90000");

test("they are small enough to ship", () => {
  const folder = join(import.meta.dirname, "../../examples/kidney-viewer/model/checkpoints");
  const bytes = stageNames.map((stage) => statSync(join(folder, stage, "best.safetensors")).size);
  expect(bytes.reduce((a, b) => a + b)).toBeLessThan(2e6);
});

test("the sample scan, a phantom that they were not trained on: kidneys and a tumor", async () => {
  const { image, label, geometry } = sampleCase();
  const labels = await segmentShipped({ data: image, header: geometry });
  expect(kidneyDice(label, labels)).toBeGreaterThan(0.9);
  expect(dice(countLabels(label, labels, kitsRegions.tumor))).toBeGreaterThan(0.8);
});

// They were trained on this CT: that they find its kidneys shows that nothing is broken, not how good they are.
test.skipIf(ct.missing)("a real CT: both kidneys", async () => {
  const [image, label] = ["imaging.nii.gz", "segmentation.nii.gz"].map((name) => readFileSync(join(ct.path, name)));
  const scan = await parseImage(image, "CT");
  const labels = await segmentShipped(scan);
  expect(kidneyDice((await parseLabels(label, "reference")).data, labels)).toBeGreaterThan(0.9);
  const [left, right] = connectedComponents(labels, scan.header.shape).components;
  expect(right.voxels).toBeGreaterThan(0.7 * left.voxels);
});
