// Trains the coarse network: epochs of steps, a validation loss after each, the best and the periodic checkpoints.

import { join } from "node:path";
import { WgradError } from "../errors.ts";
import { argmax, backward, diceCrossEntropy, hostTensor, noGrad, step, type Tensor } from "../index.ts";
import {
  initNormal,
  initPrior,
  loadSafetensors,
  loadStateDict,
  parameterCount,
  parameters,
  saveSafetensors,
  setTraining,
  stateDict,
} from "../nn/index.ts";
import { buildModel, type SegmentationModel } from "../nn/models/index.ts";
import { Adam } from "../nn/optim.ts";
import { cosineAnnealingLR, stepLR } from "../nn/schedule.ts";
import { Rng } from "../random.ts";
import type { SliceCache } from "./cache.ts";
import { countLabels, dice, type RegionCounts } from "./metrics.ts";
import type { RunOptions } from "./presets.ts";
import { startProgress, type Progress, type ProgressMode } from "./progress.ts";
import { logLine } from "./run.ts";
import {
  COARSE_CLASSES,
  coarseClassOf,
  epochOrder,
  foregroundSlices,
  readBatch,
  slicesOf,
  type Batch,
} from "./sample.ts";
import type { Split } from "./split.ts";

/** One line of log.jsonl. Dice is over all validation pixels at the network's size: a guide, not a score. */
export interface EpochLog {
  epoch: number;
  lr: number;
  trainLoss: number;
  validationLoss: number;
  validationDice: { kidney: number; mass: number };
  imagesPerSecond: number;
  seconds: number;
}

export interface TrainResult {
  best: { epoch: number; validationLoss: number };
  epochs: EpochLog[];
  parameters: number;
}

/** The untrained coarse network of a run: one grey channel in, background, kidney and mass out. */
export function coarseModel(options: RunOptions, cache: SliceCache, split: Split): SegmentationModel {
  const { width, depth, dropout, seed } = options;
  const model = buildModel(options.model, {
    inChannels: 1,
    classes: COARSE_CLASSES.length,
    width,
    depth,
    dropout,
    rng: new Rng(seed, "init"),
  });
  if (options.init === "normal") initNormal(model, new Rng(seed, "init normal"));
  if (options.prior) initPrior(model.classifier, classFrequencies(cache, split.train));
  return model;
}

/** Pixels of each coarse class in the slices of some cases. */
function classFrequencies(cache: SliceCache, ids: readonly string[]): number[] {
  const counts = COARSE_CLASSES.map(() => 0);
  for (const slice of ids.flatMap((id) => cache.caseById(id).labelCounts))
    slice.forEach((n, label) => (counts[coarseClassOf(label)] += n));
  return counts;
}

/** Adam's learning rate in `epoch`, counted from 0. */
export function learningRate({ lr, schedule, gamma, epochs }: RunOptions, epoch: number): number {
  if (schedule === "constant") return lr;
  if (schedule === "step") return stepLR(lr, { stepSize: 1, gamma })(epoch);
  return cosineAnnealingLR(lr, { tMax: epochs })(epoch);
}

/**
 * Trains on the cases of `split.train` and writes log.jsonl and checkpoints/ in `folder`: best.safetensors (smallest
 * validation loss), last.safetensors and epoch-NNNN.safetensors. The model ends with the best weights.
 * Throws WgradError naming epoch and step when the loss is no longer finite.
 */
export async function train(
  model: SegmentationModel,
  cache: SliceCache,
  split: Split,
  options: RunOptions,
  folder: string,
  mode: ProgressMode,
): Promise<TrainResult> {
  const slices = slicesOf(cache, split.train);
  const validation = validationSlices(cache, split, options);
  const optimizer = new Adam(parameters(model), { lr: options.lr });
  const perEpoch = batchesOf(epochOrder(cache, slices, 0, options), options.batch).length * options.batch;
  const progress = startProgress({ label: "train", total: options.epochs * perEpoch, mode });
  const result: TrainResult = {
    best: { epoch: -1, validationLoss: Infinity },
    epochs: [],
    parameters: parameterCount(model),
  };
  try {
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      const started = performance.now();
      optimizer.lr = learningRate(options, epoch);
      const trainLoss = await trainEpoch(model, optimizer, cache, slices, options, epoch, progress);
      const seconds = (performance.now() - started) / 1000;
      const checked = await validate(model, cache, validation, options.batch);
      const log: EpochLog = {
        epoch: epoch + 1,
        lr: optimizer.lr,
        trainLoss,
        ...checked,
        imagesPerSecond: perEpoch / seconds,
        seconds,
      };
      result.epochs.push(log);
      await logLine(folder, log);
      progress.log(describeEpoch(log, options.epochs));
      await saveCheckpoints(model, folder, log, result, options);
    }
  } finally {
    progress.stop();
  }
  loadStateDict(model, (await loadSafetensors(join(folder, "checkpoints", "best.safetensors"))).tensors);
  return result;
}

