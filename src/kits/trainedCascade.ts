// The networks of a run folder, for prediction.

import { join } from "node:path";
import { DataError } from "../errors.ts";
import { loadWeights } from "./checkpointFile.ts";
import { stageNames, type RunOptions, type StageName } from "./options.ts";
import { loadFacts } from "./run.ts";
import type { CascadeWeights } from "./segment.ts";
import type { NetworkWeights } from "./trainedNetwork.ts";
import { isTrained } from "./trainingState.ts";

/** A run whose networks can predict. */
export interface TrainedCascade {
  readonly options: RunOptions;
  readonly weights: CascadeWeights;
  /** Networks that are still to be trained. */
  readonly left: readonly StageName[];
}

/**
 * Settings and best weights of the run in a folder; `judged`: with the discriminators, which tell confidence. Throws
 * DataError if there is no run, none of its networks is trained, or a file is damaged.
 */
export async function loadCascade(folder: string, judged: boolean): Promise<TrainedCascade> {
  const { options, trained = {} } = await loadFacts(folder);
  const needed = stageNames.filter((name) => name !== "coarse" || options.roi.from === "coarse");
  const weights: Partial<Record<StageName, NetworkWeights | "absent">> = {};
  for (const name of needed) {
    if (trained[name] === "absent") weights[name] = "absent";
    else if (isTrained(folder, name))
      weights[name] = await loadWeights(folder, name, judged && hasDiscriminators(options, name));
  }
  const left = needed.filter((name) => !weights[name]);
  if (left.length > 0 && !weights.coarse)
    throw new DataError(
      `${join(folder, "checkpoints")}: the ${left[0]} network must be trained, found no weights; train:kits --out ${folder} --stages ${left.join(",")} makes them`,
    );
  return { options, weights, left };
}

function hasDiscriminators(options: RunOptions, stage: StageName): boolean {
  return stage !== "coarse" && options[stage].discriminators !== "none";
}
