// How much of a scan each label is.

import type { Triple } from "./geometry.ts";

/** Millilitres of each label from 0 to `classes` - 1. `spacing`: mm along the axes of the labels' grid. */
export function volumesMl(labels: Uint8Array, spacing: Triple, classes: number): number[] {
  const voxels = new Float64Array(256);
  for (const label of labels) voxels[label]++;
  const ml = (spacing[0] * spacing[1] * spacing[2]) / 1000;
  return Array.from({ length: classes }, (_, label) => voxels[label] * ml);
}
