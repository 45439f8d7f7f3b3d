// Plots: what is in the drawing, the statistics of the violins against their definition, and text that stays text.
import { parse, View } from "vega";
import { describe, expect, test } from "vitest";
import { drawSvg, lineSpec, svgFile } from "../../src/kits/plots.ts";
import { violinSpec, type ViolinGroup } from "../../src/kits/violin.ts";

async function dataOf(groups: ViolinGroup[], name: string): Promise<Record<string, number | string>[]> {
  const view = new View(parse(violinSpec({ title: "t", y: "Dice", groups })), { renderer: "none" });
  await view.runAsync();
  return view.data(name);
}

const group = (scores: ViolinGroup["scores"], region = "kidney", model = "cascade"): ViolinGroup => ({
  region,
  model,
  scores,
});

/** The usual quantile: linear between the closest ranks, as NumPy and R (type 7). */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

describe("violins", () => {
  const scores = [0.91, 0.95, 0.2, 0.93, 0.89, 0.97, 0.94, 0.9];

  test("median and quartiles are those of the cases; the line leaves outliers out", async () => {
    const [box] = await dataOf([group(scores)], "boxes");
    for (const [name, q] of [
      ["q1", 0.25],
      ["median", 0.5],
      ["q3", 0.75],
    ] as const) {
      expect(box[name]).toBeCloseTo(quantile(scores, q), 12);
    }
    expect([box.n, box.lo, box.hi]).toEqual([8, 0.89, 0.97]); // 0.2 is far below q1 - 1.5 (q3 - q1) = 0.825
  });

  test("groups do not mix, and values that are missing do not count", async () => {
    const boxes = await dataOf(
      [group([0.9, null, NaN, 0.8, undefined]), group([0.1, 0.3], "kidney", "coarse"), group([0.5], "tumor")],
      "boxes",
    );
    expect(boxes.map(({ region, model, n, median }) => [region, model, n, +(median as number).toFixed(9)])).toEqual([
      ["kidney", "cascade", 2, 0.85],
      ["kidney", "coarse", 2, 0.2],
      ["tumor", "cascade", 1, 0.5],
    ]);
    const centers = boxes.map(({ center }) => center as number);
    expect(centers[0]).toBeLessThan(0); // beside each other about 0, the kidney's place
    expect(centers[1]).toBe(-centers[0]);
  });

  test("the body is a density between the lowest and the highest case, widest where the cases are", async () => {
    const body = await dataOf([group(scores)], "bodies");
    const heights = body.map(({ score }) => score as number);
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(0.2);
    expect(Math.max(...heights)).toBeLessThanOrEqual(0.97);
    expect(heights.length).toBeGreaterThan(150); // of 250 steps from 0 to 1
    const widest = body.reduce((a, b) => ((b.density as number) > (a.density as number) ? b : a));
    expect(widest.score).toBeGreaterThan(0.88);
    expect((widest.right as number) - (widest.left as number)).toBeCloseTo(0.38, 9);
    // The bandwidth is Scott's: 1.06 min(deviation, IQR / 1.34) n^(-1/5); the density at 0.93 follows from it.
    const h = 1.06 * ((quantile(scores, 0.75) - quantile(scores, 0.25)) / 1.34) * scores.length ** -0.2;
    const at = body.reduce((a, b) =>
      Math.abs((b.score as number) - 0.93) < Math.abs((a.score as number) - 0.93) ? b : a,
    );
    const kernel = (v: number): number => Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI);
    const density = scores.reduce((sum, s) => sum + kernel(((at.score as number) - s) / h) / (h * scores.length), 0);
    expect(at.density).toBeCloseTo(density, 6);
  });

  test.each([
    ["too few cases for a density", [0.5, 0.6, 0.7]],
    ["one case", [0.5]],
    ["all the same", [1, 1, 1, 1, 1]],
  ])("%s: dots, no body", async (_, few) => {
    expect(await dataOf([group(few)], "bodies")).toEqual([]);
    expect((await dataOf([group(few)], "points")).length).toBe(few.length);
    const svg = await drawSvg(violinSpec({ title: "t", y: "Dice", groups: [group(few)] }));
    expect(svg).toContain(`n = ${few.length}`);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("no case at all is an empty plot", async () => {
    const svg = await drawSvg(violinSpec({ title: "t", y: "Dice", groups: [group([]), group([null], "tumor")] }));
    expect(svg).toContain("tumor");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe("lines", () => {
  const points = (ys: (number | null)[]) => ys.map((y, i) => ({ x: i + 1, y }));
  const plot = {
    title: "kidney: loss",
    x: "epoch",
    y: "loss",
    series: [
      { color: "train", points: points([1, 0.5, null, 0.25]) },
      { color: "validation", points: points([1, 0.6, 0.5, 0.7]) },
    ],
  };

  test("has a line per series, names, axes, and the mark", async () => {
    const svg = await drawSvg(lineSpec({ ...plot, mark: { x: 3, text: "best: epoch 3" } }));
    for (const text of ["kidney: loss", "epoch", "train", "validation", "best: epoch 3"]) expect(svg).toContain(text);
    const lines = [...svg.matchAll(/mark-line role-mark[^>]*><path d="([^"]*)"/g)].map(([, d]) => d);
    expect(lines.map((d) => d.match(/[ML]/g)?.length)).toEqual([3, 4]); // the missing value is left out
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("the range holds the level line; a given range is kept", () => {
    const range = (spec: ReturnType<typeof lineSpec>): unknown => {
      const view = new View(parse(spec), { renderer: "none" }).run();
      return (view as unknown as { scale(name: string): { domain(): number[] } }).scale("y").domain();
    };
    const [low, high] = range(lineSpec({ ...plot, level: 2 })) as number[];
    expect(low).toBeLessThanOrEqual(0.25);
    expect(high).toBeGreaterThanOrEqual(2);
    expect(range(lineSpec({ ...plot, range: [0, 1] }))).toEqual([0, 1]);
  });

  test("dash patterns get a legend of their own only if there are two", async () => {
    expect(lineSpec(plot).legends?.length).toBe(1);
    const styled = plot.series.map((series, i) => ({ ...series, style: ["on labels", "on predictions"][i] }));
    expect(await drawSvg(lineSpec({ ...plot, series: styled }))).toContain("on predictions");
  });

  test.each([
    ["one epoch", points([0.5])],
    ["none", []],
  ])("%s is drawn without a number that is none", async (_, few) => {
    const svg = await drawSvg(lineSpec({ ...plot, series: [{ color: "train", points: few }] }));
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("takes the page's colours, has no ids that could clash, and escapes names", async () => {
    const svg = await drawSvg(
      lineSpec({ ...plot, title: "<script>&", series: [{ color: '"<b>', points: points([1, 2]) }] }),
    );
    expect(svg).toContain('fill="currentColor"');
    expect(svg).not.toMatch(/\sid="/);
    expect(svg).not.toMatch(/<script|<b>/);
    expect(svg).toContain("&lt;script&gt;&amp;");
  });

  test("is the same text every time, and a file of its own with a colour and a background", async () => {
    const svg = await drawSvg(lineSpec(plot));
    expect(await drawSvg(lineSpec(plot))).toBe(svg);
    expect(svgFile(svg)).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<svg color="#\w+" style="background:#fff/);
  });
});
