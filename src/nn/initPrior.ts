import { OptionError } from "../errors.ts";
import { assign } from "../kernels/layout.ts";
import { tensor } from "../tensor.ts";
import type { Conv2d } from "./conv.ts";

const RAREST = 1e-4; // a class that hardly occurs still starts within reach

/**
 * Sets the bias of a classifier to the logarithm of the classes' frequencies, so that an untrained network predicts
 * them and its first steps go into telling classes apart. `frequencies`: one per class, in any unit. Throws OptionError
 * when their number is not that of the classes, or one is negative, or all are 0.
 * Source: Lin et al. 2017, arXiv:1708.02002, section 3.3, for any number of classes.
 */
export function initPrior(classifier: Conv2d, frequencies: readonly number[]): void {
  const { bias } = classifier;
  const total = frequencies.reduce((a, b) => a + b, 0);
  if (!bias || frequencies.length !== bias.size || !frequencies.every((f) => f >= 0) || total === 0) {
    throw new OptionError(
      `initPrior: needs one frequency of at least 0 for each of ${bias?.size ?? 0} classes with a bias, not all 0; ` +
        `got ${frequencies.join(", ")}`,
    );
  }
  assign(bias, tensor(frequencies.map((f) => Math.log(Math.max(f / total, RAREST)))));
}
