// The joint step of MSALDS-UNet as train:kits runs it: images per second, memory, and how long the paper's training takes.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Command } from "commander";
import { Rng, close, init } from "../src/index.ts";
import { gpu } from "../src/gpu/device.ts";
import { uploadSlices, type Batch } from "../src/kits/batch.ts";
import { fineNetwork } from "../src/kits/fineNetwork.ts";
import { presetOptions } from "../src/kits/presets.ts";

/** KiTS21's training set: axial slices of 300 cases, and those that show a kidney. */
const SLICES = { all: 65_164, kidney: 23_229 };

const command = new Command("bench:msalds")
  .description("Times joint steps of an MSALDS-UNet and its discriminators on random slices.")
  .option("--preset <name>", "settings of the kidney stage", "msalds")
  .option("--width <n>", "channels of the first level", Number)
  .option("--discriminator-width <n>", "channels of the discriminators' first level", Number)
  .option("--size <n>", "rows and columns", Number)
  .option("--batch <n>", "slices per step", Number)
  .option("--seconds <n>", "time to spend after the first step", Number, 60)
  .option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name")
  .option("--json <file>", "write the results as JSON")
  .parse();

interface Options {
  preset: string;
  width?: number;
  discriminatorWidth?: number;
  size?: number;
  batch?: number;
  seconds: number;
  adapter?: string;
  json?: string;
}

async function main(options: Options): Promise<void> {
  const { preset, seconds, adapter, json, ...changes } = options;
  const info = await init(adapter ? { adapter } : {});
  const settings = { ...presetOptions(preset).kidney, ...changes };
  const network = fineNetwork("kidney", settings, 0, [4, 1]);
  network.setTraining(true);
  const batch = await randomBatch(settings.batch, settings.size);
  const stepMs = async (): Promise<number> => {
    const start = performance.now();
    await (await network.trainStep(batch)).values.read();
    return performance.now() - start;
  };
  const firstStepMs = await stepMs();
  const times: number[] = [];
  for (const start = performance.now(); times.length < 3 || performance.now() - start < seconds * 1000;)
    times.push(await stepMs());
  times.sort((a, b) => a - b);
  const medianMs = times[times.length >> 1];
  const imagesPerSecond = (1000 * settings.batch) / medianMs;
  const days = (slices: number) => (0.8 * slices * 200) / imagesPerSecond / 86_400;
  const result = {
    adapter: info,
    date: new Date().toISOString().slice(0, 10),
    preset,
    parameters: network.parameterCounts,
    batch: settings.batch,
    size: settings.size,
    width: settings.width,
    discriminatorWidth: settings.discriminatorWidth,
    firstStepMs,
    steps: times.length,
    medianMs,
    minMs: times[0],
    maxMs: times.at(-1)!,
    imagesPerSecond,
    peakGpuBytes: gpu().pool.peakBytes,
    projectedDays: { allSlices: days(SLICES.all), kidneySlices: days(SLICES.kidney) },
  };
  console.log(describe(result));
  if (!json) return;
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify(result, null, 1)}\n`);
}

function describe(r: {
  adapter: { name: string };
  parameters: { network: number; discriminators: number };
  batch: number;
  size: number;
  firstStepMs: number;
  steps: number;
  medianMs: number;
  minMs: number;
  maxMs: number;
  imagesPerSecond: number;
  peakGpuBytes: number;
  projectedDays: { allSlices: number; kidneySlices: number };
}): string {
  const { allSlices, kidneySlices } = r.projectedDays;
  return [
    `${r.adapter.name}: ${r.parameters.network.toLocaleString("en")} + ${r.parameters.discriminators.toLocaleString("en")} parameters, batch ${r.batch}, ${r.size} x ${r.size}`,
    `first step ${(r.firstStepMs / 1000).toFixed(1)} s; then ${r.medianMs.toFixed(0)} ms [${r.minMs.toFixed(0)} .. ${r.maxMs.toFixed(0)}] over ${r.steps} steps`,
    `${r.imagesPerSecond.toFixed(2)} images/s, peak ${(r.peakGpuBytes / 2 ** 20).toFixed(0)} MiB of GPU buffers`,
    `projected for 200 epochs of one stage on KiTS21 (8:1:1): ${allSlices.toFixed(1)} days on all slices, ${kidneySlices.toFixed(1)} days on those with a kidney`,
  ].join("\n");
}

/** Random slices that lie on the GPU as bytes, as in training. */
async function randomBatch(count: number, size: number): Promise<Batch> {
  const rng = new Rng(0, "bench");
  const bytes = (below: number) => Uint8Array.from({ length: count * size * size }, () => rng.integer(below));
  const reader = (all: Uint8Array) => (slice: number, out: Uint8Array, offset?: number) =>
    out.set(all.subarray(slice * size * size, (slice + 1) * size * size), offset);
  const source = {
    size,
    cache: { size, readImage: reader(bytes(256)), readLabel: reader(bytes(2)) },
    stage: { classOf: (label: number) => label },
    regionOf: () => ({ y: 0, x: 0, side: 1 }),
  };
  const slices = Array.from({ length: count }, (_, i) => i);
  return (await uploadSlices(source, slices)).batch(slices);
}

try {
  await main(command.opts<Options>());
} catch (error) {
  console.error(`bench:msalds: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  close();
}
