// Activations as layers, for use in Sequential.

import { softmax } from "../kernels/softmax.ts";
import { elu, gelu, leakyRelu, prelu, relu, sigmoid, silu, softplus, tanh } from "../kernels/unary.ts";
import { full, type Tensor } from "../tensor.ts";

/** max(x, 0). */
export class ReLU {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** x, or slope * x below zero. */
export class LeakyReLU {
  readonly slope: number;

  constructor({ slope = 0.01 }: { slope?: number } = {}) {
    this.slope = slope;
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.slope);
  }
}

/** x, or weight * x below zero, with one learned weight per channel (or one for all). */
export class PReLU {
  readonly weight: Tensor; // [C] or [1]

  constructor({ channels = 1, initial = 0.25 }: { channels?: number; initial?: number } = {}) {
    this.weight = full([channels], initial, { requiresGrad: true });
  }

  forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }
}

/** x, or alpha * (exp(x) - 1) below zero. */
export class ELU {
  readonly alpha: number;

  constructor({ alpha = 1 }: { alpha?: number } = {}) {
    this.alpha = alpha;
  }

  forward(x: Tensor): Tensor {
    return elu(x, this.alpha);
  }
}

/** x * Phi(x); "tanh" uses the usual approximation. */
export class GELU {
  readonly approximate: "none" | "tanh";

  constructor({ approximate = "none" }: { approximate?: "none" | "tanh" } = {}) {
    this.approximate = approximate;
  }

  forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate });
  }
}

/** x * sigmoid(x). */
export class SiLU {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/** 1 / (1 + exp(-x)). */
export class Sigmoid {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** Hyperbolic tangent. */
export class Tanh {
  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** log(1 + exp(x)). */
export class Softplus {
  forward(x: Tensor): Tensor {
    return softplus(x);
  }
}

/** Softmax along a dimension, by default the channels. */
export class Softmax {
  readonly dim: number;

  constructor({ dim = 1 }: { dim?: number } = {}) {
    this.dim = dim;
  }

  forward(x: Tensor): Tensor {
    return softmax(x, this.dim);
  }
}

/** The input itself. */
export class Identity {
  forward(x: Tensor): Tensor {
    return x;
  }
}
