// Where to look first.
import type { Geometry } from "../../src/kits/geometry.ts";

/** The middle of all that is marked in `labels` [S, H, W], in mm of the scan's coordinates; null where nothing is. */
export function centreOf(
  labels: Uint8Array,
  { shape: [, H, W], affine, axes, flips, dims }: Geometry,
): number[] | null {
  const sums = [0, 0, 0];
  let marked = 0;
  labels.forEach((label, i) => {
    if (label === 0) return;
    marked++;
    [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W].forEach((at, k) => (sums[k] += at));
  });
  if (marked === 0) return null;
  const index = [0, 0, 0]; // along the file's own axes
  axes.forEach((axis, k) => {
    const at = sums[k] / marked;
    index[axis] = flips[k] ? dims[axis] - 1 - at : at;
  });
  return affine.map((row) => row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]);
}
