// The networks of a run as ONNX files, each with a JSON that says what surrounds it.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import { exportOnnx } from "../onnx/index.ts";
import type { Tensor } from "../tensor.ts";
import { writeFileAtomic, writeJsonAtomic } from "./atomic.ts";
import { loadCheckpoint } from "./checkpointFile.ts";
import { INPUT, OUTPUT, cascadeSpec, networkSpec } from "./exportSpec.ts";
import type { RunOptions, StageName } from "./options.ts";
import { loadFacts } from "./run.ts";
import { stageNames } from "./stages.ts";
import { trainedNetwork } from "./trainedNetwork.ts";

/** An exported network: its files, and their place in the folder. */
export interface Exported {
  readonly stage: StageName;
  readonly onnx: string;
  readonly json: string;
  readonly bytes: number;
}

/**
 * Writes <stage>.onnx and <stage>.json for the best weights of each of `stages` (default: all networks of the run) and
 * cascade.json, which says how they work together. Throws DataError where there is no run, or not the network of a stage
 * that is asked for.
 */
export async function exportRun(folder: string, out: string, stages?: readonly StageName[]): Promise<Exported[]> {
  const { options, trained = {} } = await loadFacts(folder);
  const there = stageNames.filter((stage) => trained[stage] !== "absent" && existsSync(weightsFile(folder, stage)));
  const missing = stages?.find((stage) => !there.includes(stage));
  if (missing || there.length === 0)
    throw new DataError(`${weightsFile(folder, missing ?? "coarse")}: there is no trained network; train it first`);
  await mkdir(out, { recursive: true });
  const exported: Exported[] = [];
  for (const stage of stages ?? there) exported.push(await exportStage(folder, out, stage, options));
  const files = Object.fromEntries(exported.map(({ stage, json }) => [stage, json]));
  await writeJsonAtomic(join(out, "cascade.json"), cascadeSpec(options, files));
  return exported;
}

function weightsFile(folder: string, stage: StageName): string {
  return join(folder, "checkpoints", stage, "best.safetensors");
}

async function exportStage(folder: string, out: string, stage: StageName, options: RunOptions): Promise<Exported> {
  const [onnx, json] = [`${stage}.onnx`, `${stage}.json`];
  const { tensors, metadata } = await loadCheckpoint(weightsFile(folder, stage));
  const precise = { ...options, [stage]: { ...options[stage], precision: "f32" } };
  const network = trainedNetwork(stage, precise, { model: tensors });
  network.setTraining(false);
  const spec = networkSpec(stage, options, onnx, metadata);
  const { size } = network;
  const bytes = await exportOnnx(
    (image: Tensor) => ({ [OUTPUT]: network.probabilities(network.model.forward(network.input(image))) }),
    { [INPUT]: { shape: [1, 1, size, size] } },
    { weights: network.model, name: `kits-${stage}`, description: JSON.stringify(spec), metadata },
  );
  await writeFileAtomic(join(out, onnx), bytes, "the network");
  await writeJsonAtomic(join(out, json), spec);
  return { stage, onnx, json, bytes: bytes.length };
}
