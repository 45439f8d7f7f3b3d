// Ctrl-C: the first asks the run to end at the next safe place, with a checkpoint; the second ends the process at once.
// A signal is for the whole process, and so is this state.

import { WgradError } from "../errors.ts";

/** The user asked the run to end. */
export class InterruptedError extends WgradError {
  override readonly name = "InterruptedError";
}

/** What a shell reports of a process that Ctrl-C ended. */
export const INTERRUPTED = 130;

let asked = false;

/** Listens to Ctrl-C (SIGINT) and to SIGTERM until the function returned is called; `end` is where the run will end. */
export function watchInterrupts(say: (text: string) => void, end = "after this step, with a checkpoint"): () => void {
  asked = false;
  const onSignal = () => {
    if (asked) process.exit(INTERRUPTED);
    asked = true;
    say(`interrupted: ending ${end}; once more ends at once`);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
}

/** True after the first signal. */
export function isInterrupted(): boolean {
  return asked;
}

/** Throws InterruptedError after the first signal: at places where everything written is whole. */
export function throwIfInterrupted(): void {
  if (asked) throw new InterruptedError("interrupted");
}
