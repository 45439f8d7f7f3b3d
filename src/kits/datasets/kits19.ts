import { kits19Regions } from "../metrics.ts";
import type { DatasetSpec } from "./dataset.ts";

/** KiTS19: git clone of neheller/kits19 with its images; 210 labelled cases, 90 without labels, no cysts. */
export const kits19: DatasetSpec = {
  name: "kits19",
  title: "KiTS19",
  labels: ["background", "kidney", "tumor"],
  regions: kits19Regions,
  labelFiles: ["segmentation"],
  caseFolders: ["data", "kits19/data"],
  unlabelled: (id) => Number(id.slice(-5)) >= 210,
  license: "CC BY-NC-SA 4.0",
  detect: ({ names, caseNames }) =>
    names.has("kits.json") && !names.has("kits23.json") && !caseNames.has("aggregated_MAJ_seg.nii.gz"),
};
