// How a loss moves the weights: gradients, then the optimiser's step; for networks that run in f16 under a loss scale. A
// step whose loss or gradients are not finite moves nothing: that is decided on the GPU, and told with the step's terms.

import { backward, cast, hasF16, hostTensor, type Tensor } from "../index.ts";
import { noteNonfinite } from "../nn/nonfinite.ts";
import { GradScaler, type Adam } from "../nn/optim.ts";
import type { Probe } from "../nn/probe.ts";

/** What a training step does with its losses, one per optimiser. */
export interface Moves {
  /** The gradients of `loss`, a step of `optimiser`, its gradients cleared. */
  step(loss: Tensor, optimiser: Adam): void;
  /** After the last optimiser of the training step. [1] f32: not 0 where a step was not taken. */
  finish(): Tensor;
}

/** One training step's gradients and updates. */
export interface Descent extends Moves {
  /** The gradients of `loss`, times the loss scale where there is one. */
  gradients(loss: Tensor): void;
  /** There is a loss scale: gradients that overflow now and then only lower it. */
  readonly scaled: boolean;
  /** The loss scale for a checkpoint; empty where there is none. */
  state(): Promise<Record<string, number>>;
  loadState(state: Readonly<Record<string, number>>): void;
}

/** `precision` of the network's activations; where the adapter has no f16, as f32. */
export function descent(precision: "f32" | "f16"): Descent {
  return precision === "f16" && hasF16() ? scaledDescent() : plainDescent();
}

function plainDescent(): Descent {
  // Of the training step under way: once set, the optimisers that follow in it do not move either.
  let found: Tensor | null = null;
  return {
    gradients: (loss) => backward(loss),
    scaled: false,
    step: (loss, optimiser) => {
      backward(loss);
      found ??= hostTensor([1], "u32", () => new Uint32Array(1));
      noteNonfinite([loss, ...optimiser.allParameters().flatMap(({ grad }) => grad ?? [])], found);
      optimiser.step({ skip: found });
      optimiser.zeroGrad();
    },
    finish: () => {
      const skipped = cast(found!, "f32");
      found = null;
      return skipped;
    },
    state: async () => ({}),
    loadState: () => {},
  };
}

function scaledDescent(): Descent {
  const scaler = new GradScaler();
  const gradients = (loss: Tensor) => backward(scaler.scale(loss));
  return {
    gradients,
    scaled: true,
    step: (loss, optimiser) => {
      gradients(loss);
      noteNonfinite([loss], scaler.unscale(optimiser));
      scaler.step(optimiser);
      optimiser.zeroGrad();
    },
    finish: () => scaler.update(),
    state: () => scaler.state(),
    loadState: ({ scale, good }) => scaler.loadState({ scale, good }),
  };
}

/** In place of a descent: shows losses and gradients to `probe` and moves nothing. */
export function probing(descent: Descent, probe: Probe): Moves {
  return {
    step: (loss, optimiser) => {
      probe.value("the loss", loss);
      descent.gradients(loss);
      probe.gradients(optimiser.allParameters());
      optimiser.zeroGrad();
    },
    finish: () => hostTensor([1], "f32", () => new Float32Array(1)),
  };
}
