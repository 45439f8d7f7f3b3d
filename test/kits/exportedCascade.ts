// A cascade by its exported files alone: every step that the JSON states, in plain loops with its numbers, and the networks
// by onnxruntime. Nothing of src/ takes part. Steps that are not known here are errors.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runOnnx } from "../onnx/parity.ts";

type Shape = readonly number[];
/** Results by stage: labels or masks, [S, H, W]. */
type Results = Record<string, Uint8Array>;
/** A step as JSON.parse gives it. */
type Step = ReturnType<typeof JSON.parse>;
/** In shares of the slice. */
export interface Square {
  readonly y: number;
  readonly x: number;
  readonly side: number;
}
type Box = readonly [y0: number, y1: number, x0: number, x1: number];

export interface ByJson {
  readonly labels: Uint8Array;
  /** Results of the networks before the cascade's own steps. */
  readonly results: Results;
  /** Regions of the networks' slices; null where one is left out. */
  readonly squares: Readonly<Record<string, (Square | null)[]>>;
  /** By which rules of emptySlices regions were found. */
  readonly rules: ReadonlySet<string>;
}

/** Labels of a scan [S, H, W] in HU, that was read and oriented as the steps say. */
export async function labelsByJson(folder: string, scan: Int16Array, shape: Shape): Promise<ByJson> {
  const read = (name: string): Step => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const cascade = read("cascade.json");
  const [results, rules]: [Results, Set<string>] = [{}, new Set()];
  const squares: Record<string, (Square | null)[]> = {};
  for (const { stage, file } of cascade.networks) {
    const spec = read(file);
    const region = spec.preprocessing.find(({ step }: Step) => step === "region");
    squares[stage] = squaresOf(region ?? { from: "whole slices" }, results, shape, rules);
    results[stage] = await resultOf(folder, spec, scan, shape, squares[stage]);
  }
  return { labels: composed(cascade.postprocessing, results, shape), results, squares, rules };
}

/** The result of one network. */
async function resultOf(
  folder: string,
  spec: Step,
  scan: Int16Array,
  shape: Shape,
  squares: readonly (Square | null)[],
): Promise<Uint8Array> {
  const [S, H, W] = shape;
  let images = Array.from({ length: S }, (_, s) => Array.from(scan.subarray(s * H * W, (s + 1) * H * W)));
  for (const step of spec.preprocessing)
    if (step.step === "clip") images = each(images, (v) => Math.min(step.high, Math.max(step.low, v)));
    else if (step.step === "resize") images = images.map((image) => resized(image, [H, W], step.size));
    else if (step.step === "window") images = each(images, (v) => Math.round(step.to[1] * share(v, step.from)));
    else if (step.step === "crop") images = images.map((image, s) => cropped(image, squares[s], step.size));
    else if (step.step === "scale") images = each(images, (v) => v / step.divideBy);
    else if (!["read", "orient", "region"].includes(step.step)) throw new Error(`unknown step ${step.step}`);
  const shown = images.filter((_, s) => squares[s]);
  const found = shown.length > 0 ? await probabilitiesOf(folder, spec, shown) : [];
  const outputs = squares.map((square) => (square ? found.shift()! : null));
  return labelled(spec, outputs, squares, shape);
}

/** From probabilities to the stage's result. */
function labelled(
  { output, postprocessing }: Step,
  outputs: readonly (Float32Array | null)[],
  squares: readonly (Square | null)[],
  shape: Shape,
): Uint8Array {
  const [S, H, W] = shape;
  const n: number = output.shape[2];
  const classes: number[] = output.classes.map((_: string, c: number) => c);
  const planes = (c: number) => outputs.map((plane) => plane && plane.subarray(c * n * n, (c + 1) * n * n));
  /** A class's values at the pixels of all slices, `outside` where nothing is known. */
  const pasted = (c: number, outside = 0): number[] => {
    const plane = planes(c);
    return Array.from({ length: S * H * W }, (_, i) => {
      const [s, y, x] = [Math.floor(i / (H * W)), ((Math.floor(i / W) % H) + 0.5) / H, ((i % W) + 0.5) / W];
      const square = squares[s];
      const inside = square && within(y, square.y, square.side) && within(x, square.x, square.side);
      return inside ? bilinear(plane[s]!, n, (y - square.y) / square.side, (x - square.x) / square.side) : outside;
    });
  };
  let [values, channel]: [number[][], number] = [[], 0];
  let labels = new Uint8Array(S * H * W);
  for (const step of postprocessing)
    if (step.step === "resize") values = classes.map((c) => pasted(c));
    else if (step.step === "argmax") labels = labels.map((_, i) => likeliest(values.map((plane) => plane[i])));
    else if (step.step === "select") channel = step.channel;
    else if (step.step === "paste") values = [pasted(channel, step.outside)];
    else if (step.step === "threshold") labels = labels.map((_, i) => Number(values[0][i] >= step.atLeast));
    else if (step.step === "keep largest") keepLargest(labels, shape, step, {});
    else if (step.step !== "restore") throw new Error(`unknown step ${step.step}`);
  return labels;
}

