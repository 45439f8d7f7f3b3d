// How people watch a run: event files for TensorBoard, pictures of validation slices, live.json for the dashboard. Nothing
// of it may change a training or end it: what cannot be written is a warning.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.ts";
import type { TrainOptions } from "../options.ts";
import { encodePng, type Picture } from "../picture.ts";
import type { EpochLog } from "../train.ts";
import { LiveFile } from "./liveFile.ts";
import { TrainingEvents } from "./trainingEvents.ts";

/** A training that begins, or goes on after `epoch` epochs and `step` steps. */
export interface TrainingStart {
  /** The run folder. */
  readonly folder: string;
  readonly stage: string;
  readonly options: TrainOptions;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly epoch: number;
  readonly step: number;
  readonly warn: (text: string) => void;
}

/** Is shown one training. */
export interface TrainingWatch {
  /** A step that was taken, counted from 0 within its epoch: its terms, the loss first. */
  step(epoch: number, step: number, names: readonly string[], values: ArrayLike<number>): void;
  /** An epoch that has ended; `picture`: its validation slices, null where there are none. */
  epoch(log: EpochLog, picture: Picture | null): Promise<void>;
  close(): Promise<void>;
}

/** Is shown all trainings of a run. */
export interface RunWatch {
  training(start: TrainingStart): Promise<TrainingWatch>;
  /** Call it when the run has ended, in whatever way. */
  close(): Promise<void>;
}

/** The latest validation slices of a stage. */
export const validationPicture = (folder: string, stage: string): string => join(folder, "validation", `${stage}.png`);

/**
 * Watches the run in `folder`: live.json there, and for each training tensorboard/<stage>/ (unless `tensorboard` is false)
 * and validation/<stage>.png in the training's own folder. A training that begins anew removes those of the one before.
 */
export function watchRun(folder: string, { tensorboard }: { readonly tensorboard: boolean }): RunWatch {
  const live = new LiveFile(folder);
  return {
    training: async (start) => {
      const from = start.epoch * start.stepsPerEpoch + start.step;
      const at = join(start.folder, "tensorboard", start.stage);
      if (from === 0) await rm(at, { recursive: true, force: true }).catch(() => undefined);
      live.training(start);
      return watchTraining(start, tensorboard ? new TrainingEvents(at, start, from) : null, live);
    },
    close: () => live.close(),
  };
}

function watchTraining(start: TrainingStart, events: TrainingEvents | null, live: LiveFile): TrainingWatch {
  let warned = false;
  /** Does what may fail; the first failure is told. */
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) => {
      if (!warned) start.warn(`${what}: ${(error as Error).message}; training goes on without`);
      warned = true;
    });
  };
  return {
    step: (epoch, step, names, values) => {
      events?.step(epoch, step, values[0]);
      live.step(epoch + (step + 1) / start.stepsPerEpoch, names, values);
    },
    epoch: async (log, picture) => {
      if (picture) {
        const path = validationPicture(start.folder, start.stage);
        await attempt("the picture of validation slices", () => writeFileAtomic(path, encodePng(picture)));
      }
      if (events) await attempt("TensorBoard's events", () => events.epoch(log, picture));
    },
    close: async () => {
      if (events) await attempt("TensorBoard's events", () => events.close());
    },
  };
}
