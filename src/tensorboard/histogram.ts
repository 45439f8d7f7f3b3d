// Values as a histogram of equal bins.

import type { Histogram } from "./event.ts";

/** `values` in `bins` of one width; those that are not finite are left out. */
export function histogramOf(values: ArrayLike<number>, bins: number): Histogram {
  let [min, max, count, sum, sumSquares] = [Infinity, -Infinity, 0, 0, 0];
  const finite = Array.from(values).filter(Number.isFinite);
  for (const v of finite) {
    min = Math.min(min, v);
    max = Math.max(max, v);
    sum += v;
    sumSquares += v * v;
    count++;
  }
  if (count === 0) return { min: 0, max: 0, count: 0, sum: 0, sumSquares: 0, limits: [0], counts: [0] };
  const width = (max - min) / bins;
  const counts = Array<number>(bins).fill(0);
  for (const v of finite) counts[width > 0 ? Math.min(bins - 1, Math.floor((v - min) / width)) : 0]++;
  const limits = counts.map((_, i) => (i === bins - 1 ? max : min + width * (i + 1)));
  return { min, max, count, sum, sumSquares, limits, counts };
}
