import { kitsRegions } from "../metrics.ts";
import type { DatasetSpec } from "./dataset.ts";

/** Any folder of case folders with imaging.nii.gz and segmentation.nii.gz and the labels of KiTS23. */
export const plain: DatasetSpec = {
  name: "kits",
  title: "KiTS layout",
  labels: ["background", "kidney", "tumor", "cyst"],
  regions: kitsRegions,
  labelFiles: ["segmentation", "aggregated_MAJ_seg"],
  caseFolders: ["data", "dataset"],
  license: "as its source says",
  detect: () => true,
};
