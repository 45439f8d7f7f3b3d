// Plots as SVG text, drawn by Vega without a browser; here lines over epochs, violins in violin.ts.
// Text, axes and grid take the colour of the page around them (currentColor), so a plot is readable on light and dark.

import { parse, View, type Config, type Mark, type Spec } from "vega";
import { dashes, palette, type LinePlot } from "./linePlot.ts";

const config: Config = {
  axis: {
    domainColor: "currentColor",
    domainOpacity: 0.5,
    gridColor: "currentColor",
    gridOpacity: 0.12,
    labelColor: "currentColor",
    labelFontSize: 11,
    tickColor: "currentColor",
    tickOpacity: 0.5,
    titleColor: "currentColor",
    titleFontSize: 11,
    titleFontWeight: "normal",
  },
  legend: {
    labelColor: "currentColor",
    labelFontSize: 11,
    titleColor: "currentColor",
    layout: { top: { direction: "vertical", anchor: "start", margin: 6 } },
  },
  title: { color: "currentColor", fontSize: 13, anchor: "start", offset: 8 },
};

/** A Vega specification as SVG text. The same specification gives the same text. */
export async function drawSvg(spec: Spec): Promise<string> {
  const view = new View(parse(spec, config), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** `svg` as a file of its own: dark on white, whatever opens it. */
export function svgFile(svg: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${svg.replace(
    "<svg ",
    '<svg color="#1c2126" style="background:#fff;font-family:sans-serif" ',
  )}\n`;
}

/** Lines over a common axis of whole numbers, such as epochs; few points are drawn as dots too. */
export function lineSpec({ title, x, y, series, range, mark, level }: LinePlot): Spec {
  const values = series.flatMap(({ color, style = "", points }, line) =>
    points.filter(({ y }) => isNumber(y)).map((point) => ({ line, color, style, ...point })),
  );
  const xs = values.map((v) => v.x);
  const [low, high] = xs.length > 0 ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
  const extra = level === undefined ? [] : [level];
  const styles = unique(series.map(({ style }) => style ?? ""));
  const dash = styles.map((_, i) => dashes[i % dashes.length]);
  const place = {
    x: { scale: "x", field: "x" },
    y: { scale: "y", field: "y" },
    stroke: { scale: "color", field: "color" },
  };
  return {
    description: `${title}: ${y} over ${x}`,
    width: 272,
    height: 165,
    padding: 5,
    title,
    data: [{ name: "points", values }],
    scales: [
      {
        name: "x",
        type: "linear",
        domain: low < high ? [low, high] : [low - 1, high + 1],
        range: "width",
        zero: false,
      },
      {
        name: "y",
        type: "linear",
        domain:
          values.length > 0 && !range ? { fields: [{ data: "points", field: "y" }, extra] } : [...(range ?? [0, 1])],
        range: "height",
        zero: false,
        nice: range === undefined,
      },
      { name: "color", type: "ordinal", domain: unique(series.map(({ color }) => color)), range: palette },
      { name: "dash", type: "ordinal", domain: styles, range: dash as unknown as string[] },
    ],
    axes: [
      { scale: "x", orient: "bottom", title: x, tickMinStep: 1, tickCount: 6, format: "d" },
      { scale: "y", orient: "left", title: y, grid: true, tickCount: 5 },
    ],
    legends: [
      { stroke: "color", symbolType: "stroke", symbolStrokeWidth: 2, ...legendPlace },
      ...(styles.length > 1
        ? [
            {
              strokeDash: "dash",
              symbolType: "stroke",
              symbolStrokeWidth: 2,
              symbolStrokeColor: "currentColor",
              ...legendPlace,
            },
          ]
        : []),
    ],
    marks: [
      ...(mark ? verticalLine(mark, (low + high) / 2) : []),
      ...(level === undefined ? [] : [horizontalLine(level)]),
      {
        type: "group",
        from: { facet: { name: "line", data: "points", groupby: ["line"] } },
        marks: [
          {
            type: "line",
            from: { data: "line" },
            encode: { enter: { ...place, strokeWidth: { value: 1.8 }, strokeDash: { scale: "dash", field: "style" } } },
          },
          ...(xs.length > 0 && high - low < 20
            ? [
                {
                  type: "symbol" as const,
                  from: { data: "line" },
                  encode: { enter: { ...place, fill: { scale: "color", field: "color" }, size: { value: 16 } } },
                },
              ]
            : []),
        ],
      },
    ],
  };
}

/** Where legends go: in a line above the plot. */
export const legendPlace = { orient: "top", direction: "horizontal", offset: 4, columnPadding: 8 } as const;

function verticalLine({ x, text }: { x: number; text: string }, middle: number): Mark[] {
  const at = { scale: "x", value: x };
  return [
    {
      type: "rule",
      encode: {
        enter: {
          x: at,
          y: { value: 0 },
          y2: { signal: "height" },
          stroke: { value: "currentColor" },
          strokeDash: { value: [2, 3] },
          opacity: { value: 0.7 },
        },
      },
    },
    {
      type: "text",
      encode: {
        enter: {
          x: { ...at, offset: x > middle ? -5 : 5 },
          y: { value: 4 },
          text: { value: text },
          align: { value: x > middle ? "right" : "left" },
          baseline: { value: "top" },
          fill: { value: "currentColor" },
          fontSize: { value: 11 },
        },
      },
    },
  ];
}

function horizontalLine(level: number): Mark {
  return {
    type: "rule",
    encode: {
      enter: {
        x: { value: 0 },
        x2: { signal: "width" },
        y: { scale: "y", value: level },
        stroke: { value: "currentColor" },
        strokeDash: { value: [1, 3] },
        opacity: { value: 0.8 },
      },
    },
  };
}

/** Whether a value can be drawn. */
export function isNumber(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

export function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
