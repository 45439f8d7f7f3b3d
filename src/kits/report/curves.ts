// The plots of a report: violins of the cases, and the curves of every stage's training.

import { regionNames, type RegionName } from "../metrics.ts";
import type { LinePlot, Series } from "../linePlot.ts";
import { drawSvg, lineSpec } from "../plots.ts";
import type { EpochLog } from "../train.ts";
import { violinSpec } from "../violin.ts";
import type { Scored } from "./scores.ts";

/** A plot of the report, and of plots/`name`.svg. */
export interface Plot {
  name: string;
  svg: string;
}

/** Violins of Dice and Jaccard per case, as in the paper's Figure 3. */
export async function violins(models: readonly Scored[]): Promise<Plot[]> {
  const kinds = [
    ["dice", "Dice (DSC)"],
    ["jaccard", "Jaccard (JC)"],
  ] as const;
  return Promise.all(
    kinds.map(async ([key, title]) => {
      const groups = regionNames.flatMap((region: RegionName) =>
        models.map(({ name, metrics }) => ({ region, model: name, scores: metrics.cases.map((c) => c[region][key]) })),
      );
      return {
        name: `violin-${key}`,
        svg: await drawSvg(violinSpec({ title: `${title} per case`, y: title, groups })),
      };
    }),
  );
}

/** The epoch with the smallest validation loss: the one whose weights are used. */
export function bestEpoch(lines: readonly EpochLog[]): EpochLog | undefined {
  const known = lines.filter(({ validationLoss }) => Number.isFinite(validationLoss));
  return known.length === 0 ? undefined : known.reduce((a, b) => (b.validationLoss < a.validationLoss ? b : a));
}

/** Curves of one stage as SVG, see stagePlots. */
export async function stageCurves(stage: string, lines: readonly EpochLog[]): Promise<Plot[]> {
  return Promise.all(
    stagePlots(stage, lines).map(async ([kind, plot]) => ({
      name: `${stage.replace(/[^\w-]/g, "_")}-${kind}`,
      svg: await drawSvg(lineSpec(plot)),
    })),
  );
}

/** Curves of one stage. A plot without a value, such as those of discriminators where there were none, is left out. */
export function stagePlots(stage: string, lines: readonly EpochLog[]): [kind: string, plot: LinePlot][] {
  const best = bestEpoch(lines);
  const mark = best && { x: best.epoch, text: `best: epoch ${best.epoch}` };
  const plots: [string, Omit<LinePlot, "x">][] = [
    ["loss", { title: `${stage}: loss`, y: "loss", mark, series: lossSeries(lines) }],
    [
      "dice",
      { title: `${stage}: validation Dice`, y: "Dice over pixels", range: [0, 1], mark, series: diceSeries(lines) },
    ],
    ["terms", { title: `${stage}: loss terms, full resolution`, y: "mean", series: termSeries(lines) }],
    [
      "confidence",
      {
        title: `${stage}: confidence`,
        y: "mean confidence",
        range: [0, 1],
        level: 0.5,
        series: confidenceSeries(lines),
      },
    ],
    [
      "difficulty",
      {
        title: `${stage}: difficulty`,
        y: "mean lambda",
        level: 0.75,
        series: scaleSeries(lines, "generator", "difficulty"),
      },
    ],
    [
      "accuracy",
      {
        title: `${stage}: discriminator accuracy`,
        y: "share of pixels",
        range: [0, 1],
        level: 0.5,
        series: scaleSeries(lines, "discriminator", "accuracy"),
      },
    ],
    [
      "discriminator",
      { title: `${stage}: discriminator loss`, y: "loss", series: scaleSeries(lines, "discriminator", "loss") },
    ],
  ];
  return plots
    .filter(([, { series }]) => series.some(({ points }) => points.some(({ y }) => Number.isFinite(y))))
    .map(([kind, plot]) => [kind, { ...plot, x: "epoch" }]);
}

type Reader = (line: EpochLog) => number | null | undefined;

function line(color: string, lines: readonly EpochLog[], read: Reader, style?: string): Series {
  return { color, style, points: lines.map((one) => ({ x: one.epoch, y: read(one) })) };
}

function lossSeries(lines: readonly EpochLog[]): Series[] {
  return [line("train", lines, (l) => l.trainLoss), line("validation", lines, (l) => l.validationLoss)];
}

function diceSeries(lines: readonly EpochLog[]): Series[] {
  const regions = [...new Set(lines.flatMap(({ validationDice = {} }) => Object.keys(validationDice)))];
  return regions.map((region) => line(region, lines, (l) => l.validationDice?.[region]));
}

function termSeries(lines: readonly EpochLog[]): Series[] {
  const terms = [
    ["Dice", "dice"],
    ["cross entropy", "crossEntropy"],
    ["adversarial", "adversarial"],
  ] as const;
  return terms
    .map(([title, key]) => line(title, lines, (l) => l.generator?.[0]?.[key]))
    .filter(({ points }) => points.some(({ y }) => Number.isFinite(y)));
}

/** Scale 0 is full resolution, scale 1 half of it. */
export function scaleName(scale: number): string {
  return scale === 0 ? "full" : `1/${2 ** scale}`;
}

function scaleSeries(
  lines: readonly EpochLog[],
  part: "generator" | "discriminator",
  key: string,
  style?: string,
): Series[] {
  const scales = Math.max(0, ...lines.map((l) => l[part]?.length ?? 0));
  return Array.from({ length: scales }, (_, k) => line(scaleName(k), lines, (l) => l[part]?.[k]?.[key], style)).filter(
    ({ points }) => points.some(({ y }) => Number.isFinite(y)),
  );
}

function confidenceSeries(lines: readonly EpochLog[]): Series[] {
  return [
    ...scaleSeries(lines, "discriminator", "confidenceLabel", "on labels"),
    ...scaleSeries(lines, "discriminator", "confidencePrediction", "on predictions"),
  ];
}