/** The steps of cascade.json. */
function composed(steps: readonly Step[], results: Results, shape: Shape): Uint8Array {
  const masks: Results = Object.fromEntries(Object.entries(results).map(([stage, mask]) => [stage, mask.slice()]));
  const labels = new Uint8Array(shape[0] * shape[1] * shape[2]);
  for (const step of steps)
    if (step.step === "join")
      for (const [stage, known] of Object.entries<number[]>(step.masks))
        results[step.with].forEach((label, i) => known.includes(label) && (masks[stage][i] = 1));
    else if (step.step === "compose")
      for (const { label, in: inside, outside } of step.labels)
        labels.forEach((_, i) => {
          const has = (stage: string) => masks[stage][i] === 1;
          if (inside.every(has) && !outside.some(has)) labels[i] = label;
        });
    else if (step.step === "keep largest") keepLargest(labels, shape, step, results);
    else if (step.step === "whole lesions")
      for (const lesion of components(labels, shape, (v) => step.of.includes(v))) {
        if (lesion.some((i) => labels[i] === step.with)) lesion.forEach((i) => (labels[i] = step.become));
      }
    else if (step.step !== "restore") throw new Error(`unknown step ${step.step}`);
  return labels;
}

function keepLargest(labels: Uint8Array, shape: Shape, { components: keep, rank }: Step, results: Results): void {
  const sizes = (found: number[]): number[] =>
    rank.map((by: string) => (by === "voxels" ? found.length : found.filter((i) => results[by][i] > 0).length));
  const all = components(labels, shape, (v) => v > 0).map((found) => ({ found, by: sizes(found) }));
  all.sort((a, b) => b.by.map((size, k) => size - a.by[k]).find((difference) => difference !== 0) ?? 0);
  for (const { found } of all.slice(keep)) found.forEach((i) => (labels[i] = 0));
}

/** Connected components, those that share a corner too: voxels of each, in the order in which they are met. */
function components(labels: Uint8Array, [S, H, W]: Shape, inside: (label: number) => boolean): number[][] {
  const seen = new Uint8Array(labels.length);
  const found: number[][] = [];
  const around = [-1, 0, 1];
  for (let start = 0; start < labels.length; start++) {
    if (seen[start] || !inside(labels[start])) continue;
    const voxels = [start];
    seen[start] = 1;
    for (const i of voxels) {
      const [s, y, x] = [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W];
      for (const z of around)
        for (const v of around)
          for (const h of around) {
            const j = ((s + z) * H + y + v) * W + x + h;
            const there = s + z >= 0 && s + z < S && y + v >= 0 && y + v < H && x + h >= 0 && x + h < W;
            if (!there || seen[j] || !inside(labels[j])) continue;
            seen[j] = 1;
            voxels.push(j);
          }
    }
    found.push(voxels);
  }
  return found;
}

/** The square of each slice; null where it is left out. */
function squaresOf(step: Step, results: Results, [S, H, W]: Shape, rules: Set<string>): (Square | null)[] {
  const whole = { y: 0, x: 0, side: 1 };
  if (step.from === "whole slices") return Array.from({ length: S }, () => whole);
  const inside = (labels: number[]) =>
    results[step.from].map((label, i) => {
      const joined = step.joined && step.joined.labels.includes(results[step.joined.stage][i]);
      return Number(joined || labels.includes(label));
    });
  const boxesOf = (labels: number[]): (Box | null)[] => {
    const mask = inside(labels);
    const least = Math.round(step.minArea * H * W);
    return Array.from({ length: S }, (_, s) => {
      const all = components(mask.subarray(s * H * W, (s + 1) * H * W), [1, H, W], (v) => v > 0);
      const pixels = all.filter((one) => one.length >= least).flat();
      const [ys, xs] = [pixels.map((i) => Math.floor(i / W)), pixels.map((i) => i % W)];
      return pixels.length > 0 ? [Math.min(...ys), Math.max(...ys) + 1, Math.min(...xs), Math.max(...xs) + 1] : null;
    });
  };
  const square = ([y0, y1, x0, x1]: Box): Square => {
    const side = Math.max((y1 - y0) / H, (x1 - x0) / W) + 2 * step.margin;
    return { y: (y0 + y1) / (2 * H) - side / 2, x: (x0 + x1) / (2 * W) - side / 2, side };
  };
  const own = boxesOf(step.labels);
  return own.map((box, s) => {
    if (box) return square(box);
    if (step.emptySlices === "left out") return rules.add("left out") && null;
    for (const rule of step.emptySlices) {
      const boxes = rule.labels ? boxesOf(rule.labels) : own;
      const reach: number = { slice: 0, neighbours: rule.slices, case: S }[rule.union as string];
      const found = rule.region ? null : union(boxes.slice(Math.max(0, s - reach), s + reach + 1));
      if (found || rule.region) rules.add(`${step.labels}: ${rule.region ?? rule.union} ${rule.labels ?? ""}`.trim());
      if (found) return square(found);
      if (rule.region === "whole slice") return whole;
    }
    throw new Error("no rule fits a slice");
  });
}

