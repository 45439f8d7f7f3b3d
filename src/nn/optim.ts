// Optimisers with PyTorch's rules and options: `const adam = new Adam(parameters(model), { lr: 1e-4 })`, then in every
// step backward(loss), adam.step(), adam.zeroGrad().

import { Optimizer, type ParameterGroup, type Parameters } from "./optim/optimizer.ts";
import {
  SGD_RULE,
  adamOf,
  adamWOf,
  rmspropOf,
  type AdamOptions,
  type RmspropOptions,
  type SgdOptions,
} from "./optim/rules.ts";

export { Optimizer, type Group, type OptimizerState, type ParameterGroup, type Parameters } from "./optim/optimizer.ts";
export type { AdamOptions, RmspropOptions, SgdOptions } from "./optim/rules.ts";
export { clipGradNorm, clipGradValue } from "./optim/clip.ts";
export { GradScaler, type GradScalerOptions } from "./gradScaler.ts";

/**
 * Stochastic gradient descent with momentum, dampening, Nesterov's variant and L2 penalty.
 * `parameters`: tensors, named tensors, or groups `{ params, lr, ... }`. Throws
 * OptionError for a setting outside its range.
 * Follows PyTorch, `torch.optim.SGD`; Sutskever et al. 2013.
 */
export class SGD extends Optimizer<SgdOptions> {
  constructor(parameters: Parameters | readonly ParameterGroup<SgdOptions>[], options: Partial<SgdOptions> = {}) {
    super(parameters, { lr: 1e-3, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0, ...options }, SGD_RULE);
  }
}

/**
 * Adam; `amsgrad` divides by the largest average of squares so far. Weight decay
 * is an L2 penalty, added to the gradient.
 * `parameters`: tensors, named tensors, or groups `{ params, lr, ... }`. Throws
 * OptionError for a setting outside its range.
 * Follows PyTorch, `torch.optim.Adam`; Kingma and Ba 2015, arXiv:1412.6980; Reddi et al. 2018.
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(
    parameters: Parameters | readonly ParameterGroup<AdamOptions>[],
    { amsgrad = false, ...options }: Partial<AdamOptions> & { amsgrad?: boolean } = {},
  ) {
    super(parameters, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...options }, adamOf(amsgrad));
  }
}

/**
 * Adam with weight decay applied to the weights themselves, lr times `weightDecay`
 * (default 0.01) in every step; else as Adam.
 * Follows PyTorch, `torch.optim.AdamW`; Loshchilov and Hutter 2019, arXiv:1711.05101.
 */
export class AdamW extends Optimizer<AdamOptions> {
  constructor(
    parameters: Parameters | readonly ParameterGroup<AdamOptions>[],
    { amsgrad = false, ...options }: Partial<AdamOptions> & { amsgrad?: boolean } = {},
  ) {
    super(parameters, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, ...options }, adamWOf(amsgrad));
  }
}

/**
 * RMSprop; `centered` divides by the variance of the gradient instead of its mean square.
 * `parameters`: tensors, named tensors, or groups `{ params, lr, ... }`. Throws
 * OptionError for a setting outside its range.
 * Follows PyTorch, `torch.optim.RMSprop`; Tieleman and Hinton 2012; Graves 2013, arXiv:1308.0850.
 */
export class RMSprop extends Optimizer<RmspropOptions> {
  constructor(
    parameters: Parameters | readonly ParameterGroup<RmspropOptions>[],
    { centered = false, ...options }: Partial<RmspropOptions> & { centered?: boolean } = {},
  ) {
    super(
      parameters,
      { lr: 1e-2, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, ...options },
      rmspropOf(centered),
    );
  }
}
