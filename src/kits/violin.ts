// Violin plots of scores per case.

import type { Data, Mark, Spec } from "vega";
import { palette } from "./linePlot.ts";
import { isNumber, legendPlace, unique } from "./plots.ts";

/** Scores of one model in one region, one per case. */
export interface ViolinGroup {
  region: string;
  model: string;
  /** Values that are null or NaN are left out. */
  scores: readonly (number | null | undefined)[];
}

export interface ViolinPlot {
  title: string;
  y: string;
  groups: readonly ViolinGroup[];
}

/** Least number of cases for a density: with fewer it would be drawn from nothing. */
export const DENSITY_CASES = 4;
const HALF = 0.19; // half of a violin's greatest width; regions are 1 apart

/**
 * Violins as in the paper's Figure 3, with the cases as dots since test sets are small. Its data set "boxes" has n, q1,
 * median, q3, and the range lo to hi of the cases within 1.5 interquartile ranges of the box.
 */
export function violinSpec({ title, y, groups }: ViolinPlot): Spec {
  const regions = unique(groups.map(({ region }) => region));
  const models = unique(groups.map(({ model }) => model));
  const values = groups.flatMap(({ region, model, scores }) => {
    const center = regions.indexOf(region) + 0.46 * (models.indexOf(model) - (models.length - 1) / 2);
    const kept = scores.filter(isNumber);
    return kept.map((score, i) => ({ region, model, center, score, spread: spread(i), n: kept.length }));
  });
  return {
    description: `${title}: violins of the ${y} of each case`,
    width: 345,
    height: 230,
    padding: 5,
    title,
    data: violinData(values),
    scales: [
      { name: "x", type: "linear", domain: [-0.5, regions.length - 0.5], range: "width" },
      { name: "y", type: "linear", domain: [0, 1], range: "height" },
      { name: "model", type: "ordinal", domain: models, range: palette },
      { name: "region", type: "ordinal", domain: regions.map((_, i) => i), range: regions },
    ],
    axes: [
      { scale: "y", orient: "left", title: y, grid: true, tickCount: 5 },
      {
        scale: "x",
        orient: "bottom",
        ticks: false,
        values: regions.map((_, i) => i),
        labelPadding: 18,
        encode: { labels: { update: { text: { scale: "region", field: "value" } } } },
      },
    ],
    legends: models.length > 1 ? [{ fill: "model", symbolType: "square", ...legendPlace }] : [],
    marks: violinMarks(),
  };
}

function violinData(values: object[]): Data[] {
  const by = ["region", "model"];
  return [
    {
      name: "points",
      values,
      transform: [
        {
          type: "joinaggregate",
          groupby: by,
          fields: ["score", "score", "score"],
          ops: ["q1", "median", "q3"],
          as: ["q1", "median", "q3"],
        },
        { type: "joinaggregate", groupby: by, fields: ["score", "score"], ops: ["min", "max"], as: ["min", "max"] },
      ],
    },
    {
      name: "boxes",
      source: "points",
      transform: [
        { type: "filter", expr: "datum.score >= datum.q1 - 1.5 * (datum.q3 - datum.q1)" },
        { type: "filter", expr: "datum.score <= datum.q3 + 1.5 * (datum.q3 - datum.q1)" },
        {
          type: "aggregate",
          groupby: [...by, "center", "n", "q1", "median", "q3", "min", "max"],
          fields: ["score", "score"],
          ops: ["min", "max"],
          as: ["lo", "hi"],
        },
      ],
    },
    {
      name: "bodies",
      source: "points",
      transform: [
        { type: "filter", expr: `datum.n >= ${DENSITY_CASES} && datum.max > datum.min` },
        {
          type: "kde",
          groupby: [...by, "center", "min", "max"],
          field: "score",
          extent: [0, 1],
          steps: 250,
          as: ["score", "density"],
        },
        { type: "filter", expr: "datum.score >= datum.min && datum.score <= datum.max" },
        { type: "joinaggregate", groupby: by, fields: ["density"], ops: ["max"], as: ["peak"] },
        { type: "formula", as: "left", expr: `datum.center - ${HALF} * datum.density / datum.peak` },
        { type: "formula", as: "right", expr: `datum.center + ${HALF} * datum.density / datum.peak` },
      ],
    },
  ];
}

function violinMarks(): Mark[] {
  const color = { scale: "model", field: "model" };
  const center = { scale: "x", field: "center" };
  const at = (field: string) => ({ scale: "y", field });
  const line = { value: "currentColor" };
  return [
    {
      type: "group",
      from: { facet: { name: "body", data: "bodies", groupby: ["region", "model"] } },
      marks: [
        {
          type: "area",
          from: { data: "body" },
          encode: {
            enter: {
              orient: { value: "horizontal" },
              y: at("score"),
              x: { scale: "x", field: "left" },
              x2: { scale: "x", field: "right" },
              fill: color,
              fillOpacity: { value: 0.4 },
              stroke: color,
            },
          },
        },
      ],
    },
    {
      type: "symbol",
      from: { data: "points" },
      encode: {
        enter: {
          x: { scale: "x", signal: `datum.center + ${0.7 * HALF} * datum.spread` },
          y: at("score"),
          fill: color,
          fillOpacity: { value: 0.85 },
          size: { signal: "datum.n > 60 ? 8 : 22" },
        },
      },
    },
    {
      type: "rule",
      from: { data: "boxes" },
      encode: { enter: { x: center, y: at("lo"), y2: at("hi"), stroke: line } },
    },
    {
      type: "rect",
      from: { data: "boxes" },
      encode: {
        enter: {
          xc: center,
          width: { value: 7 },
          y: at("q3"),
          y2: at("q1"),
          fill: { value: "#16191d" },
          stroke: line,
          opacity: { signal: "datum.n > 1 ? 1 : 0" },
        },
      },
    },
    {
      type: "symbol",
      from: { data: "boxes" },
      encode: {
        enter: {
          x: center,
          y: at("median"),
          fill: { value: "#fff" },
          stroke: { value: "#16191d" },
          size: { value: 34 },
        },
      },
    },
    {
      type: "text",
      from: { data: "boxes" },
      encode: {
        enter: {
          x: center,
          y: { signal: "height", offset: 6 },
          text: { signal: "'n = ' + datum.n" },
          align: { value: "center" },
          baseline: { value: "top" },
          fill: line,
          fillOpacity: { value: 0.75 },
          fontSize: { value: 10 },
        },
      },
    },
  ];
}

/** Where dot `i` lies left or right of the centre, -1 to 1: multiples of the golden ratio fill it evenly. */
function spread(i: number): number {
  return 2 * ((0.5 + i * 0.6180339887498949) % 1) - 1;
}
