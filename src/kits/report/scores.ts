// The tables of scores: means, single cases, slices, ablations.

import type { Ablation } from "../ablation.ts";
import type { CaseMetrics, Metrics } from "../evaluate.ts";
import { meanOf, regionNames, type RegionName, type RegionScore } from "../metrics.ts";
import { duration, html, number, table, type Content, type Html } from "./html.ts";
import type { ModelKind } from "./read.ts";

/** Scores of the same cases by one model. */
export interface Scored {
  name: string;
  metrics: Metrics;
}

/** What the coarse network is called beside a cascade. */
export const COARSE = "coarse alone";

/** The models of a run, the one that the run is about first. */
export function scoredModels(model: ModelKind, metrics: Metrics, coarse: Metrics | undefined): Scored[] {
  return [{ name: model, metrics }, ...(coarse ? [{ name: COARSE, metrics: coarse }] : [])];
}

const regionTitles: Readonly<Record<RegionName, string>> = {
  kidney: "kidney and masses",
  masses: "masses",
  tumor: "tumor",
};

type Value = number | null | undefined;

/** Prediction minus reference in millilitres. */
function volumeError({ predictionMl, referenceMl }: RegionScore): number {
  return predictionMl - referenceMl;
}

/** Mean of Dice over the three regions of a case; regions without a score are left out. */
export function caseDice(one: CaseMetrics): number {
  return meanOf(regionNames.map((name) => one[name].dice ?? NaN));
}

/** Cases by mean Dice of the three regions, worst first; equal ones by name. */
export function worstFirst(cases: readonly CaseMetrics[]): CaseMetrics[] {
  const key = (one: CaseMetrics): number => (Number.isNaN(caseDice(one)) ? 2 : caseDice(one));
  return [...cases].sort((a, b) => key(a) - key(b) || (a.id < b.id ? -1 : 1));
}

/** Means over cases: a row per region and model. */
export function meanTable(models: readonly Scored[]): Html {
  const head = html`<tr><th class="name">region</th>${models.length > 1 ? html`<th class="name">model</th>` : ""}
<th>Dice</th><th>surface Dice</th><th>Jaccard</th><th>HD95, mm</th><th>volume error, ml</th><th>bias, ml</th></tr>`;
  const rows = regionNames.flatMap((region) =>
    models.map(({ name, metrics }, k) => {
      const first =
        k === 0 ? html`<th class="name" rowspan="${models.length}" scope="rowgroup">${regionTitles[region]}</th>` : "";
      const kind = `${k > 0 ? "other" : ""}${k < models.length - 1 ? " open" : ""}`.trim();
      return html`<tr class="${kind}" data-region="${region}" data-model="${name}">${first}${
        models.length > 1 ? html`<td class="name">${name}</td>` : ""
      }${meanCells(metrics, region)}</tr>`;
    }),
  );
  return table(head, rows);
}

function meanCells({ mean, cases }: Metrics, region: RegionName): Content {
  const { dice, surfaceDice, jaccard, hd95, surfaceCases } = mean[region];
  const errors = cases.map((one) => volumeError(one[region]));
  const few = surfaceCases !== undefined && surfaceCases < cases.length;
  return [
    html`<td>${number(dice, 3)}${spread(cases.map((one) => one[region].dice))}</td>`,
    html`<td>${number(surfaceDice, 3)}${spread(cases.map((one) => one[region].surfaceDice))}</td>`,
    html`<td>${number(jaccard, 3)}${spread(cases.map((one) => one[region].jaccard))}</td>`,
    html`<td>${number(hd95, 1)}${few ? html` <span class="small">n = ${surfaceCases}</span>` : ""}</td>`,
    html`<td>${number(meanOf(errors.map(Math.abs)), 1)}</td>`,
    html`<td>${number(meanOf(errors), 1, true)}</td>`,
  ];
}

/** The standard deviation over cases, from two cases on. */
function spread(values: readonly Value[]): Content {
  const known = values.filter((v): v is number => typeof v === "number");
  if (known.length < 2) return "";
  const mean = meanOf(known);
  const deviation = Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (known.length - 1));
  return html` <span class="small">± ${deviation.toFixed(3)}</span>`;
}

const caseColumns: readonly [title: string, digits: number, sign: boolean, value: (score: RegionScore) => Value][] = [
  ["Dice", 3, false, (s) => s.dice],
  ["surface Dice", 3, false, (s) => s.surfaceDice],
  ["Jaccard", 3, false, (s) => s.jaccard],
  ["HD95, mm", 1, false, (s) => s.hd95],
  ["volume error, ml", 1, true, volumeError],
];

