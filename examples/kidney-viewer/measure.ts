// What a label map says in numbers.
import { columnLengths, type Geometry } from "../../src/kits/geometry.ts";

/**
 * Millilitres of each of the `classes` in `labels` [S, H, W], and the middle of all that is marked in mm of the scan's
 * coordinates; null where nothing is.
 */
export function measure(
  labels: Uint8Array,
  classes: readonly string[],
  { shape: [, H, W], affine, axes, flips, dims }: Geometry,
): { millilitres: number[]; centre: number[] | null } {
  const counts = classes.map(() => 0);
  const sums = [0, 0, 0];
  labels.forEach((label, i) => {
    counts[label]++;
    if (label === 0) return;
    [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W].forEach((at, k) => (sums[k] += at));
  });
  const voxel = columnLengths(affine).reduce((product, length) => product * length, 1) / 1000;
  const marked = counts.slice(1).reduce((sum, n) => sum + n, 0);
  const millilitres = counts.map((n) => n * voxel);
  if (marked === 0) return { millilitres, centre: null };
  const index = [0, 0, 0]; // along the file's own axes
  axes.forEach((axis, k) => {
    const at = sums[k] / marked;
    index[axis] = flips[k] ? dims[axis] - 1 - at : at;
  });
  const centre = affine.map((row) => row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]);
  return { millilitres, centre };
}
