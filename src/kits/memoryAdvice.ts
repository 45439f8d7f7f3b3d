// Where the GPU's memory is too small: which settings of the stage at work reduce what it takes.

import { OutOfMemoryError } from "../errors.ts";
import { hasF16 } from "../index.ts";
import type { TrainOptions } from "./options.ts";
import type { Stage } from "./stages.ts";

/** Runs a stage's `work`; an OutOfMemoryError from it names the stage and the options that it has left to save memory. */
export async function advisingOnMemory<T>(
  stage: Stage["name"],
  options: TrainOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    const fix = `what was saved is kept; less memory is taken with ${savings(stage, options).join(", ")}`;
    throw new OutOfMemoryError(`${stage}: ${error.asked}`, fix, { cause: error });
  }
}

/** Options that reduce memory, those that leave the network as it is first. */
function savings(stage: Stage["name"], { batch, precision, recompute, width, size }: TrainOptions): string[] {
  return [
    ...(batch > 1 ? [`--batch below ${batch}`] : []),
    ...(recompute ? [] : ["--recompute"]),
    ...(precision === "f32" && hasF16() ? ["--precision f16"] : []),
    `${stage === "coarse" || stage === "region" ? "--size" : "--roi-size"} below ${size}`,
    ...(width > 1 ? [`--width below ${width}`] : []),
  ];
}
