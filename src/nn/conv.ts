import { OptionError } from "../errors.ts";
import { perAxis, type PerAxis } from "../kernels/axes.ts";
import { conv1d, conv2d, conv3d } from "../kernels/conv.ts";
import type { ConvOptions as Settings } from "../kernels/convShape.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { defaultWeights } from "./init.ts";

/** Settings of Conv1d, Conv2d and Conv3d. */
export interface ConvLayerOptions extends Settings {
  /** Taps per axis. */
  kernelSize: PerAxis;
  /** Default true. */
  bias?: boolean;
  rng: Rng;
}

interface ConvFields {
  weight: Tensor;
  bias: Tensor | null;
  settings: Required<Settings>;
}

/** Both channel counts must be multiples of `groups`. */
export function checkGroups(op: string, cin: number, cout: number, groups: number): void {
  const valid =
    [cin, cout, groups].every((n) => Number.isInteger(n) && n > 0) && cin % groups === 0 && cout % groups === 0;
  if (!valid)
    throw new OptionError(`${op}: groups must divide the channels, got ${cin} to ${cout} channels in ${groups} groups`);
}

function fieldsOf(op: string, axes: number, cin: number, cout: number, options: ConvLayerOptions): ConvFields {
  const { kernelSize, stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, rng } = options;
  checkGroups(op, cin, cout, groups);
  const kernel = perAxis(op, "kernelSize", kernelSize, axes, 1);
  const weights = defaultWeights([cout, cin / groups, ...kernel], bias ? cout : 0, rng);
  return { ...weights, settings: { stride, padding, dilation, groups } };
}

/** Convolution over length. x: [N, CIN, L]; returns [N, COUT, L']. */
export class Conv1d {
  readonly weight: Tensor; // [COUT, CIN / groups, K]
  readonly bias: Tensor | null; // [COUT]
  readonly settings: Required<Settings>;

  constructor(cin: number, cout: number, options: ConvLayerOptions) {
    ({ weight: this.weight, bias: this.bias, settings: this.settings } = fieldsOf("Conv1d", 1, cin, cout, options));
  }

  forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.settings);
  }
}

/** Convolution over height and width. x: [N, CIN, H, W]; returns [N, COUT, H', W']. */
export class Conv2d {
  readonly weight: Tensor; // [COUT, CIN / groups, K, K]
  readonly bias: Tensor | null; // [COUT]
  readonly settings: Required<Settings>;

  constructor(cin: number, cout: number, options: ConvLayerOptions) {
    ({ weight: this.weight, bias: this.bias, settings: this.settings } = fieldsOf("Conv2d", 2, cin, cout, options));
  }

  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.settings);
  }
}

/** Convolution over depth, height and width. x: [N, CIN, D, H, W]; returns [N, COUT, D', H', W']. */
export class Conv3d {
  readonly weight: Tensor; // [COUT, CIN / groups, K, K, K]
  readonly bias: Tensor | null; // [COUT]
  readonly settings: Required<Settings>;

  constructor(cin: number, cout: number, options: ConvLayerOptions) {
    ({ weight: this.weight, bias: this.bias, settings: this.settings } = fieldsOf("Conv3d", 3, cin, cout, options));
  }

  forward(x: Tensor): Tensor {
    return conv3d(x, this.weight, this.bias, this.settings);
  }
}
