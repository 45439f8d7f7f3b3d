// From the three masks of the cascade to KiTS labels.

import { ShapeError } from "../errors.ts";
import { connectedComponents } from "./postprocess.ts";

/** Masks of zeros and ones on one grid: kidney with its masses, masses, tumor. */
export interface Masks {
  kidney: Uint8Array;
  masses: Uint8Array;
  tumor: Uint8Array;
}

/**
 * Labels of the masks: 2 where tumor lies in the masses, 3 (cyst) in the rest of the masses, 1 in the rest of the
 * kidney, 0 elsewhere. A mass outside the kidney mask stays, a tumor outside the masses goes. Writes to `out`, a new
 * array if left out. Throws ShapeError if the sizes differ.
 * Source: Zheng et al., section 2.1: three binary problems, and the cyst as what the tumor leaves of the masses.
 */
export function composeLabels(
  { kidney, masses, tumor }: Masks,
  out = new Uint8Array(kidney.length),
): Uint8Array<ArrayBufferLike> {
  if (masses.length !== kidney.length || tumor.length !== kidney.length || out.length !== kidney.length) {
    throw new ShapeError(
      `composeLabels: kidney, masses, tumor and out must have one size, found ${kidney.length}, ${masses.length}, ${tumor.length} and ${out.length}`,
    );
  }
  for (let i = 0; i < out.length; i++) out[i] = masses[i] ? (tumor[i] ? 2 : 3) : kidney[i] ? 1 : 0;
  return out;
}

/** Makes every connected mass (labels 2 and 3) with a voxel of tumor (2) in it tumor as a whole. `labels`: [D, H, W]. */
export function wholeLesions(labels: Uint8Array, shape: readonly number[]): void {
  const { runStart, runLength, runComponent } = connectedComponents(labels, shape, { labels: [2, 3] });
  const runs = Array.from(runStart, (start, i) => labels.subarray(start, start + runLength[i]));
  const tumors = new Set(runs.flatMap((run, i) => (run.includes(2) ? [runComponent[i]] : [])));
  runs.forEach((run, i) => tumors.has(runComponent[i]) && run.fill(2));
}
