import { kitsRegions } from "../metrics.ts";
import type { DatasetSpec } from "./dataset.ts";

/** KiTS23: git clone of neheller/kits23 with its images in the case folders or under images/; 489 cases. */
export const kits23: DatasetSpec = {
  name: "kits23",
  title: "KiTS23",
  labels: ["background", "kidney", "tumor", "cyst"],
  regions: kitsRegions,
  labelFiles: ["segmentation"],
  caseFolders: ["dataset", "kits23/dataset"],
  license: "CC BY-NC-SA 4.0",
  detect: ({ names, caseNames }) => names.has("kits23.json") || caseNames.has("instances"),
};
