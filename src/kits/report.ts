// What a run leaves for people to read: report.html and plots/. They are made from the files of the run folder and the
// volumes of the test cases alone, so they can be made again at any time and are then the same.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { writeFileAtomic } from "./atomic.ts";
import { openDataset } from "./datasets/open.ts";
import { datasets } from "./datasets/registry.ts";
import type { CaseMetrics, Metrics } from "./evaluate.ts";
import { testsOnValidation } from "./folds.ts";
import { regionNames } from "./metrics.ts";
import { settingRule } from "./options.ts";
import { svgFile } from "./plots.ts";
import { stageCurves, violins, type Plot } from "./report/curves.ts";
import type { Html } from "./report/html.ts";
import { page, type CaseGroup } from "./report/page.ts";
import { casePictures, type CaseSources } from "./report/pictures.ts";
import { readRun, type RunFiles } from "./report/read.ts";
import { scoredModels, worstFirst } from "./report/scores.ts";
import { flatten } from "./report/settings.ts";
import type { RunFacts } from "./run.ts";
import { windowRange } from "./slices.ts";

export { writeOverlays } from "./report/pictures.ts";

/** What the report's page shows. */
export interface ReportOptions {
  /** Where CT and reference of the cases lie, such as a slice cache; default the data folder that run.json names. */
  sources?: CaseSources;
  /** Cases on the page: the worst, those about the median, the best; default 12, 4 and 4. All, if there are no more. */
  cases?: { worst: number; median: number; best: number };
  /** Width of a panel on the page in pixels; default 300. */
  panel?: number;
}

/**
 * Writes report.html and plots/*.svg in a run folder: from its run.json, metrics.json and predictions/, and from
 * splits.json, log.jsonl, ablation.json, stages/coarse/metrics.json and stages/STAGE/confidence/ where they are. The
 * page holds all that it shows: no script, no network. Returns its path.
 * Throws DataError if a file that is needed is missing or damaged.
 */
export async function writeReport(folder: string, options: ReportOptions = {}): Promise<string> {
  const run = await readRun(folder);
  const sources = options.sources ?? (await dataSources(run.facts));
  const groups = chooseCases(worstFirst(run.metrics.cases), options.cases ?? { worst: 12, median: 4, best: 4 });
  const shown = { panel: options.panel ?? 300, window: windowOf(run.facts) };
  const pictures = new Map<string, Html>();
  for (const { id } of groups.flatMap(({ cases }) => cases)) {
    pictures.set(id, await casePictures(folder, sources, id, shown));
  }
  const scores = await violins(scoredModels(run.model, run.metrics, run.coarse));
  const curves = new Map<string, Plot[]>();
  for (const [stage, lines] of run.log) curves.set(stage, await stageCurves(stage, lines));
  await mkdir(join(folder, "plots"), { recursive: true });
  for (const { name, svg } of [...scores, ...[...curves.values()].flat()]) {
    await writeFileAtomic(join(folder, "plots", `${name}.svg`), svgFile(svg));
  }
  const path = join(folder, "report.html");
  const parts = { caveats: caveats(run.facts, run.metrics, coarseRole(run)), groups, pictures, scores, curves };
  await writeFileAtomic(path, page(run, parts).text);
  return path;
}

/** HU that the networks of a run saw as black and white; undefined, for the usual ones, where run.json does not say. */
function windowOf({ options: { window, level } }: RunFacts): [low: number, high: number] | undefined {
  const known = !settingRule("window")!(window) && !settingRule("level")!(level);
  return known ? windowRange({ window, level }) : undefined;
}

/** The volumes in the data folder of a run. */
async function dataSources({ data }: RunFacts): Promise<CaseSources> {
  const name = datasets.find(({ title }) => title === data.title)?.name;
  const { cases } = await openDataset(data.root, { name });
  const byId = new Map(cases.map((one) => [one.id, one]));
  return {
    caseById(id) {
      const found = byId.get(id);
      if (!found)
        throw new DataError(`${data.root}: must hold ${id}, which the run was scored on; give its folder back`);
      return found;
    },
  };
}

/**
 * What a reader must know beside the scores of this run. `coarse`: whether scores of the coarse network stand beside
 * those of `metrics`, or `metrics` is of the coarse network alone.
 */
export function caveats(run: RunFacts, metrics: Metrics, coarse: "none" | "beside" | "alone" = "none"): string[] {
  const lines: string[] = [];
  const { cases } = metrics;
  if (run.data.synthetic) lines.push("The data are synthetic: these scores say nothing about patients.");
  if (run.split.overfit)
    lines.push(
      "Overfit check: training and test cases are the same; the score shows that the network can learn, not how it does on new patients.",
    );
  if (testsOnValidation(run.split))
    lines.push(
      "The scored cases are the validation cases of a fold, by which the checkpoints were chosen: as in a cross-validation, a little better than on new patients.",
    );
  if (cases.length < 10)
    lines.push(`Few test cases (${cases.length}): a mean over them can change much with the next ones.`);
  if (coarse !== "none")
    lines.push(
      `The coarse network has no class for cysts: its masses are written with the tumor label, so ${
        coarse === "alone" ? "its tumor scores compare" : 'the tumor row of "coarse alone" compares'
      } masses with tumors.`,
    );
  const absent = regionNames.filter((name) => cases.every((c) => c[name].reference === 0));
  if (absent.length > 0)
    lines.push(
      `No case has ${absent.join(" or ")} in its reference; by the KiTS rule a prediction without any scores 1 there.`,
    );
  const settings = new Map(flatten(run.options, ""));
  const kept = Number(settings.get("keepLargest") ?? 0);
  const joined = settings.get("coarseMasks") === "join";
  const which = joined ? `${kept} components of which the coarse network found most` : `${kept} largest components`;
  if (kept > 0) lines.push(`Predictions keep the ${which}.`);
  if (settings.get("tumorRule") === "lesions") lines.push("A mass in which any tumor is found is tumor as a whole.");
  return lines;
}

/** Whose scores those of the run are, for the caveats. */
function coarseRole({ model, coarse }: RunFiles): "none" | "beside" | "alone" {
  if (model === "coarse network") return "alone";
  return coarse ? "beside" : "none";
}

function chooseCases(
  ordered: CaseMetrics[],
  { worst, median, best }: NonNullable<ReportOptions["cases"]>,
): CaseGroup[] {
  if (ordered.length <= worst + median + best) return [{ title: "", cases: ordered }];
  const last = ordered.length - best;
  const middle = Math.max(worst, Math.min(last - median, Math.round((ordered.length - median) / 2)));
  return [
    { title: `The ${worst} worst`, cases: ordered.slice(0, worst) },
    { title: `${median} about the median`, cases: ordered.slice(middle, middle + median) },
    { title: `The ${best} best`, cases: ordered.slice(last) },
  ].filter(({ cases }) => cases.length > 0);
}
