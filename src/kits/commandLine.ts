// What the command lines share: how they end, and arguments that several of them take.

import { Command, InvalidArgumentError, Option } from "commander";
import { WgradError } from "../errors.ts";
import { INTERRUPTED, InterruptedError } from "./interrupt.ts";
import { PROGRESS_MODES } from "./progress.ts";

/** The command `name`, whose help ends with the page that describes it. */
export const kitsCommand = (name: string, about: string, page: string): Command =>
  new Command(name).description(`${about}\nMore in docs/${page}.`);

/** Everything but results goes to standard error, so that --json leaves standard output to the numbers. */
export const say = (text: string): void => console.error(text);

/**
 * Does the work of the command `name`, then `atEnd`, come what may. A failure that is understood is one line and exit
 * code 1; what Ctrl-C ended has 130. Returns what the work returns, undefined after a failure.
 */
export async function runCommand<T>(
  name: string,
  work: () => Promise<T>,
  atEnd: () => void = () => undefined,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    process.exitCode = error instanceof InterruptedError ? INTERRUPTED : 1;
    say(`${name}: ${explained(error)}`);
    return undefined;
  } finally {
    atEnd();
  }
}

/** One line for what is understood, the stack of the rest. */
function explained(error: unknown): string {
  if (error instanceof WgradError) return error.message;
  return `unexpected error\n${error instanceof Error ? error.stack : String(error)}`;
}

export const progressOption = (): Option =>
  new Option("--progress <mode>", "how progress is shown").choices(PROGRESS_MODES).default("auto");

export const adapterOption = (): Option =>
  new Option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name");

export const datasetOption = (): Option =>
  new Option("--dataset <name>", "kits19, kits21, kits23 or kits, where detection should not decide");

/** Takes a whole number from `low` to `high`. */
export const wholeNumber =
  (low: number, high: number) =>
  (text: string): number => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
    if (!(value >= low && value <= high))
      throw new InvalidArgumentError(`must be a whole number from ${low} to ${high}.`);
    return value;
  };
