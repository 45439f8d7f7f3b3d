import { kitsRegions } from "../metrics.ts";
import { PHANTOM_MARK } from "../phantom.ts";
import type { DatasetSpec } from "./dataset.ts";

/** The built-in synthetic phantom: analytic shapes, no patient. */
export const phantom: DatasetSpec = {
  name: "phantom",
  title: "synthetic phantom",
  labels: ["background", "kidney", "tumor", "cyst"],
  regions: kitsRegions,
  labelFiles: ["segmentation"],
  caseFolders: [],
  license: "MIT",
  detect: ({ names }) => names.has(PHANTOM_MARK),
};
