// The optimisers' fused steps over the parameters of a small network.

import * as w from "../src/index.ts";
import { Rng } from "../src/index.ts";
import { FORWARD_TOLERANCE, leaf, sampled, type Case, type Work } from "./case.ts";

/** One step of Adam, AdamW and SGD. */
export function optimiserCases(): Case[] {
  return (["Adam", "AdamW", "SGD"] as const).map(optimiserCase);
}

function optimiserCase(kind: "Adam" | "AdamW" | "SGD"): Case {
  const sizes = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? [64, 64, 3, 3] : [64]));
  const count = sizes.reduce((n, s) => n + s.reduce((a, b) => a * b), 0);
  const setup = (): Work => {
    const parameters = sizes.map((s, i) => leaf(w.randn(s, new Rng(3, i))));
    for (const p of parameters) p.grad = w.randn(p.shape, new Rng(7));
    const optimiser = new w.optim[kind](parameters, { lr: 0.01 });
    const check = async () => {
      const [p, g] = [await parameters[0].read(), await parameters[0].grad!.read()];
      await w.step(() => optimiser.step());
      // The first step of Adam moves each weight by lr in the direction of its gradient; AdamW also decays by lr * 0.01.
      const decay = kind === "AdamW" ? 1 - 0.01 * 0.01 : 1;
      return sampled(
        parameters[0],
        (i) => p[i] * decay - 0.01 * (kind === "SGD" ? g[i] : g[i] / (Math.abs(g[i]) + 1e-8)),
      );
    };
    return {
      run: () => optimiser.step(),
      flops: 0,
      bytes: 4 * count * (kind === "SGD" ? 3 : 7),
      check,
      tolerance: FORWARD_TOLERANCE,
    };
  };
  return { name: `${kind} step`, shape: `${count} weights in ${sizes.length} tensors`, setup };
}
