// What TensorBoard shows of one training. Steps are those of the optimiser, counted over all epochs, so that the values
// of steps and of epochs lie on one axis.

import { SummaryWriter } from "../../tensorboard/summaryWriter.ts";
import type { ScaleTerms } from "../adversarialLog.ts";
import type { Picture } from "../picture.ts";
import { flatten } from "../report/settings.ts";
import type { EpochLog } from "../train.ts";
import type { TrainingStart } from "./runWatch.ts";

/** Values of single steps that are written per epoch. */
const STEPS_SHOWN = 20;

export class TrainingEvents {
  readonly #writer: SummaryWriter;
  readonly #start: TrainingStart;
  readonly #every: number;

  /** Events in `folder` of a training that has taken `from` steps: what was written of later ones is not shown. */
  constructor(folder: string, start: TrainingStart, from: number) {
    this.#writer = new SummaryWriter(folder, { purgeStep: from === 0 ? 0 : from + 1 });
    this.#start = start;
    this.#every = Math.max(1, Math.floor(start.stepsPerEpoch / STEPS_SHOWN));
    if (from === 0) this.#writer.addText("options", optionsTable(start.options));
  }

  step(epoch: number, step: number, loss: number): void {
    if ((step + 1) % this.#every === 0)
      this.#writer.addScalar("loss/step", loss, epoch * this.#start.stepsPerEpoch + step + 1);
  }

  /** Rejects where the events of this epoch or those before cannot be written. */
  async epoch(log: EpochLog, picture: Picture | null): Promise<void> {
    const step = log.epoch * this.#start.stepsPerEpoch;
    this.#writer.addScalars(scalarsOf(log), step);
    if (picture) this.#writer.addImage("validation", picture, step);
    await this.#writer.flush();
  }

  close(): Promise<void> {
    return this.#writer.close();
  }
}

/** Every number of an epoch by its tag; scale 1 is full resolution. */
function scalarsOf(log: EpochLog): Record<string, number> {
  const perScale = (part: string, scales: readonly ScaleTerms[] = []): [string, number][] =>
    scales.flatMap((terms, k) =>
      Object.entries(terms).map(([term, value]): [string, number] => [`${part}/${term}/scale ${k + 1}`, value]),
    );
  return {
    "loss/train": log.trainLoss,
    "loss/validation": log.validationLoss,
    ...Object.fromEntries(Object.entries(log.validationDice).map(([region, dice]) => [`dice/${region}`, dice])),
    epoch: log.epoch,
    "learning rate": log.lr,
    "images per second": log.imagesPerSecond,
    "memory/gpu MiB": (log.gpuMemory ?? NaN) / 2 ** 20,
    "memory/process MiB": process.memoryUsage.rss() / 2 ** 20,
    "skipped steps": log.skipped?.length ?? 0,
    ...Object.fromEntries([...perScale("generator", log.generator), ...perScale("discriminator", log.discriminator)]),
  };
}

function optionsTable(options: object): string {
  const rows = flatten(options, "").map(([name, value]) => `| ${name} | ${value} |`);
  return ["| option | value |", "| --- | --- |", ...rows].join("\n");
}
