import { kitsRegions } from "../metrics.ts";
import type { DatasetSpec } from "./dataset.ts";

/**
 * KiTS21: git clone of neheller/kits21 with its images; 300 cases, the majority vote of the annotators is the label.
 */
export const kits21: DatasetSpec = {
  name: "kits21",
  title: "KiTS21",
  labels: ["background", "kidney", "tumor", "cyst"],
  regions: kitsRegions,
  labelFiles: ["aggregated_MAJ_seg"],
  caseFolders: ["data", "kits21/data", "kits21/kits21/data"],
  license: "CC BY-NC-SA 4.0",
  detect: ({ caseNames }) => caseNames.has("aggregated_MAJ_seg.nii.gz") || caseNames.has("aggregated_MAJ_seg.nii"),
};
