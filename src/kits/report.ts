// What a run leaves for people to read: report.md and overlay pictures of the test cases.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "./atomic.ts";
import type { SliceCache } from "./cache.ts";
import { formatMetrics, type Metrics } from "./evaluate.ts";
import { regionNames } from "./metrics.ts";
import { readImage, readLabels } from "./nifti.ts";
import { contactSheet, encodePng, overlaySlice, pickSlices, sliceOf, type OverlayCase } from "./overlay.ts";
import { describeData, type RunFacts } from "./run.ts";
import type { TrainResult } from "./train.ts";

const SHEET_CASES = 12;

/** Writes overlays/case_XXXXX.png (its largest slice) per case, and overlays.png with the first twelve cases. */
export async function writeOverlays(folder: string, cache: SliceCache, ids: readonly string[]): Promise<void> {
  await mkdir(join(folder, "overlays"), { recursive: true });
  for (const id of ids) {
    const one = await loadCase(folder, cache, id);
    const { largest } = pickSlices(one.reference.data, one.prediction.data, one.reference.shape);
    await writeFileAtomic(join(folder, "overlays", `${id}.png`), encodePng(overlaySlice(sliceOf(one, largest))));
  }
  const shown = ids.slice(0, SHEET_CASES);
  const sheet = await contactSheet(
    (async function* () {
      for (const id of shown) yield loadCase(folder, cache, id);
    })(),
  );
  await writeFileAtomic(join(folder, "overlays.png"), encodePng(sheet));
}

async function loadCase(folder: string, cache: SliceCache, id: string): Promise<OverlayCase> {
  const source = cache.caseById(id);
  const image = await readImage(source.image);
  const { shape } = image.header;
  const reference = source.label ? (await readLabels(source.label)).data : new Uint8Array(image.data.length);
  const prediction = (await readLabels(join(folder, "predictions", `${id}.nii.gz`))).data;
  return {
    id,
    image: { data: image.data, shape },
    reference: { data: reference, shape },
    prediction: { data: prediction, shape },
  };
}

/** Writes report.md: what was run on which data, the scores, the losses. */
export async function writeReport(
  folder: string,
  facts: RunFacts,
  metrics: Metrics,
  trained: TrainResult,
): Promise<void> {
  await writeFileAtomic(join(folder, "report.md"), reportText(facts, metrics, trained));
}

/** What a reader must know beside the scores of this run. */
export function caveats({ data, split, options }: RunFacts, metrics: Metrics): string[] {
  const lines: string[] = [];
  if (data.synthetic) lines.push("The data are synthetic: these scores say nothing about patients.");
  if (split.overfit)
    lines.push(
      "Overfit check: training and test cases are the same; the score shows that the network can learn, not how it does on new patients.",
    );
  lines.push(
    "The coarse network has no class for cysts: its masses are written with the tumor label, so its tumor scores compare masses with tumors.",
  );
  const absent = regionNames.filter((name) => metrics.cases.every((c) => c[name].reference === 0));
  if (absent.length > 0)
    lines.push(
      `No case has ${absent.join(" or ")} in its reference; by the KiTS rule a prediction without any scores 1 there.`,
    );
  if (options.keepLargest > 0) lines.push(`Predictions keep the ${options.keepLargest} largest components.`);
  return lines;
}

function reportText(facts: RunFacts, metrics: Metrics, trained: TrainResult): string {
  const { options, adapter, split } = facts;
  const epochs = trained.epochs.map(
    (e) =>
      `| ${e.epoch} | ${e.lr.toExponential(2)} | ${e.trainLoss.toFixed(4)} | ${e.validationLoss.toFixed(4)} | ${e.validationDice.kidney.toFixed(3)} | ${e.validationDice.mass.toFixed(3)} | ${e.imagesPerSecond.toFixed(1)} |`,
  );
  const seconds = Object.entries(facts.seconds ?? {})
    .map(([stage, s]) => `${stage} ${s.toFixed(0)} s`)
    .join(", ");
  return `# Coarse kidney segmentation: ${facts.preset}

- **Data**: ${describeData(facts.data)} (licence: ${facts.data.license})
- **Split by case**: ${split.train.length} train, ${split.val.length} validation, ${split.test.length} test (seed ${split.seed})
- **Network**: ${options.model}, width ${options.width}, depth ${options.depth}, ${trained.parameters.toLocaleString("en")} parameters, ${options.size} x ${options.size} slices
- **Training**: ${options.epochs} epochs, batch ${options.batch}, Adam ${options.lr} (${options.schedule}), best epoch ${trained.best.epoch} by validation loss
- **Adapter**: ${adapter.name} (${adapter.driver})${adapter.software ? ", a software adapter" : ""}; ${seconds}

\`\`\`
${formatMetrics(metrics)}
\`\`\`

${caveats(facts, metrics)
  .map((line) => `> ${line}`)
  .join("\n>\n")}

![image, reference, prediction](overlays.png)

Each line is a test case: its slice of largest reference area, then the slice with most errors; image, reference, prediction. Kidney red,
mass (tumor or cyst) blue in predictions; tumor blue and cyst green in references; the light outline in a prediction is the reference.

| epoch | learning rate | train loss | validation loss | pixel Dice kidney | mass | images/s |
| --- | --- | --- | --- | --- | --- | --- |
${epochs.join("\n")}
`;
}
