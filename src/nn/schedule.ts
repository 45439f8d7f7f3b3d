// Learning rates by epoch (or step): `optimizer.lr = schedule(epoch)`. A schedule is a function of the epoch, counted
// from 0, and keeps nothing, so a run that is resumed needs only its epoch.
// Values are those of torch.optim.lr_scheduler.

import { OptionError } from "../errors.ts";

/** The learning rate in an epoch or step, counted from 0. */
export type Schedule = (epoch: number) => number;

function above0(schedule: string, name: string, value: number): void {
  if (!(value > 0 && Number.isFinite(value)))
    throw new OptionError(`${schedule}: ${name} must be above 0, got ${value}`);
}

/** Always `lr`. */
export function constantLR(lr: number): Schedule {
  return () => lr;
}

/** lr * gamma^floor(epoch / stepSize). Throws OptionError unless stepSize is above 0. Follows PyTorch, `StepLR`. */
export function stepLR(lr: number, { stepSize, gamma = 0.1 }: { stepSize: number; gamma?: number }): Schedule {
  above0("stepLR", "stepSize", stepSize);
  return (epoch) => lr * gamma ** Math.floor(epoch / stepSize);
}

/** lr * gamma^(number of milestones reached). Follows PyTorch, `MultiStepLR`. */
export function multiStepLR(
  lr: number,
  { milestones, gamma = 0.1 }: { milestones: readonly number[]; gamma?: number },
): Schedule {
  return (epoch) => lr * gamma ** milestones.filter((m) => m <= epoch).length;
}

/** lr * gamma^epoch. Follows PyTorch, `ExponentialLR`. */
export function exponentialLR(lr: number, { gamma }: { gamma: number }): Schedule {
  return (epoch) => lr * gamma ** epoch;
}

/**
 * Half a cosine from lr down to etaMin at epoch tMax, and up again after it. Loshchilov and Hutter 2017,
 * arXiv:1608.03983; PyTorch, `CosineAnnealingLR`.
 */
export function cosineAnnealingLR(lr: number, { tMax, etaMin = 0 }: { tMax: number; etaMin?: number }): Schedule {
  above0("cosineAnnealingLR", "tMax", tMax);
  return (epoch) => etaMin + ((lr - etaMin) * (1 + Math.cos((Math.PI * epoch) / tMax))) / 2;
}

/**
 * Half a cosine from lr down to etaMin, again and again: the first takes t0 epochs, each later one tMult (default 1)
 * times as many.
 * Throws OptionError unless t0 and tMult are whole numbers above 0. Loshchilov and Hutter 2017,
 * arXiv:1608.03983; PyTorch, `CosineAnnealingWarmRestarts`.
 */
export function cosineWarmRestarts(
  lr: number,
  { t0, tMult = 1, etaMin = 0 }: { t0: number; tMult?: number; etaMin?: number },
): Schedule {
  for (const [name, value] of [
    ["t0", t0],
    ["tMult", tMult],
  ] as const) {
    if (!(Number.isInteger(value) && value > 0))
      throw new OptionError(`cosineWarmRestarts: ${name} must be a whole number above 0, got ${value}`);
  }
  return (epoch) => {
    let [at, length] = [epoch, t0];
    if (tMult === 1) at %= t0;
    else while (at >= length) [at, length] = [at - length, length * tMult];
    return etaMin + ((lr - etaMin) * (1 + Math.cos((Math.PI * at) / length))) / 2;
  };
}

/** lr * (1 - epoch / total)^power, 0 from `total` on; power 0.9 is usual in segmentation. PyTorch, `PolynomialLR`. */
export function polynomialLR(lr: number, { total, power = 1 }: { total: number; power?: number }): Schedule {
  above0("polynomialLR", "total", total);
  return (epoch) => lr * (1 - Math.min(epoch, total) / total) ** power;
}

/**
 * Up from maxLr / divFactor to maxLr over the first pctStart of the steps, then down to 1 / finalDivFactor of the
 * start; both halves are cosines. `totalSteps` counts steps, the last of which has the lowest rate. Smith and Topin
 * 2018, arXiv:1708.07120; PyTorch, `OneCycleLR`.
 */