function union(boxes: readonly (Box | null)[]): Box | null {
  const all = boxes.filter((box) => box !== null);
  const over = (k: number, pick: (...values: number[]) => number) => pick(...all.map((box) => box[k]));
  return all.length > 0 ? [over(0, Math.min), over(1, Math.max), over(2, Math.min), over(3, Math.max)] : null;
}

async function probabilitiesOf(folder: string, spec: Step, images: readonly number[][]): Promise<Float32Array[]> {
  const { name, shape } = spec.input;
  const inputs = { shape: [images.length, ...shape.slice(1)], dtype: "f32", data: Float32Array.from(images.flat()) };
  const found = await runOnnx(readFileSync(join(folder, spec.file)), { [name]: { ...inputs, dtype: "f32" } });
  const data = found[spec.output.name].data as Float32Array;
  const length = data.length / images.length;
  return images.map((_, i) => data.subarray(i * length, (i + 1) * length));
}

const each = (images: readonly number[][], change: (value: number) => number) => images.map((one) => one.map(change));
const share = (value: number, [low, high]: readonly number[]) => (value - low) / (high - low);
const within = (at: number, start: number, side: number) => at >= start && at < start + side;
const likeliest = (values: readonly number[]) => values.indexOf(Math.max(...values));

const resized = (image: number[], [h, w]: Shape, [H, W]: Shape) =>
  filtered(image, triangle(h, H, true), triangle(w, W, true));

/** The square of a square slice; what is left out stays as it is. */
function cropped(image: number[], square: Square | null, [n]: Shape): number[] {
  if (!square) return image;
  const source = Math.sqrt(image.length);
  const along = (start: number) => triangle(source, n, false, start, square.side);
  return filtered(image, along(square.y), along(square.x));
}

/** Triangle filter along one axis: [m][n] weights of the n pixels for the m that cover [start, start + side) of them. */
function triangle(n: number, m: number, insideOnly: boolean, start = 0, side = 1): number[][] {
  const reach = Math.max(1, (side * n) / m);
  return Array.from({ length: m }, (_, o) => {
    const centre = (start + ((o + 0.5) / m) * side) * n;
    const weight = (i: number) => Math.max(0, 1 - Math.abs(i + 0.5 - centre) / reach);
    const row = Array.from({ length: n }, (__, i) => weight(i));
    const around = Array.from({ length: 5 * n }, (__, i) => weight(i - 2 * n));
    const total = (insideOnly ? row : around).reduce((a, b) => a + b, 0);
    return row.map((w) => w / total);
  });
}

/** rows x image x columns^T. image: [h, w]. */
function filtered(image: ArrayLike<number>, rows: number[][], columns: number[][]): number[] {
  const w = columns[0].length;
  const narrow = rows[0].map((_, y) => columns.map((c) => c.reduce((sum, v, x) => sum + v * image[y * w + x], 0)));
  return rows.flatMap((r) => columns.map((_, x) => r.reduce((sum, v, y) => sum + v * narrow[y][x], 0)));
}

/** One bilinear sample of a plane [n, n] at (y, x) in shares of it, between pixel centres; its edges repeat. */
function bilinear(plane: ArrayLike<number>, n: number, y: number, x: number): number {
  const taps = (at: number): [number, number, number] => {
    const p = Math.min(n - 1, Math.max(0, at * n - 0.5));
    return [Math.floor(p), Math.min(n - 1, Math.floor(p) + 1), p - Math.floor(p)];
  };
  const [[top, bottom, v], [left, right, h]] = [taps(y), taps(x)];
  const row = (r: number) => plane[r * n + left] * (1 - h) + plane[r * n + right] * h;
  return row(top) * (1 - v) + row(bottom) * v;
}
