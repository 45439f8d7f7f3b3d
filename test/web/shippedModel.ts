// The networks that come with the kidney viewer, used in Node.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadWeights } from "../../src/kits/checkpointFile.ts";
import { countLabels, dice, kitsRegions } from "../../src/kits/metrics.ts";
import type { RunOptions } from "../../src/kits/options.ts";
import { segment, type Scan } from "../../src/kits/segment.ts";
import { stageNames } from "../../src/kits/stages.ts";

const model = join(import.meta.dirname, "../../examples/kidney-viewer/model");

/** Labels of a scan by the shipped networks. */
export async function segmentShipped(scan: Scan): Promise<Uint8Array> {
  const { options } = JSON.parse(readFileSync(join(model, "run.json"), "utf8")) as { options: RunOptions };
  const weights = stageNames.map(async (name) => [name, await loadWeights(model, name, false)] as const);
  return (await segment(scan, options, Object.fromEntries(await Promise.all(weights)))).labels;
}

/** Dice of kidneys with their masses. */
export function kidneyDice(reference: Uint8Array, prediction: Uint8Array): number {
  return dice(countLabels(reference, prediction, kitsRegions.kidney));
}
