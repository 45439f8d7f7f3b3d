// What the server tells the page, in three parts that change at different times. Plain data, without imports but types.

import type { LinePlot } from "../linePlot.ts";

/** The run as a whole. */
export interface RunPart {
  readonly name: string;
  /** "waiting": nothing of a run is there yet; "killed": its process is gone and did not say why. */
  readonly status: "waiting" | "running" | "partial" | "finished" | "failed" | "interrupted" | "killed";
  readonly error: string | null;
  /** The built-in phantom: not patients. */
  readonly synthetic: boolean;
  /** Rows of a name and a text. */
  readonly facts: readonly (readonly [name: string, text: string])[];
  readonly stages: readonly StageState[];
  /** Mean Dice of the test cases by region, once they are scored. */
  readonly scores: readonly (readonly [region: string, dice: number | null])[];
  readonly warnings: readonly string[];
  readonly pictures: readonly { readonly title: string; readonly url: string }[];
  readonly report: boolean;
  /** HTML of the settings' tables. */
  readonly settings: string;
}

export interface StageState {
  readonly name: string;
  readonly state: "done" | "running" | "waiting" | "absent";
  /** Epochs that are logged, of so many. */
  readonly epoch: number;
  readonly epochs: number;
}

/** What changes every second. */
export interface LivePart {
  /** The loop that runs now. */
  readonly phase: { readonly text: string; readonly share: number; readonly detail: string } | null;
  readonly tiles: readonly { readonly name: string; readonly value: string; readonly note: string }[];
  /** Curves of the steps of one stage. */
  readonly stage: string | null;
  readonly plots: readonly LinePlot[];
}

/** Curves of all epochs, by stage. */
export type CurvesPart = readonly { readonly stage: string; readonly plots: readonly LinePlot[] }[];

export interface Parts {
  readonly run: RunPart;
  readonly live: LivePart;
  readonly curves: CurvesPart;
}
