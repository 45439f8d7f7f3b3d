// Resizing over all spatial axes, in float64. x: [N, C, ...].
import { type NdArray, generate, perAxis, ravel } from "./array.ts";

export interface InterpolateOptions {
  size?: readonly number[];
  /** Output size floor(n * scale); source positions then use this scale, not the ratio of the sizes. */
  scale?: number | readonly number[];
  mode: "nearest" | "linear";
  alignCorners?: boolean;
}

/** The source indices and weights of one output index along one axis. */
function taps(o: number, n: number, ratio: number, mode: string, align: boolean): [index: number, weight: number][] {
  if (mode === "nearest") return [[Math.min(Math.floor(o * ratio), n - 1), 1]];
  const source = Math.min(Math.max(align ? o * ratio : (o + 0.5) * ratio - 0.5, 0), n - 1);
  const low = Math.floor(source);
  const high = Math.min(low + 1, n - 1);
  return [[low, 1 - (source - low)], [high, source - low]];
}

/** Nearest or (bi-, tri-) linear resize with PyTorch's coordinate rules. Returns [N, C, ...size]. */
export function interpolate(x: NdArray, { size, scale, mode, alignCorners = false }: InterpolateOptions): NdArray {
  const spatial = x.shape.slice(2);
  const scales = scale === undefined ? null : perAxis(scale, spatial.length);
  const out = size ?? spatial.map((n, a) => Math.floor(n * scales![a]));
  const ratio = spatial.map((n, a) => {
    if (mode === "linear" && alignCorners) return out[a] > 1 ? (n - 1) / (out[a] - 1) : 0;
    return scales ? 1 / scales[a] : n / out[a];
  });
  return generate([x.shape[0], x.shape[1], ...out], ([batch, channel, ...position]) => {
    let points: { at: number[]; weight: number }[] = [{ at: [batch, channel], weight: 1 }];
    position.forEach((o, a) => {
      const along = taps(o, spatial[a], ratio[a], mode, alignCorners);
      points = points.flatMap((p) => along.map(([i, w]) => ({ at: [...p.at, i], weight: p.weight * w })));
    });
    return points.reduce((s, p) => s + p.weight * x.data[ravel(p.at, x.shape)], 0);
  });
}
