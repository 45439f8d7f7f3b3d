// Types of what wgrad.ts takes from shared.mjs.

import type { PeerCase, PeerTraining } from "./cases.ts";

export interface TrainRequest {
  readonly steps: number;
  readonly model: PeerTraining;
}

export interface TrainAnswer {
  /** Median of the steps after the second; null with fewer. */
  readonly ms: number | null;
  readonly first: number;
  readonly times: readonly number[];
  readonly losses: readonly number[];
  /** MiB. */
  readonly rss: number;
}

export interface CaseAnswer {
  readonly name: string;
  readonly ms: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
  readonly repeats: number;
  readonly norm: number;
}

export interface Prepared {
  sample(repeats: number): Promise<number>;
  outputs(): Promise<ArrayLike<number>[]>;
}

export function keepStdoutForAnswers(): void;
export function uniform(name: string, count: number, bound?: number, value?: number): Float32Array<ArrayBuffer>;
export function batchOf(model: PeerTraining): { x: Float32Array<ArrayBuffer>; t: Float32Array<ArrayBuffer> };
export function sizeOf(shape: readonly number[]): number;
export function trained(steps: number, once: (step: number) => Promise<number>): Promise<TrainAnswer>;
export function serve(peer: {
  info: { version: string; adapter: string };
  prepare: (c: PeerCase) => Prepared | Promise<Prepared>;
  train: (request: TrainRequest) => Promise<TrainAnswer>;
  faults?: string[];
}): void;
