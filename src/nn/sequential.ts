import type { Tensor } from "../tensor.ts";

/** Layers applied one after another. In parameter names they are 0, 1, ..., as in PyTorch. */
export class Sequential {
  readonly layers: readonly { forward(x: Tensor): Tensor }[];

  constructor(...layers: { forward(x: Tensor): Tensor }[]) {
    this.layers = layers;
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y), x);
  }
}
