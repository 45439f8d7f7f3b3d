// The update rules as data: which one, how much state, and the twelve numbers
// per parameter group that the kernels read.
// The numbers are computed in float64 and uploaded at every step: a learning rate is data, never part of a kernel.

import { OptionError } from "../../errors.ts";

/** One kind of optimiser. */
export interface Rule<H> {
  /** The optimiser's name, for messages. */
  readonly name: string;
  /** RULE of optim_update.wgsl. */
  readonly number: number;
  /** Tensors of state per parameter. */
  states(h: H): number;
  /** The row of `hyper` in optim_begin.wgsl; the order is that of the comments in optim_update.wgsl. */
  row(h: H): readonly number[];
  /** Throws OptionError for numbers outside their range. */
  check(h: H): void;
}

/** log(beta), finite also for beta = 0. */
const logOf = (beta: number): number => Math.max(Math.log(beta), -1e4);

function atLeast0(rule: string, h: object, ...names: string[]): void {
  for (const name of names) {
    const value = (h as Record<string, unknown>)[name];
    if (!(typeof value === "number" && value >= 0 && Number.isFinite(value)))
      throw new OptionError(`${rule}: ${name} must be a number of at least 0, got ${value}`);
  }
}

function below1(rule: string, name: string, value: number): void {
  if (!(value >= 0 && value < 1)) throw new OptionError(`${rule}: ${name} must lie in [0, 1), got ${value}`);
}

/** Settings of SGD. */
export interface SgdOptions {
  /** Learning rate. Default 1e-3. */
  lr: number;
  /** Share of the last step that is kept. Default 0. */
  momentum: number;
  /** Share of the gradient that momentum leaves out. Default 0. */
  dampening: number;
  /** Looks one step of momentum ahead. Default false. */
  nesterov: boolean;
  /** L2 penalty, added to the gradient. Default 0. */
  weightDecay: number;
}

export const SGD_RULE: Rule<SgdOptions> = {
  name: "SGD",
  number: 0,
  states: ({ momentum }) => (momentum > 0 ? 1 : 0),
  // Without momentum there is no dampening either, even where another group's momentum makes room for state.
  row: ({ lr, momentum, dampening, nesterov, weightDecay }) => [
    lr,
    momentum,
    momentum > 0 ? 1 - dampening : 1,
    weightDecay,
    nesterov ? 1 : 0,
  ],
  check(h) {
    atLeast0("SGD", h, "lr", "momentum", "weightDecay");
    if (h.nesterov && !(h.momentum > 0 && h.dampening === 0)) {
      throw new OptionError(
        `SGD: nesterov needs a momentum above 0 and no dampening, got ${h.momentum} and ${h.dampening}`,
      );
    }
  },
};

/** Settings of Adam and AdamW. */
export interface AdamOptions {
  /** Learning rate. Default 1e-3. */
  lr: number;
  /** Decay of the averages of gradient and squared gradient. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the root in the denominator. Default 1e-8. */
  eps: number;
  /**
   * Adam: L2 penalty, added to the gradient, default 0. AdamW: share of the weights that every step takes away, times
   * lr, default 0.01.
   */
  weightDecay: number;
}

function adamRule(name: string, amsgrad: boolean, decoupled: boolean): Rule<AdamOptions> {
  return {
    name,
    number: 1,
    states: () => (amsgrad ? 3 : 2),
    row: ({ lr, betas: [beta1, beta2], eps, weightDecay }) => [
      ...[lr, beta1, beta2, eps],
      ...[decoupled ? 0 : weightDecay, decoupled ? 1 - lr * weightDecay : 1, logOf(beta1), logOf(beta2)],
      ...[1 - beta1, 1 - beta2],
    ],
    check(h) {
      atLeast0(name, h, "lr", "eps", "weightDecay");
      h.betas.forEach((beta, i) => below1(name, `betas[${i}]`, beta));
    },
  };
}

export const adamOf = (amsgrad: boolean): Rule<AdamOptions> => adamRule("Adam", amsgrad, false);
export const adamWOf = (amsgrad: boolean): Rule<AdamOptions> => adamRule("AdamW", amsgrad, true);

/** Settings of RMSprop. */
export interface RmspropOptions {
  /** Learning rate. Default 1e-2. */
  lr: number;
  /** Decay of the average of squared gradients. Default 0.99. */
  alpha: number;
  /** Added to the root in the denominator. Default 1e-8. */
  eps: number;
  /** L2 penalty, added to the gradient. Default 0. */
  weightDecay: number;
  /** Share of the last step that is kept. Default 0. */
  momentum: number;
}

export const rmspropOf = (centered: boolean): Rule<RmspropOptions> => ({
  name: "RMSprop",
  number: 2,
  states: ({ momentum }) => (centered ? 3 : momentum > 0 ? 2 : 1),
  row: ({ lr, alpha, eps, weightDecay, momentum }) => [lr, alpha, 1 - alpha, eps, weightDecay, momentum],
  check(h) {
    atLeast0("RMSprop", h, "lr", "eps", "weightDecay", "momentum");
    below1("RMSprop", "alpha", h.alpha);
  },
});
