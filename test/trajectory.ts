// The course of a short training run by PyTorch, made by fixtures/trajectory.py: a Res-UNet of width 4 and depth 3
// takes 30 Adam steps on two batches that alternate. Weights are named as in PyTorch's state_dict.
import { readFileSync } from "node:fs";
import { type Input, type Tolerance, absolute } from "./check.ts";
import type { Expected } from "./golden.ts";
import { readSafetensors } from "./safetensors.ts";

interface Manifest {
  torch: string;
  model: { cin: number; classes: number; width: number; depth: number };
  parameters: number;
  adam: { lr: number; betas: [number, number]; eps: number };
  loss: { name: string; smooth: number };
  losses: number[];
  loss_spread: number[];
  first_spread: Record<string, number>;
  final_spread: Record<string, number>;
  evaluation_spread: number;
}

export interface Trajectory {
  readonly model: Manifest["model"];
  /** Number of trained parameters; running statistics do not count. */
  readonly parameters: number;
  readonly adam: Manifest["adam"];
  /** Cross entropy plus batch Dice over softmax probabilities, the mean over all classes, with this smooth term. */
  readonly loss: Manifest["loss"];
  /** Step k trains on batches[k % 2]. x: [2, 1, 32, 32]; target: [2, 32, 32] of 0, 1, 2. */
  readonly batches: readonly { readonly x: Input; readonly target: Input }[];
  /** Parameters and running statistics before the first step and after the last. */
  readonly initial: ReadonlyMap<string, Input>;
  readonly final: ReadonlyMap<string, Expected>;
  /** Logits [2, 3, 32, 32] and gradients of all parameters in the first step. */
  readonly firstLogits: Expected;
  readonly firstGradients: ReadonlyMap<string, Expected>;
  /** The loss of each of the 30 steps, before its update. */
  readonly losses: readonly { readonly value: number; readonly tol: number }[];
  /** Logits of batch 0 after the last step in evaluation mode, which uses the running statistics. */
  readonly evaluationLogits: Expected;
}

/** The values under `prefix/`, without the prefix. */
function under(prefix: string, all: Map<string, Input>): Map<string, Input> {
  const own = [...all].filter(([name]) => name.startsWith(prefix));
  return new Map(own.map(([name, value]) => [name.slice(prefix.length), value]));
}

/**
 * Eight times the largest difference seen between right runs, because five runs do not show the worst one and a GPU's
 * exp, division and square root round less well than the C library's; plus 2e-6 of the
 * largest |value|, 17 units in the last place.
 */
function allowed(value: Input, spread: number): Tolerance {
  return absolute(8 * spread + 2e-6 * value.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0));
}

/** Reads the fixture. */
export function loadTrajectory(): Trajectory {
  const folder = new URL("./fixtures/", import.meta.url);
  const manifest = JSON.parse(readFileSync(new URL("trajectory.json", folder), "utf8")) as Manifest;
  const all = readSafetensors(new URL("trajectory.safetensors", folder));
  const withSpread = (values: Map<string, Input>, spread: (name: string) => number): Map<string, Expected> =>
    new Map([...values].map(([name, v]) => [name, { ...v, tol: allowed(v, spread(name)) }]));
  const first = under("first/", all);
  const firstLogits = first.get("logits")!;
  const evaluationLogits = all.get("evaluation/logits")!;
  // Rounding only grows: the spread up to a step bounds that of the step better than its own five runs.
  const spreadUpTo = (k: number): number => Math.max(...manifest.loss_spread.slice(0, k + 1));
  return {
    model: manifest.model,
    parameters: manifest.parameters,
    adam: manifest.adam,
    loss: manifest.loss,
    batches: [0, 1].map((k) => ({
      x: { ...all.get(`batch${k}/x`)!, grad: false },
      target: all.get(`batch${k}/target`)!,
    })),
    initial: under("initial/", all),
    final: withSpread(under("final/", all), (name) => manifest.final_spread[name]),
    firstLogits: { ...firstLogits, tol: allowed(firstLogits, manifest.first_spread.logits) },
    firstGradients: withSpread(under("grad/", first), (name) => manifest.first_spread[`grad/${name}`]),
    losses: manifest.losses.map((value, k) => ({ value, tol: 8 * spreadUpTo(k) + 2e-6 * value })),
    evaluationLogits: { ...evaluationLogits, tol: allowed(evaluationLogits, manifest.evaluation_spread) },
  };
}