/** Every case, worst first: three rows per case, the models of a score side by side. */
export function caseTable(models: readonly Scored[]): Html {
  const two = models.length > 1;
  const rows = two ? 2 : 1;
  const head = html`<tr><th class="name" rowspan="${rows}">case</th><th class="name" rowspan="${rows}">region</th>
<th rowspan="${rows}">reference, ml</th>${caseColumns.map(
    ([title]) => html`<th class="${two ? "first group" : ""}" colspan="${models.length}">${title}</th>`,
  )}</tr>${two ? html`<tr>${caseColumns.map(() => models.map(({ name }, k) => modelHead(name, k)))}</tr>` : ""}`;
  const byId = models.map(({ metrics }) => new Map(metrics.cases.map((one) => [one.id, one])));
  const body = worstFirst(models[0].metrics.cases).map(({ id }) =>
    caseRows(
      id,
      byId.map((cases) => cases.get(id)),
    ),
  );
  return table(head, body, "dense");
}

function modelHead(name: string, k: number): Html {
  return html`<th class="${k === 0 ? "first" : "other"}">${name === COARSE ? "coarse" : name}</th>`;
}

/** The rows of one case; `scores`: by model, undefined where a model has no scores of it. */
function caseRows(id: string, scores: readonly (CaseMetrics | undefined)[]): Html[] {
  return regionNames.map((region, r) => {
    const name = r === 0 ? html`<th class="name" rowspan="${regionNames.length}" scope="rowgroup">${id}</th>` : "";
    const cells = caseColumns.map(([, digits, sign, value]) =>
      scores.map((one, k) => {
        const kind = k > 0 ? "other" : scores.length > 1 ? "first" : "";
        return html`<td class="${kind}">${number(one && value(one[region]), digits, sign)}</td>`;
      }),
    );
    const kind = r < regionNames.length - 1 ? "open" : "";
    return html`<tr class="${kind}" data-case="${id}" data-region="${region}">${name}<td class="name">${region}</td>
<td>${number(scores[0]?.[region].referenceMl, 1)}</td>${cells}</tr>`;
  });
}

/** Means over slices, which are another unit than cases. */
export function sliceTable(models: readonly Scored[]): Html {
  const head = html`<tr><th class="name">region</th><th class="name">model</th><th>Dice per slice</th>
<th>Jaccard per slice</th><th>slices</th></tr>`;
  const rows = regionNames.flatMap((region) =>
    models.map(({ name, metrics }, k) => {
      const { dice, jaccard, slices } = metrics.perSlice.mean[region];
      return html`<tr class="${k > 0 ? "other" : ""}" data-region="${region}" data-model="${name}">
<td class="name">${region}</td><td class="name">${name}</td>
<td>${number(dice, 3)}</td><td>${number(jaccard, 3)}</td><td>${number(slices, 0)}</td></tr>`;
    }),
  );
  return table(head, rows);
}

const ablationColumns = [
  ["Dice", "dice"],
  ["Jaccard", "jaccard"],
  ["surface Dice", "surfaceDice"],
] as const;

/** The paper's Table 2: variants of the method on the same cases, the best of a column in bold. */
export function ablationTable({ rows }: Ablation): Html {
  const best = (region: RegionName, key: "dice" | "jaccard" | "surfaceDice"): number =>
    rows.length < 2 ? NaN : Math.max(...rows.map(({ mean }) => mean[region][key] ?? -1));
  const head = html`<tr><th class="name" rowspan="2">variant</th><th rowspan="2">images</th>
<th rowspan="2">training</th><th rowspan="2">cases</th>${ablationColumns.map(
    ([title]) => html`<th class="first group" colspan="3">${title}</th>`,
  )}</tr>
<tr>${ablationColumns.map(() =>
    regionNames.map((region, k) => html`<th class="${k === 0 ? "first" : ""}">${region}</th>`),
  )}</tr>`;
  const body = rows.map(({ name, title, images, seconds, cases, mean }) => {
    const scores = ablationColumns.map(([, key]) =>
      regionNames.map((region, k) => {
        const value = mean[region][key];
        const kind = `${k === 0 ? "first " : ""}${value === best(region, key) ? "best" : ""}`.trim();
        return html`<td class="${kind}">${number(value, 3)}</td>`;
      }),
    );
    return html`<tr data-variant="${name}"><td class="name long">${title}</td><td>${number(images, 0)}</td>
<td>${duration(seconds)}</td><td>${number(cases, 0)}</td>${scores}</tr>`;
  });
  return table(head, body, "dense");
}
