// The steps of one epoch: batches go to the GPU while the terms of the step before are read, watched and added up.

import { collapseWarnings, meanTerms } from "./adversarialLog.ts";
import type { Batch, GpuSlices } from "./batch.ts";
import { isInterrupted, throwIfInterrupted } from "./interrupt.ts";
import type { Network } from "./network.ts";
import { faultOf, MAX_SKIPPED, skipBatch, stopAt, type BadBatch } from "./nonfinite.ts";
import type { Progress } from "./progress.ts";
import type { EpochLog, TrainJob } from "./train.ts";
import type { TrainingPosition } from "./trainingState.ts";
import type { TrainingWatch } from "./watch/runWatch.ts";

export interface EpochResult {
  loss: number;
  seconds: number;
  terms: Pick<EpochLog, "generator" | "discriminator" | "skipped" | "warnings">;
  /** How many of the last steps were not taken. */
  notTaken: number;
}

/** A step that is under way: its number, its batch, and its terms once they are read. */
interface Pending {
  readonly step: number;
  readonly batch: Batch;
  readonly values: Promise<ArrayLike<number>>;
}

/**
 * Trains on the `batches`, lists of slices, from `position` on; `save` hears now and then where it stands,
 * `watching` of each step. Throws as train() where a loss or gradient is not finite.
 */
export async function trainEpoch(
  network: Network,
  job: TrainJob,
  opened: GpuSlices,
  batches: readonly number[][],
  position: TrainingPosition,
  save: (position: TrainingPosition) => Promise<void>,
  progress: Progress,
  watching?: TrainingWatch,
): Promise<EpochResult> {
  network.setTraining(true);
  const { seed, options, checkpointSeconds } = job;
  const { epoch } = position;
  const started = performance.now();
  const elapsed = () => position.epochSeconds + (performance.now() - started) / 1000;
  let saved = started;
  let { names, notTaken } = position;
  let sums = [...position.sums];
  const skipped = [...position.skipped];
  const pending: Pending[] = [];
  let newest: ArrayLike<number> = [];

  /** Adds a step's terms; one that was not finite stops training or is passed over. */
  const watch = async ({ step, batch, values }: Pending): Promise<void> => {
    newest = await values;
    watching?.step(epoch, step, names, newest);
    const fault = faultOf(names, newest, network.lossScaled);
    notTaken = fault || newest[names.length] !== 0 ? notTaken + 1 : 0;
    if (!fault) sums = names.map((_, k) => (sums[k] ?? 0) + newest[k]);
    else skipped.push(step);
    if (!fault && notTaken < MAX_SKIPPED) return;
    const bad: BadBatch = {
      ...{ batch, slices: batches[step], fault: fault ?? "a gradient is not finite" },
      ...{ at: `step ${step + 1} in epoch ${epoch + 1}`, file: `${epoch + 1}-${step + 1}` },
    };
    const inspect = () => network.inspect(batch);
    if (job.onNonfinite === "stop" && fault) await stopAt(job, bad, inspect);
    if (notTaken >= MAX_SKIPPED) await stopAt(job, bad, inspect, `, the last of ${notTaken} in a row`);
    if (skipped.length === batches.length) await stopAt(job, bad, inspect, ", as in all of the epoch");
    progress.log(`warning: ${await skipBatch(job, bad)}`);
  };
  // Waits until at most `behind` steps are unread: the GPU goes on with them meanwhile.
  const settle = async (behind: number): Promise<void> => {
    while (pending.length > behind) await watch(pending.shift()!);
  };
  for (let i = position.step; i < batches.length; i++) {
    const drawing = { augment: options.augment, seed, epoch, place: i * options.batch };
    const batch = opened.batch(batches[i], drawing);
    const terms = await network.trainStep(batch);
    names = terms.names;
    const values = terms.values.read();
    values.catch(() => {}); // told where it is awaited: two may fail at once
    pending.push({ step: i, batch, values });
    await settle(i === position.step ? 0 : 1);
    progress.increment(batches[i].length, { loss: newest[0].toFixed(4), epoch: `${epoch + 1}/${options.epochs}` });
    const due = performance.now() - saved >= 1000 * checkpointSeconds && i + 1 < batches.length;
    if (!due && !isInterrupted()) continue;
    await settle(0);
    await save({ ...position, step: i + 1, names, sums, skipped, notTaken, epochSeconds: elapsed() });
    throwIfInterrupted();
    saved = performance.now();
  }
  await settle(0);
  const { loss, generator, discriminator } = meanTerms(names, [
    sums.map((sum) => sum / (batches.length - skipped.length)),
  ]);
  const warnings = [...skippedWarning(skipped, batches.length), ...collapseWarnings(generator, discriminator)];
  return {
    loss,
    seconds: elapsed(),
    terms: {
      ...(generator.length > 0 ? { generator } : {}),
      ...(discriminator.length > 0 ? { discriminator } : {}),
      ...(skipped.length > 0 ? { skipped: skipped.map((step) => step + 1) } : {}),
      ...(warnings.length > 0 ? { warnings } : {}),
    },
    notTaken,
  };
}

function skippedWarning({ length }: readonly number[], steps: number): string[] {
  return length === 0 ? [] : [`${length} of ${steps} steps were passed over: their loss or gradients were not finite`];
}
