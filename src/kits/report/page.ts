// The page itself: its sections in order, and what a reader needs to read each.

import type { Ablation } from "../ablation.ts";
import type { CaseMetrics } from "../evaluate.ts";
import { regionNames } from "../metrics.ts";
import { confidenceColors, labelColors, type Rgb } from "../overlay.ts";
import { describeData } from "../run.ts";
import type { EpochLog } from "../train.ts";
import { DENSITY_CASES } from "../violin.ts";
import { bestEpoch, type Plot } from "./curves.ts";
import { duration, facts, html, Html, number, table, type Content } from "./html.ts";
import type { RunFiles } from "./read.ts";
import {
  ablationTable,
  caseDice,
  caseTable,
  COARSE,
  meanTable,
  scoredModels,
  sliceTable,
  worstFirst,
} from "./scores.ts";
import { settingsTables } from "./settings.ts";
import { style } from "./style.ts";

/** A heading of the grid and the cases under it. */
export interface CaseGroup {
  title: string;
  cases: CaseMetrics[];
}

/** What the page shows beside the files of the run. */
export interface PageParts {
  caveats: readonly string[];
  groups: readonly CaseGroup[];
  /** Pictures of the cases in `groups`, by case. */
  pictures: ReadonlyMap<string, Html>;
  scores: readonly Plot[];
  /** Plots by stage. */
  curves: ReadonlyMap<string, readonly Plot[]>;
}

type Section = readonly [id: string, title: string, content: Html];

