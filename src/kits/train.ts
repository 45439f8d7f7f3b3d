// Trains one network: epochs of steps, a validation loss after each, the best and the periodic checkpoints. What a step
// does is the network's business; this loop draws the batches, watches the numbers and writes the files.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { compile, noGrad, tune, type PlanMemory, type Tensor } from "../index.ts";
import { loadStateDict, stateDict } from "../nn/index.ts";
import { firstNonfinite } from "../nn/probe.ts";
import type { ScaleTerms } from "./adversarialLog.ts";
import { hostTensors, uploadSlices, type GpuSlices } from "./batch.ts";
import { loadWeights, saveCheckpoint } from "./checkpointFile.ts";
import { countLabels, dice, type RegionCounts } from "./metrics.ts";
import type { ClassFrequencies, Network } from "./network.ts";
import { skipBatch, stopAt, type OnNonfinite } from "./nonfinite.ts";
import type { TrainOptions } from "./options.ts";
import { startProgress, type Progress, type ProgressMode } from "./progress.ts";
import { logLine, trimLog } from "./run.ts";
import { epochOrder, targetSlices, type SliceSource } from "./sample.ts";
import { trainEpoch } from "./trainEpoch.ts";
import { loadTrainingState, saveTrainingState, type TrainingPosition } from "./trainingState.ts";

/** One line of log.jsonl. Dice is over all validation pixels at the network's size: a guide, not a score. */
export interface EpochLog {
  stage: string;
  epoch: number;
  epochs: number;
  lr: number;
  trainLoss: number;
  validationLoss: number;
  validationDice: Record<string, number>;
  imagesPerSecond: number;
  seconds: number;
  /** Means over the epoch's steps, per scale from full resolution down. */
  generator?: ScaleTerms[];
  discriminator?: ScaleTerms[];
  /** Steps that were passed over, counted from 1: their loss or gradients were not finite. The means are of the others. */
  skipped?: number[];
  warnings?: string[];
}

/** What is known of a trained network; part of run.json. */
export interface TrainResult {
  best: { epoch: number; validationLoss: number };
  epochs: number;
  images: number;
  /** Seed of weights, sampling and augmentation. */
  seed: number;
  seconds: number;
  parameters: { network: number; discriminators: number };
}

export interface TrainJob {
  /** Slices to train on; its stage names the network. */
  readonly source: SliceSource;
  readonly train: readonly string[];
  readonly val: readonly string[];
  readonly options: TrainOptions;
  readonly seed: number;
  /** The run folder: log.jsonl and checkpoints/<stage>/ go there. */
  readonly folder: string;
  readonly mode: ProgressMode;
  /** Seconds for measuring kernels before training (see tune); 0: none. */
  readonly tune: number;
  /** Go on from the newest whole training state in the folder, where there is one. */
  readonly resume: boolean;
  /** Seconds of training between states within an epoch; one is kept at the end of each epoch anyway. */
  readonly checkpointSeconds: number;
  readonly onNonfinite: OnNonfinite;
}

/** Slices of the first epoch that the prior is counted in. */
const PRIOR_SLICES = 256;

/** Pixels of each class in the first training slices, as the network will see them. */
export async function classFrequencies({ source, train, options, seed }: TrainJob): Promise<ClassFrequencies> {
  const slices = source.slicesOf(train);
  const order = epochOrder(slices, targetSlices(source, slices), 0, { ...options, seed }).slice(0, PRIOR_SLICES);
  const opened = await uploadSlices(source, order, { resident: false });
  const labelsOf = compile((inputs: Record<string, Tensor>) => opened.tensors(inputs).labels);
  const counts = source.stage.classes.map(() => 0);
  for (let place = 0; place < order.length; place += options.batch) {
    const group = order.slice(place, place + options.batch);
    const { inputs } = opened.batch(group, { augment: options.augment, seed, epoch: 0, place });
    for (const c of await (await labelsOf(inputs)).read()) counts[c]++;
  }
  labelsOf.free();
  return counts;
}

/**
 * Trains `network` and writes log.jsonl and checkpoints/<stage>/ in the run folder: best.safetensors (smallest
 * validation loss), last.safetensors and epoch-NNNN.safetensors, beside each the discriminators, and training states to
 * resume from: training that was interrupted and resumed ends with the bytes of one that was not. The network ends with
 * the best weights. Throws NonfiniteError where a loss or gradient is not finite and `onNonfinite` is "stop", or there are
 * too many.
 */
