// A whole cascade of very small networks with random weights, and its run folder: what prediction needs, without training.
import { join } from "node:path";
import { assign, mean, mul, noGrad, reshape, step, tensor } from "../../src/index.ts";
import { stateDict } from "../../src/nn/index.ts";
import type { SliceCache } from "../../src/kits/cache.ts";
import { runCascade } from "../../src/kits/cascade.ts";
import { saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { fineNetwork } from "../../src/kits/fineNetwork.ts";
import { coarseNetwork, type Network } from "../../src/kits/network.ts";
import { stageNames, type FineOptions, type RunOptions, type StageName } from "../../src/kits/options.ts";
import { drawPhantomCase } from "../../src/kits/phantom.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import type { CascadeWeights, NetworkWeights } from "../../src/kits/segment.ts";
import { imageSlices } from "../../src/kits/slices.ts";

const small = { size: 16, width: 4, depth: 2, batch: 3, channels: 1 };
const fine: Partial<FineOptions> = { ...small, scales: 2, discriminatorWidth: 4, discriminatorDepth: 1 };

/** Settings of four networks on slices of 16 pixels, of which regions are cut from slices of 32. */
export function tinyOptions(change: Partial<RunOptions> = {}): RunOptions {
  const options = { ...presetOptions("phantom"), sourceSize: 32, seed: 11, ...change }; // with it all labels are found
  Object.assign(options.coarse, small);
  for (const name of ["kidney", "masses", "tumor"] as const) Object.assign(options[name], fine);
  return options;
}

/** Random weights for these settings, as a run that was trained leaves them in `folder`. */
export async function saveTinyWeights(options: RunOptions, folder: string): Promise<CascadeWeights> {
  const weights: Partial<Record<StageName, NetworkWeights>> = {};
  for (const name of stageNames) {
    const network =
      name === "coarse"
        ? coarseNetwork(options.coarse, options.seed, [1, 1, 1])
        : fineNetwork(name, options[name], options.seed, [1, 1]);
    await decide(network, options);
    const [model, discriminators] = [await stateDict(network.model), await stateDict(network.discriminators)];
    weights[name] = { model, discriminators };
    const best = join(folder, "checkpoints", name, "best");
    await saveCheckpoint(`${best}.safetensors`, model, {});
    if (name !== "coarse") await saveCheckpoint(`${best}.discriminators.safetensors`, discriminators, {});
  }
  return weights;
}

/** Makes the class of a pixel depend on it: random networks say nearly the same everywhere. */
async function decide(network: Network, { window, level }: RunOptions): Promise<void> {
  const { weight, bias } = network.model.classifier;
  const { size } = network;
  const { image, geometry } = drawPhantomCase(0, { slices: 4, size: 2 * size });
  const bytes = imageSlices({ data: image, header: geometry }, { size, window, level });
  network.setTraining(false);
  const images = reshape(tensor(Float32Array.from(bytes, (v) => v / 255)), [geometry.shape[0], 1, size, size]);
  const logits = await step(() =>
    noGrad(() => mean(network.model.forward(network.input(images)), { dims: [0, 2, 3] })),
  );
  const [means, biases] = [await logits.read(), await bias!.read()];
  assign(weight, mul(weight, 40));
  assign(bias!, tensor(Float32Array.from(biases, (b, k) => 40 * (b - means[k]))));
}

/** Predicts the cases of `cache` with the networks in `folder`, as training does it: by files. */
export async function predictByFiles(options: RunOptions, folder: string, cache: SliceCache, coarse: SliceCache) {
  const ids = cache.index.cases.map(({ id }) => id);
  await runCascade({
    options,
    ...{ split: { unit: "case", seed: 0, fractions: [1, 1, 1], overfit: true, train: ids, val: ids, test: ids } },
    ...{ coarse, fine: cache, folder, mode: "silent", tune: 0, resume: false, checkpointSeconds: 0 },
    ...{ onNonfinite: "stop", stages: [], trained: {}, say: () => {} },
    reopen: () => Promise.reject(new Error("lost")),
    onStage: async () => {},
  });
}