/** Mean training loss of one epoch. */
async function trainEpoch(
  model: SegmentationModel,
  optimizer: Adam,
  cache: SliceCache,
  slices: readonly number[],
  options: RunOptions,
  epoch: number,
  progress: Progress,
): Promise<number> {
  setTraining(model, true);
  const losses: Promise<number>[] = [];
  const { seed, augment } = options;
  for (const [i, group] of batchesOf(epochOrder(cache, slices, epoch, options), options.batch).entries()) {
    const batch = readBatch(cache, group, { options: augment, seed, epoch, place: i * options.batch });
    const loss = await trainStep(model, optimizer, batch, cache.size);
    losses.push(checkedLoss(loss, epoch, i)); // read without waiting: the GPU goes on with the next step
    const shown = await losses[Math.max(0, i - 1)];
    progress.increment(group.length, { loss: shown.toFixed(4), epoch: `${epoch + 1}/${options.epochs}` });
  }
  const values = await Promise.all(losses);
  return values.reduce((a, b) => a + b, 0) / values.length;
}

async function checkedLoss(loss: Tensor, epoch: number, index: number): Promise<number> {
  const value = await loss.item();
  if (!Number.isFinite(value)) {
    throw new WgradError(
      `train: the loss of step ${index + 1} in epoch ${epoch + 1} is ${value}; use a smaller --lr. Earlier checkpoints are kept`,
    );
  }
  return value;
}

/** One optimiser step; the loss is softmax dice plus cross entropy. */
function trainStep(model: SegmentationModel, optimizer: Adam, batch: Batch, size: number): Promise<Tensor> {
  return step(() => {
    const loss = diceCrossEntropy(model.forward(imagesOf(batch, size)), labelsOf(batch, size));
    backward(loss);
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
}

export function imagesOf({ images, count }: Batch, size: number): Tensor {
  return hostTensor([count, 1, size, size], "f32", () => images);
}

function labelsOf({ labels, count }: Batch, size: number): Tensor {
  return hostTensor([count, size, size], "i32", () => labels);
}

/** Full batches; a remainder is left out, since each batch size has its own pipelines, unless it is all there is. */
function batchesOf(order: readonly number[], batch: number): number[][] {
  const out: number[][] = [];
  for (let i = 0; i + batch <= order.length; i += batch) out.push(order.slice(i, i + batch));
  return out.length > 0 ? out : [order.slice()];
}

/** All validation slices, or that many: half with labels where there are enough, spread evenly over the cases. */
function validationSlices(cache: SliceCache, split: Split, { validationSlices: limit }: RunOptions): number[] {
  const all = slicesOf(cache, split.val);
  if (limit === 0 || all.length <= limit) return all;
  const labelled = spread(foregroundSlices(cache, all), Math.ceil(limit / 2));
  const rest = all.filter((s) => !labelled.includes(s));
  return [...labelled, ...spread(rest, limit - labelled.length)].sort((a, b) => a - b);
}

function spread(items: readonly number[], count: number): number[] {
  const n = Math.min(count, items.length);
  return Array.from({ length: n }, (_, i) => items[Math.floor(((i + 0.5) * items.length) / n)]);
}

async function validate(
  model: SegmentationModel,
  cache: SliceCache,
  slices: readonly number[],
  size: number,
): Promise<Pick<EpochLog, "validationLoss" | "validationDice">> {
  setTraining(model, false);
  let loss = 0;
  const counts = { kidney: noVoxels(), mass: noVoxels() };
  for (let i = 0; i < slices.length; i += size) {
    const batch = readBatch(cache, slices.slice(i, i + size));
    const { value, predicted } = await step(async () => {
      const logits = noGrad(() => model.forward(imagesOf(batch, cache.size)));
      const [l, p] = [noGrad(() => diceCrossEntropy(logits, labelsOf(batch, cache.size))), argmax(logits, { dim: 1 })];
      return { value: await l.item(), predicted: await p.read() };
    });
    loss += value * batch.count;
    addCounts(counts.kidney, countLabels(batch.labels, predicted, [1, 2]));
    addCounts(counts.mass, countLabels(batch.labels, predicted, [2]));
  }
  return {
    validationLoss: loss / slices.length,
    validationDice: { kidney: dice(counts.kidney), mass: dice(counts.mass) },
  };
}

const noVoxels = (): RegionCounts => ({ intersection: 0, reference: 0, prediction: 0 });

function addCounts(sum: RegionCounts, more: RegionCounts): void {
  sum.intersection += more.intersection;
  sum.reference += more.reference;
  sum.prediction += more.prediction;
}

async function saveCheckpoints(
  model: SegmentationModel,
  folder: string,
  log: EpochLog,
  result: TrainResult,
  options: RunOptions,
): Promise<void> {
  const metadata = {
    epoch: String(log.epoch),
    validationLoss: String(log.validationLoss),
    model: options.model,
    width: String(options.width),
    depth: String(options.depth),
  };
  const names = ["last"];
  if (log.epoch % options.checkpointEvery === 0) names.push(`epoch-${String(log.epoch).padStart(4, "0")}`);
  if (log.validationLoss < result.best.validationLoss) {
    result.best = { epoch: log.epoch, validationLoss: log.validationLoss };
    names.push("best");
  }
  const state = await stateDict(model);
  for (const name of names) await saveSafetensors(join(folder, "checkpoints", `${name}.safetensors`), state, metadata);
}

function describeEpoch(log: EpochLog, epochs: number): string {
  const { kidney, mass } = log.validationDice;
  return (
    `epoch ${log.epoch}/${epochs}  train loss ${log.trainLoss.toFixed(4)}  validation loss ${log.validationLoss.toFixed(4)}  ` +
    `pixel Dice kidney ${kidney.toFixed(3)} mass ${mass.toFixed(3)}  ${log.imagesPerSecond.toFixed(1)} images/s  lr ${log.lr.toExponential(2)}`
  );
}
