import { perAxis, type PerAxis } from "../kernels/axes.ts";
import type { ConvTransposeOptions as Settings } from "../kernels/convShape.ts";
import { convTranspose2d, convTranspose3d } from "../kernels/convTranspose.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { checkGroups } from "./conv.ts";
import { defaultWeights } from "./init.ts";

/** Settings of ConvTranspose2d and ConvTranspose3d. */
export interface ConvTransposeLayerOptions extends Settings {
  /** Taps per axis. */
  kernelSize: PerAxis;
  /** Default true. */
  bias?: boolean;
  rng: Rng;
}

interface ConvTransposeFields {
  weight: Tensor;
  bias: Tensor | null;
  settings: Required<Settings>;
}

function fieldsOf(
  op: string,
  axes: number,
  cin: number,
  cout: number,
  options: ConvTransposeLayerOptions,
): ConvTransposeFields {
  const {
    kernelSize,
    stride = 1,
    padding = 0,
    outputPadding = 0,
    dilation = 1,
    groups = 1,
    bias = true,
    rng,
  } = options;
  checkGroups(op, cin, cout, groups);
  const kernel = perAxis(op, "kernelSize", kernelSize, axes, 1);
  const weights = defaultWeights([cin, cout / groups, ...kernel], bias ? cout : 0, rng);
  return { ...weights, settings: { stride, padding, outputPadding, dilation, groups } };
}

/**
 * Transposed convolution over height and width. x: [N, CIN, H, W]; returns [N, COUT, H', W'], H' = (H - 1) stride -
 * 2 padding + dilation (K - 1) + outputPadding + 1.
 */
export class ConvTranspose2d {
  readonly weight: Tensor; // [CIN, COUT / groups, K, K]
  readonly bias: Tensor | null; // [COUT]
  readonly settings: Required<Settings>;

  constructor(cin: number, cout: number, options: ConvTransposeLayerOptions) {
    ({
      weight: this.weight,
      bias: this.bias,
      settings: this.settings,
    } = fieldsOf("ConvTranspose2d", 2, cin, cout, options));
  }

  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, this.bias, this.settings);
  }
}

/** Transposed convolution over depth, height and width. x: [N, CIN, D, H, W]; sizes as in ConvTranspose2d. */
export class ConvTranspose3d {
  readonly weight: Tensor; // [CIN, COUT / groups, K, K, K]
  readonly bias: Tensor | null; // [COUT]
  readonly settings: Required<Settings>;

  constructor(cin: number, cout: number, options: ConvTransposeLayerOptions) {
    ({
      weight: this.weight,
      bias: this.bias,
      settings: this.settings,
    } = fieldsOf("ConvTranspose3d", 3, cin, cout, options));
  }

  forward(x: Tensor): Tensor {
    return convTranspose3d(x, this.weight, this.bias, this.settings);
  }
}
