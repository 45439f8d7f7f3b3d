// What training goes on from, bit by bit: weights and statistics, optimisers, random positions, loss scale, and where in
// the epochs it stood. Kept as checkpoints/<stage>/state-EPOCH-STEP.safetensors, the last few of them.

import { existsSync, readdirSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { amount, count, listOf, nullable, number, object, recordOf, text } from "../structure.ts";
import { parseJson } from "./json.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpointFile.ts";
import type { NetworkState } from "./networkState.ts";

/** Where in its epochs a training stands. */
export interface TrainingPosition {
  /** Epochs that are complete, and steps of the one under way. */
  readonly epoch: number;
  readonly step: number;
  readonly best: { readonly epoch: number; readonly validationLoss: number } | null;
  /** Names of the terms of a step, and their sums over the steps of the epoch under way. */
  readonly names: readonly string[];
  readonly sums: readonly number[];
  /** Steps of that epoch that were passed over, and how many of the last ones were not taken. */
  readonly skipped: readonly number[];
  readonly notTaken: number;
  /** Seconds of training so far, and of the epoch under way. */
  readonly seconds: number;
  readonly epochSeconds: number;
}

export interface TrainingState {
  readonly network: NetworkState;
  readonly position: TrainingPosition;
  /** What the training depends on; another one's state is not taken. */
  readonly job: string;
}

/** Complete states kept, so that a damaged one leaves others. */
const KEPT = 3;

/** Writes a state and forgets the oldest beyond three. Throws DataError where it cannot be written. */
export async function saveTrainingState(folder: string, { network, position, job }: TrainingState): Promise<void> {
  const { epoch, step } = position;
  const name = `state-${digits(epoch, 4)}-${digits(step, 6)}.safetensors`;
  const metadata = { state: JSON.stringify({ numbers: network.numbers, position, job }) };
  await saveCheckpoint(join(folder, name), network.tensors, metadata, "the training state");
  const names = await stateNames(folder);
  for (const old of names.slice(KEPT)) await rm(join(folder, old), { force: true });
}

/**
 * The newest state that is whole and of this `job`; `say` hears of each that is passed over, with the reason. Null where
 * there is none.
 */
export async function loadTrainingState(
  folder: string,
  job: string,
  say: (text: string) => void,
): Promise<TrainingState | null> {
  for (const name of await stateNames(folder)) {
    const path = join(folder, name);
    try {
      const state = await readState(path);
      if (state.job === job) return state;
      say(`${path}: of a training with other settings; passed over`);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      say(`${error.message}; passed over for the one before`);
    }
  }
  return null;
}

/** True where the weights of a stage are in the run folder, and no training state: its training ended. */
export function isTrained(folder: string, stage: string): boolean {
  const checkpoints = join(folder, "checkpoints", stage);
  return existsSync(join(checkpoints, "best.safetensors")) && !hasTrainingStates(checkpoints);
}

function hasTrainingStates(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some(isState);
}

/** Removes all states of a training. */
export async function forgetTrainingStates(folder: string): Promise<void> {
  for (const name of await stateNames(folder)) await rm(join(folder, name), { force: true });
}

/** Newest first. */
async function stateNames(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter(isState).sort((a, b) => order(b) - order(a));
}

const isState = (name: string): boolean => /^state-\d{4,}-\d{6,}\.safetensors$/.test(name);

/** Position of a state's name in time. */
function order(name: string): number {
  const [, epoch, step] = /^state-(\d+)-(\d+)/.exec(name)!;
  return Number(epoch) * 1e9 + Number(step);
}

const digits = (n: number, count: number): string => String(n).padStart(count, "0");

async function readState(path: string): Promise<TrainingState> {
  const { tensors, metadata } = await loadCheckpoint(path);
  if (metadata.state === undefined) throw new DataError(`${path}: it holds no training state`);
  const { numbers, position, job } = parseJson<StateText>(metadata.state, stateText, path, "train again");
  return { network: { tensors, numbers }, position, job };
}

/** What of a state is not tensors, as the file's metadata have it. */
type StateText = Pick<TrainingState, "position" | "job"> & Pick<NetworkState, "numbers">;

const position = object<TrainingPosition>({
  epoch: count,
  step: count,
  best: nullable(object<NonNullable<TrainingPosition["best"]>>({ epoch: count, validationLoss: number })),
  names: listOf(text),
  sums: listOf(number),
  skipped: listOf(count),
  notTaken: count,
  seconds: amount,
  epochSeconds: amount,
});

const stateText = object<StateText>({ numbers: recordOf(number), position, job: text });
