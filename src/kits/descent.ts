// How a loss moves the weights: gradients, then the optimiser's step; for networks that run in f16 under a loss scale.

import { backward, hasF16, type Tensor } from "../index.ts";
import { GradScaler, type Adam } from "../nn/optim.ts";

/** One training step's gradients and updates. */
export interface Descent {
  /** The gradients of `loss`, a step of `optimiser`, its gradients cleared. */
  step(loss: Tensor, optimiser: Adam): void;
  /** After the last optimiser of the training step. */
  finish(): void;
  /** The loss scale for a checkpoint; empty where there is none. */
  state(): Promise<Record<string, number>>;
  loadState(state: Readonly<Record<string, number>>): void;
}

/** `precision` of the network's activations; where the adapter has no f16, as f32. */
export function descent(precision: "f32" | "f16"): Descent {
  if (precision === "f32" || !hasF16())
    return {
      step: (loss, optimiser) => {
        backward(loss);
        optimiser.step();
        optimiser.zeroGrad();
      },
      finish: () => {},
      state: async () => ({}),
      loadState: () => {},
    };
  const scaler = new GradScaler();
  return {
    step: (loss, optimiser) => {
      backward(scaler.scale(loss));
      scaler.step(optimiser);
      optimiser.zeroGrad();
    },
    finish: () => scaler.update(),
    state: () => scaler.state(),
    loadState: ({ scale, good }) => scaler.loadState({ scale, good }),
  };
}
