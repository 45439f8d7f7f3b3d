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

/**
 * Listens to Ctrl-C (SIGINT) and to SIGTERM until the function returned is called. At the first, `say` is told what `follows`
 * and `then` is called.
 */
export function watchInterrupts(
  say: (text: string) => void,
  follows = "ending after this step, with a checkpoint",
  then: () => void = () => undefined,
): () => void {
  asked = false;
  const onSignal = () => {
    if (asked) process.exit(INTERRUPTED);
    asked = true;
    say(`interrupted: ${follows}; once more ends at once`);
    then();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
}

/** Resolves at the first Ctrl-C or SIGTERM from now on. */
export function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    const onSignal = () => {
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      clearInterval(alive);
      resolve();
    };
    const alive = setInterval(() => undefined, 2 ** 30); // a listener alone does not keep the process
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  });
}

/** True after the first signal. */
export function isInterrupted(): boolean {
  return asked;
}

/** Throws InterruptedError after the first signal: at places where everything written is whole. */
export function throwIfInterrupted(): void {
  if (asked) throw new InterruptedError("interrupted");
}