export async function train(network: Network, job: TrainJob): Promise<TrainResult> {
  const { source, options, folder, mode } = job;
  const { name } = source.stage;
  const slices = source.slicesOf(job.train);
  const targets = targetSlices(source, slices);
  const validation = validationSlices(job);
  const order = (epoch: number) =>
    batchesOf(epochOrder(slices, targets, epoch, { ...options, seed: job.seed }), options.batch);
  const perEpoch = order(0).reduce((n, batch) => n + batch.length, 0);
  const checkpoints = join(folder, "checkpoints", name);
  await mkdir(checkpoints, { recursive: true });
  const warnings: string[] = [];
  const resumed = job.resume ? await loadTrainingState(checkpoints, jobText(job), (text) => warnings.push(text)) : null;
  if (!resumed && warnings.length > 0)
    throw new DataError(
      `${checkpoints}: no training state can be used: ${warnings.join("; ")}; train it again with --stages ${name}`,
    );
  let position: TrainingPosition = { ...START, ...resumed?.position };
  const started = performance.now();
  const earlier = position.seconds;
  const elapsed = () => earlier + (performance.now() - started) / 1000;
  const done = position.epoch * perEpoch + position.step * options.batch;
  const progress = startProgress({ label: `train ${name}`, total: options.epochs * perEpoch, start: done, mode });
  for (const text of warnings) progress.log(`warning: ${text}`);
  if (resumed) progress.log(`${name}: goes on after epoch ${position.epoch}, step ${position.step}`);
  await trimLog(folder, name, position.epoch);
  if (validation.length === 0)
    progress.log(
      `warning: ${name}: no validation slice can be shown to it, so the training loss chooses the checkpoint`,
    );
  network.setTraining(true);
  const opened = await uploadSlices(source, [...new Set([...slices, ...validation])]);
  const prepare = () => network.prepare(order(0)[0].length, opened);
  if (job.tune > 0) {
    await prepare();
    const { measured, changed, left } = await tune({ seconds: job.tune });
    network.free(); // to be traced with the kernels chosen
    const rest = left > 0 ? `; ${left} more did not fit into ${job.tune} s` : "";
    progress.log(`${name}: kernels measured for ${measured} of the shapes, ${changed} of them faster now${rest}`);
  }
  // Before the step is traced, which fixes the random numbers and the rate of the first step.
  if (resumed) network.loadState(resumed.network);
  network.setEpoch(position.epoch);
  progress.log(describeMemory(name, await prepare(), opened));
  const save = (at: TrainingPosition) => saveState(network, job, checkpoints, { ...at, seconds: elapsed() });
  try {
    for (let epoch = position.epoch; epoch < options.epochs; epoch++) {
      network.setEpoch(epoch);
      const trained = await trainEpoch(network, job, opened, order(epoch), position, save, progress);
      const checked =
        validation.length > 0
          ? await validate(network, job, opened, validation, epoch, progress)
          : { validationLoss: trained.loss, validationDice: {} };
      const log: EpochLog = {
        stage: name,
        epoch: epoch + 1,
        epochs: options.epochs,
        lr: network.lr,
        trainLoss: trained.loss,
        ...checked,
        imagesPerSecond: perEpoch / trained.seconds,
        seconds: trained.seconds,
        ...trained.terms,
      };
      const improved = !position.best || log.validationLoss < position.best.validationLoss;
      const best = improved ? { epoch: log.epoch, validationLoss: log.validationLoss } : position.best;
      await logLine(folder, log);
      progress.log(describeEpoch(log));
      for (const warning of log.warnings ?? []) progress.log(`warning: ${name}: ${warning}`);
      await saveCheckpoints(network, checkpoints, log, improved, options.checkpointEvery);
      position = { ...START, epoch: epoch + 1, best, notTaken: trained.notTaken };
      await save(position);
    }
  } finally {
    progress.stop();
    network.free();
  }
  await loadNetwork(network, folder, name);
  return {
    best: position.best!,
    epochs: options.epochs,
    images: options.epochs * perEpoch,
    seed: job.seed,
    seconds: elapsed(),
    parameters: network.parameterCounts,
  };
}

function describeMemory(stage: string, { planned, outside }: PlanMemory, { residentBytes }: GpuSlices): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const slices = residentBytes > 0 ? `, ${mib(residentBytes)} slices` : "; slices are uploaded batch by batch";
  return (
    `${stage}: a training step takes ${mib(planned + outside)} of GPU memory, ` +
    `${mib(outside - residentBytes)} of it weights and optimiser state${slices}`
  );
}

/** Full batches; a remainder is left out, since each batch size has its own pipelines, unless it is all there is. */
function batchesOf(order: readonly number[], batch: number): number[][] {
  const out: number[][] = [];
  for (let i = 0; i + batch <= order.length; i += batch) out.push(order.slice(i, i + batch));
  return out.length > 0 ? out : [order.slice()];
}

/** All validation slices, or that many: half with the target where there are enough, spread evenly over the cases. */
function validationSlices({ source, val, options: { validationSlices: limit } }: TrainJob): number[] {
  const all = source.slicesOf(val);
  if (limit === 0 || all.length <= limit) return all;
  const labelled = spread(targetSlices(source, all), Math.ceil(limit / 2));
  const rest = all.filter((s) => !labelled.includes(s));
  return [...labelled, ...spread(rest, limit - labelled.length)].sort((a, b) => a - b);
}

function spread(items: readonly number[], count: number): number[] {
  const n = Math.min(count, items.length);
  return Array.from({ length: n }, (_, i) => items[Math.floor(((i + 0.5) * items.length) / n)]);
}

