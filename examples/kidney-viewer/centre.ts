// Where to look first.
import type { Geometry } from "../../src/kits/browser.ts";

const TUMOR = 2; // or what the coarse network alone calls a mass

/**
 * The middle of the tumor in the slice that shows most of it, in mm of the scan's coordinates; of all that is marked in
 * `labels` [S, H, W] where there is no tumor, null where nothing is.
 */
export function centreOf(labels: Uint8Array, geometry: Geometry): number[] | null {
  const middle =
    middleOf(labels, geometry, (label) => label === TUMOR) ?? middleOf(labels, geometry, (label) => label > 0);
  return middle && toMm(middle, geometry);
}

/** [s, h, w]: the slice with most voxels that count, and their middle in it. */
function middleOf(labels: Uint8Array, { shape: [S, H, W] }: Geometry, counts: (label: number) => boolean) {
  let best: { voxels: number; at: number[] } | null = null;
  for (let s = 0; s < S; s++) {
    let [voxels, rows, columns] = [0, 0, 0];
    for (let i = 0; i < H * W; i++) {
      if (!counts(labels[s * H * W + i])) continue;
      voxels++;
      rows += Math.floor(i / W);
      columns += i % W;
    }
    if (voxels > (best?.voxels ?? 0)) best = { voxels, at: [s, rows / voxels, columns / voxels] };
  }
  return best?.at ?? null;
}

function toMm(at: readonly number[], { affine, axes, flips, dims }: Geometry): number[] {
  const index = [0, 0, 0]; // along the file's own axes
  axes.forEach((axis, k) => (index[axis] = flips[k] ? dims[axis] - 1 - at[k] : at[k]));
  return affine.map((row) => row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]);
}
