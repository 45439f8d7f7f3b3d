// Optimisers in float64. Each takes the parameters and the list of gradients of the steps, and returns the parameters
// after every step: PyTorch's update rules, written out.

type Vector = Float64Array;

const zeros = (like: Vector): Vector => new Float64Array(like.length);

/** The new value of element `i` of the parameter `p` with gradient `g` at `step`, which counts from 1. */
type Update = (p: number, g: number, i: number, step: number) => number;

/** The parameters after every step of `update`. */
function trajectory(p0: Vector, grads: readonly Vector[], update: Update): Vector[] {
  let p = p0;
  return grads.map((g, k) => (p = p.map((v, i) => update(v, g[i], i, k + 1))));
}

export interface SgdOptions {
  lr: number;
  momentum?: number;
  dampening?: number;
  nesterov?: boolean;
  weightDecay?: number;
}

/** Stochastic gradient descent; the momentum buffer starts as the first gradient, undamped. */
export function sgd(p0: Vector, grads: readonly Vector[], options: SgdOptions): Vector[] {
  const { lr, momentum = 0, dampening = 0, nesterov = false, weightDecay = 0 } = options;
  const buffer = zeros(p0);
  return trajectory(p0, grads, (p, raw, i, step) => {
    const g = raw + weightDecay * p;
    if (momentum === 0) return p - lr * g;
    buffer[i] = step === 1 ? g : momentum * buffer[i] + (1 - dampening) * g;
    return p - lr * (nesterov ? g + momentum * buffer[i] : buffer[i]);
  });
}

export interface AdamOptions {
  lr: number;
  betas?: readonly [number, number];
  eps?: number;
  weightDecay?: number;
  amsgrad?: boolean;
}

function adamRule(p0: Vector, grads: readonly Vector[], options: AdamOptions, decoupled: boolean): Vector[] {
  const { lr, betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0, amsgrad = false } = options;
  const m = zeros(p0);
  const v = zeros(p0);
  const top = zeros(p0);
  return trajectory(p0, grads, (p, raw, i, step) => {
    const g = decoupled ? raw : raw + weightDecay * p;
    const start = decoupled ? p * (1 - lr * weightDecay) : p;
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    top[i] = Math.max(top[i], v[i]);
    const second = Math.sqrt((amsgrad ? top[i] : v[i]) / (1 - beta2 ** step)) + eps;
    return start - (lr * m[i]) / (1 - beta1 ** step) / second;
  });
}

/** Adam; weight decay is added to the gradient. Kingma and Ba 2015, arXiv:1412.6980; AMSGrad: Reddi et al. 2018. */
export function adam(p0: Vector, grads: readonly Vector[], options: AdamOptions): Vector[] {
  return adamRule(p0, grads, options, false);
}

/** Adam with weight decay applied to the weights themselves. Loshchilov and Hutter 2019, arXiv:1711.05101. */
export function adamw(p0: Vector, grads: readonly Vector[], options: AdamOptions): Vector[] {
  return adamRule(p0, grads, { weightDecay: 0.01, ...options }, true);
}

export interface RmspropOptions {
  lr: number;
  alpha?: number;
  eps?: number;
  weightDecay?: number;
  momentum?: number;
}

/** RMSprop, not centred. */
export function rmsprop(p0: Vector, grads: readonly Vector[], options: RmspropOptions): Vector[] {
  const { lr, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0 } = options;
  const second = zeros(p0);
  const buffer = zeros(p0);
  return trajectory(p0, grads, (p, raw, i) => {
    const g = raw + weightDecay * p;
    second[i] = alpha * second[i] + (1 - alpha) * g * g;
    buffer[i] = momentum * buffer[i] + g / (Math.sqrt(second[i]) + eps);
    return p - lr * buffer[i];
  });
}

/** The gradients scaled so that their common Euclidean norm is at most `maxNorm`, and the norm before. */
export function clipGradNorm(grads: readonly Vector[], maxNorm: number): { norm: number; grads: Vector[] } {
  const norm = Math.sqrt(grads.reduce((s, g) => s + g.reduce((t, v) => t + v * v, 0), 0));
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  return { norm, grads: grads.map((g) => g.map((v) => v * factor)) };
}