/** The whole of report.html. */
export function page(run: RunFiles, { caveats, groups, pictures, scores, curves }: PageParts): Html {
  const title = `Kidney and kidney tumor segmentation: ${run.facts.preset}`;
  const warnings = [...run.log].flatMap(([stage, lines]) => warningsOf(stage, lines));
  const sections: Section[] = [
    ["scores", "Scores per case", scoreSection(run)],
    ["violins", "Distribution over cases", violinSection(scores)],
    ["cases", "Test cases, worst first", caseSection(run, groups, pictures)],
    ["slices", "Scores per slice: another unit", sliceSection(run)],
  ];
  if (run.ablation) sections.push(["ablation", "Ablation", ablationSection(run.ablation)]);
  if (curves.size > 0) {
    sections.push(["training", "Training", trainingSection(run, curves)]);
    sections.push(["warnings", "Warnings", warningSection(warnings)]);
  }
  sections.push(["settings", "Run and settings", factSection(run)]);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="sub">${count(run.metrics.cases.length, "test case")}, scored in 3-D by the rules of the KiTS challenge.
Run of ${date(run.facts.started)}, wgrad ${run.facts.wgrad}.</p>
${dataBox(run, caveats, warnings.length)}
<nav>${sections.map(([id, name]) => html`<a href="#${id}">${name}</a>`)}</nav>
${sections.map(([id, name, content]) => html`<section id="${id}"><h2>${name}</h2>${content}</section>`)}
</main>
</body>
</html>
`;
}

function read(text: Content): Html {
  return html`<p class="read"><b>How to read.</b> ${text}</p>`;
}

function dataBox({ facts: run }: RunFiles, caveats: readonly string[], warnings: number): Html {
  return html`<section class="data">
<p><b>Data:</b> ${describeData(run.data)}. Licence: ${run.data.license}.</p>
${run.status === "failed" ? html`<p><b>This run failed:</b> ${run.error}</p>` : ""}
<ul>${caveats.map((line) => html`<li>${line}</li>`)}
${warnings > 0 ? html`<li><a href="#warnings">${count(warnings, "warning")}</a> in training.</li>` : ""}</ul>
</section>`;
}

function scoreSection({ metrics, model, coarse }: RunFiles): Html {
  const models = scoredModels(model, metrics, coarse);
  const { tolerances } = metrics;
  const tolerance = tolerances
    ? `within ${regionNames.map((name) => `${tolerances[name].toFixed(2)} mm for ${name}`).join(", ")}`
    : "not measured here";
  return html`<h3>Means over ${count(metrics.cases.length, "case")}</h3>
${meanTable(models)}
${read(html`One case, one vote; ± is the standard deviation over cases. Surface Dice is the share of both surfaces that
agree (${tolerance}). HD95, the 95th percentile of the distance between the surfaces, is defined only where neither
mask is empty (n cases). Volume error is the mean of |prediction − reference|, bias the mean with its sign: + is too
much. Dice, surface Dice and Jaccard: higher is better, at most 1; HD95 and volume error: lower.`)}
<h3>Every case, worst first by mean Dice of the three regions</h3>
${caseTable(models)}
<p class="note">Volume error: prediction − reference. The same numbers with all digits: <code>metrics.json</code>,
<code>evaluation.csv</code> (the challenge's format), <code>evaluation_more.csv</code>.</p>`;
}

function violinSection(plots: readonly Plot[]): Html {
  return html`${plotRow(plots)}
${read(html`Each dot is a case. The white point is the median, the dark box spans the quartiles, the thin line the cases
within 1.5 times the box's height of it; dots beyond the line are outliers. The body's width is the density of the
cases (Gaussian kernel, Scott's bandwidth, each body scaled to the same width, cut at the lowest and highest case); it
is drawn from ${DENSITY_CASES} cases on. After Figure 3 of the MSALDS-UNet paper.`)}`;
}

function caseSection(run: RunFiles, groups: readonly CaseGroup[], pictures: ReadonlyMap<string, Html>): Html {
  const coarse = new Map(run.coarse?.cases.map((one) => [one.id, one]));
  const rank = new Map(worstFirst(run.metrics.cases).map(({ id }, i) => [id, i + 1]));
  const total = run.metrics.cases.length;
  const shown = groups.reduce((sum, { cases }) => sum + cases.length, 0);
  const heading = (one: CaseMetrics): Html => {
    const alone = coarse.get(one.id);
    const mean = `mean Dice ${shortScore(caseDice(one))}${alone ? ` (${COARSE} ${shortScore(caseDice(alone))})` : ""}`;
    const scores = regionNames.map((name) => `${name} ${shortScore(one[name].dice)}`).join(", ");
    return html`<h3>${one.id} <span class="small">${rank.get(one.id)} of ${total}, ${mean}: ${scores}</span></h3>`;
  };
  const group = ({ title, cases }: CaseGroup): Content => [
    title === "" ? "" : html`<h3 class="group">${title}</h3>`,
    cases.map(
      (one) => html`<div class="case">${heading(one)}
${pictures.get(one.id)}</div>`,
    ),
  ];
  return html`${colorLegend(run.confidence.length > 0)}
${read(html`Fill is the label, voxel by voxel. The light outline in the prediction is the reference: fill outside it is
too much, no fill inside it is missed. ${run.confidence.length > 0 ? aboutConfidence : ""} Shown are ${shown} of
${count(total, "case")}, up to two slices each; <code>overlays/</code> has one slice of every case. After Figure 4 of
the MSALDS-UNet paper.`)}
${groups.map(group)}`;
}

const aboutConfidence = `Confidence is what the discriminator of full resolution makes of image and prediction, 1 where
it takes the prediction for a label: low values mark what it finds suspicious. White there is the outline of the
prediction; the darkened CT around is outside the region of interest, where that stage did not look. The map is that of
the masses stage where a slice has masses, else of the kidney stage.`;

function colorLegend(confidence: boolean): Html {
  const css = (color: Rgb): string => `rgb(${color.join(",")})`;
  const swatch = (label: number, name: string): Html =>
    html`<span><i style="background:${css(labelColors[label])}"></i>${name}</span>`;
  const gradient = `linear-gradient(90deg,${confidenceColors.map(css).join(",")})`;
  const ramp = html`<i class="ramp" style="background:${gradient}"></i>`;
  return html`<div class="legend">${swatch(1, "kidney")}${swatch(2, "tumor")}${swatch(3, "cyst")}
${confidence ? html`<span>confidence 0 ${ramp} 1</span>` : ""}</div>`;
}

function sliceSection({ metrics, model, coarse }: RunFiles): Html {
  return html`${sliceTable(scoredModels(model, metrics, coarse))}
<p class="note">Not comparable with the scores per case: every slice in which reference or prediction has the region
counts the same, whatever its area, so small end slices weigh as much as large ones.</p>`;
}

function ablationSection(ablation: Ablation): Html {
  return html`${ablationTable(ablation)}
${read(`Each row is a variant of the method, trained and tested on the same split; means over cases in 3-D, the best of
a column in bold. Images are training slices, over all networks of a variant.`)}
<ul>${ablation.notes.map((note) => html`<li>${note}</li>`)}</ul>`;
}

function trainingSection({ log, facts: run }: RunFiles, curves: PageParts["curves"]): Html {
  const head = html`<tr><th class="name">stage</th><th>epochs</th><th>best epoch</th><th>its validation loss</th>
<th>images/s</th><th>training</th><th>parameters</th><th>of discriminators</th></tr>`;
  const rows = [...log].map(([stage, lines]) => {
    const best = bestEpoch(lines);
    const seconds = sum(lines, (l) => l.seconds);
    const images = sum(lines, (l) => l.imagesPerSecond * l.seconds);
    const planned = lines.at(-1)?.epochs ?? lines.length;
    const result = run.trained?.[stage];
    const parameters = result === "absent" ? undefined : result?.parameters;
    const epochs = `${lines.length}${lines.length < planned ? ` of ${planned}` : ""}`;
    return html`<tr><td class="name">${stage}</td><td>${epochs}</td>
<td>${best?.epoch ?? "–"}</td><td>${number(best?.validationLoss, 4)}</td><td>${number(images / seconds, 1)}</td>
<td>${duration(seconds)}</td><td>${whole(parameters?.network)}</td><td>${whole(parameters?.discriminators)}</td></tr>`;
  });
  const absent = Object.entries(run.trained ?? {}).filter(([, result]) => result === "absent");
  return html`${table(head, rows)}
${absent.map(([stage]) => html`<p class="note">${stage}: not trained, no training case shows what it looks for.</p>`)}
${read(html`Validation loss chooses the epoch whose weights are used (dotted line). Validation Dice is over the pixels
of the network's own input, a guide and not a score. Where a stage has discriminators, one per scale: confidence is
their mean output on labels and on predictions, and they are at balance where both are 0.5 and half of the pixels are
told right (dotted); labels near 1 and predictions near 0 mean that they have won. Lambda is the mean weight of a pixel
in the cross entropy: 0 where a discriminator is convinced, 2 where it is not at all, 0.75 at balance with the paper's
exponent 2 (dotted). Scales: full is the network's own resolution.`)}
${[...curves].map(
  ([stage, plots]) => html`<h3>${stage}</h3>
${plotRow(plots)}`,
)}`;
}

function plotRow(plots: readonly Plot[]): Html {
  return html`<div class="plots">${plots.map(({ svg }) => html`<div>${new Html(svg)}</div>`)}</div>`;
}

/** One line per text, with the epochs in which it was given. */
function warningsOf(stage: string, lines: readonly EpochLog[]): string[] {
  const epochs = new Map<string, number[]>();
  for (const { epoch, warnings = [] } of lines) {
    for (const text of warnings) epochs.set(text, [...(epochs.get(text) ?? []), epoch]);
  }
  return [...epochs].map(
    ([text, all]) => `${stage}, ${all.length > 1 ? "epochs" : "epoch"} ${all.join(", ")}: ${text}`,
  );
}

const WARNINGS = 40;

function warningSection(warnings: readonly string[]): Html {
  if (warnings.length === 0) return html`<p>None were given in training.</p>`;
  const rest = warnings.length - WARNINGS;
  return html`<ul class="warnings">${warnings.slice(0, WARNINGS).map((text) => html`<li>${text}</li>`)}</ul>
${rest > 0 ? html`<p class="note">And ${rest} more in <code>log.jsonl</code>.</p>` : ""}`;
}

function factSection({ facts: run, split }: RunFiles): Html {
  const { name, driver, software } = run.adapter;
  const seconds = Object.entries(run.seconds ?? {});
  return html`${facts([
    ["preset", run.preset],
    ["started", date(run.started)],
    ["wgrad", run.wgrad],
    ["Node", run.node],
    ["adapter", `${name} (${driver})${software ? ", a software adapter" : ""}`],
    ["split by case", `${split.train.length} train, ${split.val.length} validation, ${split.test.length} test`],
    split.origin
      ? ["split from", `fold ${split.origin.fold} of ${split.origin.file}`]
      : ["seed of the split", split.seed],
    ["data", run.data.root],
    ["hash of the slices", run.data.key],
    ...seconds.map(([stage, s]) => [`time: ${stage}`, duration(s)] as const),
  ])}
<h3>Cases</h3>
${(["train", "val", "test"] as const).map((part) => html`<p class="note"><b>${part}</b> ${split[part].join(", ")}</p>`)}
<h3>Settings</h3>
${settingsTables(run.options)}`;
}

function shortScore(value: number | null | undefined): string {
  return typeof value === "number" && Number.isFinite(value) ? value.toFixed(3) : "–";
}

function date(iso: string): string {
  return `${iso.slice(0, 16).replace("T", " ")} UTC`;
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

function whole(value: unknown): string {
  return typeof value === "number" ? value.toLocaleString("en") : "–";
}

function sum(lines: readonly EpochLog[], value: (line: EpochLog) => number): number {
  return lines.reduce((total, line) => total + value(line), 0);
}
