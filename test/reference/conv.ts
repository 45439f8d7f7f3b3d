// Convolution and transposed convolution as plain float64 loops, for one to three spatial axes.
import { type NdArray, array, perAxis } from "./array.ts";

export interface Options {
  stride?: number | readonly number[];
  padding?: number | readonly number[];
  outputPadding?: number | readonly number[];
  dilation?: number | readonly number[];
  groups?: number;
}

/** One (output, input, tap) triple of a single axis that meet: o * stride + k * dilation - padding = i. */
interface Meeting {
  o: number;
  i: number;
  k: number;
}

/** All meetings of one axis; outputs, inputs and taps are counted by `out`, `n` and `taps`. */
function meetings(out: number, n: number, taps: number, stride: number, padding: number, dilation: number): Meeting[] {
  const found: Meeting[] = [];
  for (let o = 0; o < out; o++) {
    for (let k = 0; k < taps; k++) {
      const i = o * stride + k * dilation - padding;
      if (i >= 0 && i < n) found.push({ o, i, k });
    }
  }
  return found;
}

/** Spatial sizes with ones in front, so that every convolution is a 3-d one. */
const three = (values: readonly number[], fill: number): number[] => [fill, fill, fill, ...values].slice(-3);

/** Calls `visit(o, i, k)` with flat indices for every output, input and tap that meet. */
function visitAll(
  small: number[],
  large: number[],
  kernel: number[],
  options: Options,
  visit: (o: number, i: number, k: number) => void,
): void {
  const axis = (a: number): Meeting[] => {
    const dims = [options.stride ?? 1, options.padding ?? 0, options.dilation ?? 1] as const;
    const [s, p, d] = dims.map((v, q) => (typeof v === "number" ? v : three(v, q === 1 ? 0 : 1)[a]));
    // A leading axis of size 1 has one tap, which padding must not move.
    return meetings(small[a], large[a], kernel[a], s, large[a] === 1 && kernel[a] === 1 && small[a] === 1 ? 0 : p, d);
  };
  const [ds, hs, ws] = [axis(0), axis(1), axis(2)];
  for (const d of ds) {
    for (const h of hs) {
      for (const w of ws) {
        visit(
          (d.o * small[1] + h.o) * small[2] + w.o,
          (d.i * large[1] + h.i) * large[2] + w.i,
          (d.k * kernel[1] + h.k) * kernel[2] + w.k,
        );
      }
    }
  }
}

const product = (values: readonly number[]): number => values.reduce((a, b) => a * b, 1);

/** y = conv(x, w) + b. x [N, C, ...], w [out, C / groups, ...], b [out]. */
export function conv(x: NdArray, w: NdArray, b: NdArray | null, options: Options = {}): NdArray {
  const { groups = 1 } = options;
  const dims = x.shape.length - 2;
  const [stride, padding, dilation] = [options.stride ?? 1, options.padding ?? 0, options.dilation ?? 1].map((v) =>
    perAxis(v, dims),
  );
  const size = x.shape
    .slice(2)
    .map((n, a) => Math.floor((n + 2 * padding[a] - dilation[a] * (w.shape[2 + a] - 1) - 1) / stride[a]) + 1);
  const [cin, cout] = [w.shape[1], w.shape[0] / groups];
  const y = array([x.shape[0], w.shape[0], ...size]);
  const [S, I, K] = [size, x.shape.slice(2), w.shape.slice(2)].map(product);
  for (let n = 0; n < x.shape[0]; n++) {
    for (let co = 0; co < w.shape[0]; co++) {
      const out = (n * w.shape[0] + co) * S;
      if (b) y.data.fill(b.data[co], out, out + S);
      for (let c = 0; c < cin; c++) {
        const from = (n * x.shape[1] + Math.floor(co / cout) * cin + c) * I;
        const taps = (co * cin + c) * K;
        visitAll(three(size, 1), three(x.shape.slice(2), 1), three(w.shape.slice(2), 1), options, (o, i, k) => {
          y.data[out + o] += x.data[from + i] * w.data[taps + k];
        });
      }
    }
  }
  return y;
}

/**
 * Every input element adds its value times the kernel to the output. x [N, C, ...], w [C, out / groups, ...], b [out].
 */
export function convTranspose(x: NdArray, w: NdArray, b: NdArray | null, options: Options = {}): NdArray {
  const { groups = 1 } = options;
  const dims = x.shape.length - 2;
  const all = [options.stride ?? 1, options.padding ?? 0, options.dilation ?? 1, options.outputPadding ?? 0];
  const [stride, padding, dilation, extra] = all.map((v) => perAxis(v, dims));
  const size = x.shape
    .slice(2)
    .map((n, a) => (n - 1) * stride[a] - 2 * padding[a] + dilation[a] * (w.shape[2 + a] - 1) + extra[a] + 1);
  const [cin, cout] = [x.shape[1] / groups, w.shape[1]];
  const y = array([x.shape[0], cout * groups, ...size]);
  const [S, I, K] = [size, x.shape.slice(2), w.shape.slice(2)].map(product);
  for (let n = 0; n < x.shape[0]; n++) {
    for (let co = 0; co < cout * groups; co++) {
      const out = (n * cout * groups + co) * S;
      if (b) y.data.fill(b.data[co], out, out + S);
      for (let c = 0; c < cin; c++) {
        const ci = Math.floor(co / cout) * cin + c;
        visitAll(three(x.shape.slice(2), 1), three(size, 1), three(w.shape.slice(2), 1), options, (i, o, k) => {
          y.data[out + o] += x.data[(n * x.shape[1] + ci) * I + i] * w.data[(ci * cout + (co % cout)) * K + k];
        });
      }
    }
  }
  return y;
}
