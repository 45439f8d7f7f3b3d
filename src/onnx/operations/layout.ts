// Operations that only move elements.

import { OptionError } from "../../errors.ts";
import { FREE, fixed, type Call, type Emit, type Graph } from "../graph.ts";

/** Element i of axis `axis` becomes element indices[i]. */
export function gatherAxis(g: Graph, x: string, axis: number, indices: readonly number[]): string {
  return g.node("Gather", [x, g.ints(indices)], { axis });
}

const reshape: Emit = (g, { op, inputs: [x], shape }) => {
  if (shape.filter((n) => n === FREE).length > 1) fixed(op, shape);
  return g.node("Reshape", [x, g.ints(shape)]); // -1 is ONNX's name of the size that is left, too
};

/** Dimensions that stay are 1 in the shape that Expand takes. */
const broadcastTo: Emit = (g, { op, inputs: [x], shapes: [from], shape }) => {
  const lead = shape.length - from!.length;
  const target = shape.map((n, d) => (d >= lead && from![d - lead] === n ? 1 : n));
  return g.node("Expand", [x, g.ints(fixed(op, target))]);
};

const BEFORE_FIRST = -(2 ** 31); // any position below -size

const flip: Emit = (g, { inputs: [x], settings }) => {
  const dims = settings.dims as number[];
  const all = (value: number) => g.ints(dims.map(() => value));
  return g.node("Slice", [x, all(-1), all(BEFORE_FIRST), g.ints(dims), all(-1)]);
};

interface Cut {
  readonly start: number;
  readonly step: number;
  readonly size: number;
}

const slice: Emit = (g, { inputs: [x], settings }) => {
  const cuts = (settings.cuts as (Cut | null)[]).flatMap((cut, d) => (cut ? [{ ...cut, d }] : []));
  const list = (pick: (cut: Cut & { d: number }) => number) => g.ints(cuts.map(pick));
  const ends = list(({ start, step, size }) => start + (size - 1) * step + 1);
  return g.node("Slice", [x, list((c) => c.start), ends, list((c) => c.d), list((c) => c.step)]);
};

const MODES: Readonly<Record<string, string>> = { constant: "constant", reflect: "reflect", replicate: "edge" };

const pad: Emit = (g, call) => {
  const { mode, value } = call.settings as { mode: string; value: number };
  const rims = call.settings.rims as [number, number][];
  if (mode === "circular") return wrap(g, call, rims);
  if (call.dtype !== "f32") throw new OptionError(`exportOnnx: pad is exported for f32, got ${call.dtype}`);
  const amounts = g.ints([...rims.map(([before]) => before), ...rims.map(([, after]) => after)]);
  return g.node("Pad", [call.inputs[0], amounts, mode === "constant" ? g.full(value) : null], { mode: MODES[mode] });
};

/** The operator set has no circular padding: the elements by their positions. */
function wrap(g: Graph, { op, inputs, shapes }: Call, rims: readonly [number, number][]): string {
  return rims.reduce((x, [before, after], d) => {
    if (before === 0 && after === 0) return x;
    const [n] = fixed(op, [shapes[0]![d]]);
    return gatherAxis(
      g,
      x,
      d,
      Array.from({ length: before + n + after }, (_, i) => (i - before + n) % n),
    );
  }, inputs[0]!);
}

export const layout: Readonly<Record<string, Emit>> = {
  reshape,
  permute: (g, { inputs, settings }) => g.node("Transpose", inputs, { perm: settings.order as number[] }),
  broadcastTo,
  flip,
  concat: (g, { inputs, settings }) => g.node("Concat", inputs, { axis: settings.dim as number }),
  slice,
  pad,
};