/** Slices whose loss is not finite are left out with a warning where the job says "skip". */
async function validate(
  network: Network,
  job: TrainJob,
  opened: GpuSlices,
  slices: readonly number[],
  epoch: number,
  progress: Progress,
): Promise<Pick<EpochLog, "validationLoss" | "validationDice">> {
  network.setTraining(false);
  const { batch: batchSize } = job.options;
  const regions = Object.entries(job.source.stage.regions);
  const counts = regions.map((): RegionCounts => ({ intersection: 0, reference: 0, prediction: 0 }));
  const judgement = (inputs: Record<string, Tensor>) => {
    const { images, labels } = opened.tensors(inputs);
    const logits = network.model.forward(network.input(images));
    return { value: network.loss(logits, labels), classes: network.classes(logits), labels };
  };
  const judge = compile((inputs: Record<string, Tensor>) => noGrad(() => judgement(inputs)));
  let loss = 0;
  let judged = 0;
  for (let i = 0; i < slices.length; i += batchSize) {
    const shown = slices.slice(i, i + batchSize);
    const batch = opened.batch(shown);
    const { value, classes, labels } = await judge(batch.inputs);
    const [predicted, reference, mean] = await Promise.all([classes.read(), labels.read(), value.item()]);
    if (!Number.isFinite(mean)) {
      const k = 1 + i / batchSize;
      const bad = {
        ...{ batch, slices: shown, fault: `validation loss is ${mean}` },
        ...{ at: `batch ${k} after epoch ${epoch + 1}`, file: `${epoch + 1}-validation-${k}` },
      };
      const last = i + batchSize >= slices.length;
      if (job.onNonfinite === "skip" && (judged > 0 || !last)) {
        progress.log(`warning: ${await skipBatch(job, bad)}`);
        continue;
      }
      await stopAt(job, bad, () =>
        firstNonfinite({ "": network.model }, (probe) =>
          noGrad(() => probe.value("the loss", judgement(hostTensors(batch.inputs)).value)),
        ),
      );
    }
    loss += mean * batch.count;
    judged += batch.count;
    regions.forEach(([, classes], k) => addCounts(counts[k], countLabels(reference, predicted, classes)));
  }
  judge.free();
  return {
    validationLoss: loss / judged,
    validationDice: Object.fromEntries(regions.map(([name], k) => [name, dice(counts[k])])),
  };
}

function addCounts(sum: RegionCounts, more: RegionCounts): void {
  sum.intersection += more.intersection;
  sum.reference += more.reference;
  sum.prediction += more.prediction;
}

/** The start of a training. */
const START: TrainingPosition = {
  epoch: 0,
  step: 0,
  best: null,
  names: [],
  sums: [],
  skipped: [],
  notTaken: 0,
  seconds: 0,
  epochSeconds: 0,
};

/** All that a training's course depends on besides the slices, as text. */
function jobText({ source, train, val, options, seed }: TrainJob): string {
  return JSON.stringify({ stage: source.stage.name, train, val, options, seed });
}

async function saveState(network: Network, job: TrainJob, folder: string, position: TrainingPosition): Promise<void> {
  await saveTrainingState(folder, { network: await network.state(), position, job: jobText(job) });
}

async function saveCheckpoints(
  network: Network,
  folder: string,
  log: EpochLog,
  improved: boolean,
  every: number,
): Promise<void> {
  const metadata = { stage: log.stage, epoch: String(log.epoch), validationLoss: String(log.validationLoss) };
  const names = ["last"];
  if (log.epoch % every === 0) names.push(`epoch-${String(log.epoch).padStart(4, "0")}`);
  if (improved) names.push("best");
  const state = await stateDict(network.model);
  const discriminators = network.discriminators.length > 0 ? await stateDict(network.discriminators) : null;
  for (const name of names) {
    await saveCheckpoint(join(folder, `${name}.safetensors`), state, metadata);
    if (discriminators)
      await saveCheckpoint(join(folder, `${name}.discriminators.safetensors`), discriminators, metadata);
  }
}

/** Loads a stage's best weights of a run folder. Throws DataError if they are missing or of another network. */
export async function loadNetwork(network: Network, folder: string, stage: string): Promise<void> {
  const judged = network.discriminators.length > 0;
  const { model, discriminators } = await loadWeights(folder, stage, judged);
  loadStateDict(network.model, model);
  if (discriminators) loadStateDict(network.discriminators, discriminators);
}

function describeEpoch(log: EpochLog): string {
  const dices = Object.entries(log.validationDice).map(([name, value]) => `${name} ${value.toFixed(3)}`);
  const confidence = (log.discriminator ?? []).map(
    (d) => `${d.confidenceLabel.toFixed(2)}/${d.confidencePrediction.toFixed(2)}`,
  );
  return (
    `${log.stage} epoch ${log.epoch}/${log.epochs}  train loss ${log.trainLoss.toFixed(4)}  ` +
    `validation loss ${log.validationLoss.toFixed(4)}  pixel Dice ${dices.join(" ")}  ` +
    (confidence.length > 0 ? `confidence label/prediction ${confidence.join(" ")}  ` : "") +
    `${log.imagesPerSecond.toFixed(1)} images/s  lr ${log.lr.toExponential(2)}`
  );
}
