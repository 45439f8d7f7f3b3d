// A few training steps of a small Res-UNet, as Node and a page do them.
import { Rng, backward, diceCrossEntropy, init, nn, optim, step, tensor } from "../../src/index.ts";

/** What is compared: the adapter, the loss of each step, and all weights after the last. */
export interface Course {
  readonly adapter: string;
  readonly losses: number[];
  readonly weights: Record<string, number[]>;
}

/** Trains for `steps` steps with Adam on two slices of noise; weights and noise come from seed 1. */
export async function trainingSteps(steps: number, adapter?: string): Promise<Course> {
  const { name } = await init(adapter ? { adapter } : {});
  const rng = new Rng(1);
  const model = new nn.ResUNet({ inChannels: 1, classes: 3, width: 4, depth: 2, dropout: 0.2, rng });
  const adam = new optim.Adam(nn.parameters(model), { lr: 1e-3 });
  const draws = Array.from({ length: 2 * 16 * 16 }, () => rng.normal());
  const images = tensor(Float32Array.from(draws), { shape: [2, 1, 16, 16] });
  const target = tensor(
    Int32Array.from(draws, (v) => Number(v > 0) + Number(v > 1)),
    { shape: [2, 16, 16], dtype: "i32" },
  );
  const losses: number[] = [];
  for (let k = 0; k < steps; k++) {
    const loss = await step(() => {
      const loss = diceCrossEntropy(model.forward(images), target);
      backward(loss);
      adam.step();
      adam.zeroGrad();
      return loss;
    });
    losses.push(await loss.item());
  }
  const weights: Course["weights"] = {};
  for (const [name, { data }] of Object.entries(await nn.stateDict(model))) weights[name] = Array.from(data, Number);
  return { adapter: name, losses, weights };
}