export function oneCycleLR(
  maxLr: number,
  {
    totalSteps,
    pctStart = 0.3,
    divFactor = 25,
    finalDivFactor = 1e4,
  }: { totalSteps: number; pctStart?: number; divFactor?: number; finalDivFactor?: number },
): Schedule {
  above0("oneCycleLR", "totalSteps", totalSteps);
  const start = maxLr / divFactor;
  const end = start / finalDivFactor;
  const top = pctStart * totalSteps - 1;
  const between = (from: number, to: number, share: number): number =>
    to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share));
  return (step) => {
    const at = Math.min(step, totalSteps - 1);
    return at <= top ? between(start, maxLr, at / top) : between(maxLr, end, (at - top) / (totalSteps - 1 - top));
  };
}

/**
 * A linear rise from startFactor times the rate to the rate over the first `epochs`, then `after`, whose own epochs
 * count from 0 there. Throws OptionError unless epochs is above 0. PyTorch, `LinearLR`
 * followed by another schedule in `SequentialLR`.
 */
export function linearWarmup(
  after: Schedule,
  { epochs, startFactor = 1 / 3 }: { epochs: number; startFactor?: number },
): Schedule {
  above0("linearWarmup", "epochs", epochs);
  return (epoch) =>
    epoch < epochs ? after(0) * (startFactor + ((1 - startFactor) * epoch) / epochs) : after(epoch - epochs);
}

/** Settings of ReduceLROnPlateau. */
export interface PlateauOptions {
  /** "min" (default): the metric should fall. "max": it should rise. */
  readonly mode?: "min" | "max";
  /** Default 0.1. */
  readonly factor?: number;
  /** Epochs without improvement that are borne. Default 10. */
  readonly patience?: number;
  /** What counts as improvement: a share of the best value, or an amount. Default 1e-4. */
  readonly threshold?: number;
  /** Default "rel". */
  readonly thresholdMode?: "rel" | "abs";
  /** Epochs after a reduction in which nothing is counted. Default 0. */
  readonly cooldown?: number;
  /** Default 0. */
  readonly minLr?: number;
}

/** The state of a ReduceLROnPlateau, for a checkpoint. `best` is null before the first epoch. */
export interface PlateauState {
  readonly lr: number;
  readonly best: number | null;
  readonly bad: number;
  readonly cooling: number;
}

/**
 * Multiplies the learning rate by `factor` when a metric has not improved for more than `patience` epochs:
 * `optimizer.lr = plateau.next(validationLoss)`. Throws OptionError for a factor of
 * 1 or more. PyTorch, `ReduceLROnPlateau`.
 */
export class ReduceLROnPlateau {
  lr: number;
  private best: number | null = null;
  private bad = 0;
  private cooling = 0;
  private readonly options: Required<PlateauOptions>;

  constructor(lr: number, options: PlateauOptions = {}) {
    this.lr = lr;
    this.options = {
      mode: "min",
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: "rel",
      cooldown: 0,
      minLr: 0,
      ...options,
    };
    if (!(this.options.factor < 1))
      throw new OptionError(`ReduceLROnPlateau: factor must be below 1, got ${this.options.factor}`);
  }

  /** Takes the metric of the epoch that has ended; returns the learning rate of the next. */
  next(metric: number): number {
    const { factor, patience, cooldown, minLr } = this.options;
    if (this.isBetter(metric)) {
      this.best = metric;
      this.bad = 0;
    } else {
      this.bad++;
    }
    if (this.cooling > 0) {
      this.cooling--;
      this.bad = 0;
    }
    if (this.bad > patience) {
      const lower = Math.max(this.lr * factor, minLr);
      if (this.lr - lower > 1e-8) this.lr = lower; // PyTorch leaves a rate alone that would hardly change
      this.cooling = cooldown;
      this.bad = 0;
    }
    return this.lr;
  }

  private isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.options;
    if (Number.isNaN(metric)) return false;
    if (this.best === null) return true;
    const sign = mode === "min" ? -1 : 1;
    const bound = thresholdMode === "rel" ? this.best * (1 + sign * threshold) : this.best + sign * threshold;
    return sign * (metric - bound) > 0;
  }

  /** Everything that next() depends on, for a checkpoint. */
  state(): PlateauState {
    return { lr: this.lr, best: this.best, bad: this.bad, cooling: this.cooling };
  }

  /** Restores what state() gave. */
  loadState({ lr, best, bad, cooling }: PlateauState): void {
    this.lr = lr;
    this.best = best;
    this.bad = bad;
    this.cooling = cooling;
  }
}
