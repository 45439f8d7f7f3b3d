// Losses and gradients that are not finite: what is said of them, and the batch that is kept for a look.
//
// The GPU takes no step with one (descent.ts) and says so among the step's terms, which training reads a step later in
// any case, so that nothing waits. To name the layer, the step is computed once more (probe.ts) with the weights of then:
// they are those of the step unless the one after it, which was under way, could be taken.

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { DeviceLostError, NonfiniteError } from "../errors.ts";
import { step as inStep } from "../index.ts";
import type { StateDict } from "../nn/index.ts";
import { hostTensors, type Batch } from "./batch.ts";
import { saveCheckpoint } from "./checkpointFile.ts";
import type { TrainJob } from "./train.ts";

/** What follows a loss or gradient that is not finite: the end, or the next step. */
export type OnNonfinite = "stop" | "skip";

/** Steps in a row that are not taken before training ends all the same. */
export const MAX_SKIPPED = 20;

/** Batches that are kept of one training. */
const KEPT = 20;

/** A batch that a loss or gradient is not finite on. */
export interface BadBatch {
  readonly batch: Batch;
  /** Its slices, as the cache counts them. */
  readonly slices: readonly number[];
  /** Where in the training: "step 3 in epoch 2", and in a file's name. */
  readonly at: string;
  readonly file: string;
  /** "loss is NaN". */
  readonly fault: string;
}

/**
 * What is not finite in what a step left (see Terms); null where all is well. With a loss scale a gradient that
 * overflows is no fault.
 */
export function faultOf(names: readonly string[], values: ArrayLike<number>, lossScaled: boolean): string | null {
  const bad = names.findIndex((_, i) => !Number.isFinite(values[i]));
  if (bad >= 0) return `${names[bad]} is ${values[bad]}`;
  return values[names.length] !== 0 && !lossScaled ? "a gradient is not finite" : null;
}

/** Keeps the batch of a step that is passed over. Returns the warning. */
export async function skipBatch(job: TrainJob, bad: BadBatch): Promise<string> {
  const saved = await saveBatch(job, bad, null);
  return `${describe(job, bad)}; it is passed over${saved ? `, its batch kept in ${saved}` : ""}`;
}

/** Keeps the batch, finds the layer by `inspect`, and throws NonfiniteError; `because` says why it is not passed over. */
export async function stopAt(
  job: TrainJob,
  bad: BadBatch,
  inspect: () => Promise<string | null>,
  because = "",
): Promise<never> {
  const first = await inspect().catch((error: Error) => {
    if (error instanceof DeviceLostError) throw error;
    return `not known (${error.message})`;
  });
  const saved = await saveBatch(job, bad, first);
  const layer = first ?? "not seen when it was computed again with the weights of a step later";
  const { precision } = job.options;
  const fixes = ["a smaller --lr", ...(precision === "f16" ? ["--precision f32"] : [])].join(" or ");
  const skip = job.onNonfinite === "stop" ? "--resume with --on-nonfinite skip passes over such steps; " : "";
  throw new NonfiniteError(
    `${describe(job, bad)}${because}. The first that is not finite: ${layer}. The batch is kept in ${saved}: look at its ` +
      `images and labels; use ${fixes}; ${skip}earlier checkpoints are kept`,
  );
}

function describe({ source }: TrainJob, { at, fault, slices }: BadBatch): string {
  const shown = placesOf(source.cache.index.cases, slices).map(({ id, slice }) => `${id} slice ${slice}`);
  return `${source.stage.name}: ${fault} in ${at} (${shown.join(", ")})`;
}

/** Which slice of which case each slice of the cache is, from 0. */
function placesOf(
  cases: TrainJob["source"]["cache"]["index"]["cases"],
  slices: readonly number[],
): { id: string; slice: number }[] {
  return slices.map((slice) => {
    const { id, first } = cases.find((c) => slice >= c.first && slice < c.first + c.slices)!;
    return { id, slice: slice - first };
  });
}

/** Writes nonfinite/<stage>-<file>.safetensors in the run folder and returns its path; null where enough are kept. */
async function saveBatch(job: TrainJob, bad: BadBatch, first: string | null): Promise<string | null> {
  const { source, folder, onNonfinite } = job;
  const stage = source.stage.name;
  const into = join(folder, "nonfinite");
  await mkdir(into, { recursive: true });
  const name = `${stage}-${bad.file}.safetensors`;
  const others = (await readdir(into)).filter((other) => other.startsWith(`${stage}-`) && other !== name);
  if (onNonfinite === "skip" && others.length >= KEPT) return null;
  const { images, labels } = await inStep(() => bad.batch.slices.tensors(hostTensors(bad.batch.inputs)));
  const tensors = {
    images: { shape: images.shape, dtype: "f32", data: await images.read() },
    labels: { shape: labels.shape, dtype: "i32", data: await labels.read() },
  } as StateDict;
  const cases = JSON.stringify(placesOf(source.cache.index.cases, bad.slices));
  await saveCheckpoint(join(into, name), tensors, { stage, at: bad.at, fault: bad.fault, first: first ?? "", cases });
  return join(into, name);
}
