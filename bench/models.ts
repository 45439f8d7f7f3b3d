// npm run bench:models: whole training steps, as train:kits runs them: the first step, steps and images per second, memory, the
// share of the CPU; and for MSALDS-UNet how long the paper's training would take.

import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { Command, Option } from "commander";
import { Rng, close, hasF16, init, setMatmulPrecision, type PlanMemory } from "../src/index.ts";
import { gpu } from "../src/gpu/device.ts";
import { startProfile, stopProfile, type KernelTime } from "../src/gpu/profile.ts";
import { uploadSlices, type Batch } from "../src/kits/batch.ts";
import { fineNetwork } from "../src/kits/fineNetwork.ts";
import { coarseNetwork, type Network } from "../src/kits/network.ts";
import type { CoarseOptions, FineOptions } from "../src/kits/options.ts";
import { presetOptions } from "../src/kits/presets.ts";

/** KiTS21's training set: axial slices of 300 cases, and those that show a kidney. */
const SLICES = { all: 65_164, kidney: 23_229 };

const command = new Command("bench:models")
  .description("Times training steps on random slices.")
  .option(
    "--models <names>",
    "resunet (coarse network) and msalds (kidney network, discriminators), comma-separated",
    "resunet,msalds",
  )
  .option("--preset <name>", "whose settings they have; default msalds on a GPU, demo where the CPU computes")
  .option("--width <n>", "channels of the first level", Number)
  .option("--discriminator-width <n>", "channels of the discriminators' first level", Number)
  .option("--size <n>", "rows and columns", Number)
  .option("--batch <n>", "slices per step", Number)
  .addOption(new Option("--precision <name>", "of activations").choices(["f32", "f16"]))
  .option("--recompute", "compute blocks again for the gradient")
  .option("--timeline", "also the time of one step by kernel, from the GPU's timestamps")
  .option("--seconds <n>", "time to spend on each after the first step", Number, 60)
  .option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name")
  .option("--json <file>", "write the results as JSON")
  .parse();

interface Options {
  models: string;
  preset?: string;
  width?: number;
  discriminatorWidth?: number;
  size?: number;
  batch?: number;
  precision?: "f32" | "f16";
  recompute?: true;
  timeline?: true;
  seconds: number;
  adapter?: string;
  json?: string;
}

const MODELS: Readonly<Record<string, (settings: CoarseOptions & FineOptions) => Network>> = {
  resunet: (settings) => coarseNetwork(settings, 0, [8, 1, 1]),
  msalds: (settings) => fineNetwork("kidney", settings, 0, [4, 1]),
};

async function main({ models, preset, seconds, timeline, adapter, json, ...changes }: Options): Promise<void> {
  const names = models.split(",");
  const unknown = names.find((name) => !Object.hasOwn(MODELS, name));
  if (unknown !== undefined)
    throw new Error(`--models must be some of ${Object.keys(MODELS).join(", ")}, got ${unknown}`);
  const info = await init(adapter ? { adapter } : {});
  const from = preset ?? (info.software ? "demo" : "msalds");
  console.log(`${info.name} (${info.driver}), preset ${from}${changes.precision ? `, ${changes.precision}` : ""}`);
  if (changes.precision === "f16") {
    if (!hasF16()) throw new Error("--precision f16: this adapter has no shader-f16");
    setMatmulPrecision("high");
  }
  const rows: Measured[] = [];
  for (const name of names) {
    const { coarse, kidney } = presetOptions(from);
    const settings = { ...kidney, ...(name === "resunet" ? coarse : {}), ...changes } as CoarseOptions & FineOptions;
    rows.push(await measure(name, MODELS[name](settings), settings, seconds, timeline ?? false));
    console.log(`\n${describe(rows.at(-1)!)}`);
  }
  if (!json) return;
  mkdirSync(dirname(json), { recursive: true });
  const result = { adapter: info, date: new Date().toISOString().slice(0, 10), preset: from, rows };
  writeFileSync(json, `${JSON.stringify(result, null, 1)}\n`);
}

interface Measured {
  readonly name: string;
  readonly parameters: Network["parameterCounts"];
  readonly batch: number;
  readonly size: number;
  readonly width: number;
  readonly firstStepMs: number;
  readonly steps: number;
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly imagesPerSecond: number;
  readonly memory: PlanMemory;
  /** Of all processors; where the CPU computes, close to 1 is good. */
  readonly cpuShare: number;
  /** Of one step, longest first; empty unless asked for. */
  readonly timeline: readonly KernelShare[];
  readonly peakGpuBytes: number;
  readonly peakRssBytes: number;
  /** Days for 200 epochs of this network on KiTS21's training cases, 8 of 10. */
  readonly projectedDays: { readonly allSlices: number; readonly kidneySlices: number };
}

async function measure(
  name: string,
  network: Network,
  { batch: count, size, width }: CoarseOptions & FineOptions,
  seconds: number,
  withTimeline: boolean,
): Promise<Measured> {
  network.setTraining(true);
  const batch = await randomBatch(count, size);
  const memory = await network.prepare(count, batch.slices);
  const stepMs = async (): Promise<number> => {
    const start = performance.now();
    await (await network.trainStep(batch)).values.read();
    return performance.now() - start;
  };
  const firstStepMs = await stepMs();
  const times: number[] = [];
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  while (times.length < 3 || performance.now() - start < seconds * 1000) times.push(await stepMs());
  const used = process.cpuUsage(cpu);
  const cpuShare = (used.user + used.system) / 1000 / (performance.now() - start) / availableParallelism();
  if (withTimeline) startProfile();
  if (withTimeline) await stepMs();
  const timeline = byKernel(stopProfile());
  network.free();
  times.sort((a, b) => a - b);
  const medianMs = times[times.length >> 1];
  const imagesPerSecond = (1000 * count) / medianMs;
  const days = (slices: number) => (0.8 * slices * 200) / imagesPerSecond / 86_400;
  return {
    ...{ name, parameters: network.parameterCounts, batch: count, size, width },
    ...{ firstStepMs, steps: times.length, medianMs, minMs: times[0], maxMs: times.at(-1)!, imagesPerSecond },
    ...{
      memory,
      cpuShare,
      timeline,
      peakGpuBytes: gpu().pool.peakBytes,
      peakRssBytes: 1024 * process.resourceUsage().maxRSS,
    },
    projectedDays: { allSlices: days(SLICES.all), kidneySlices: days(SLICES.kidney) },
  };
}

/** The calls of one kernel in a step. */
interface KernelShare {
  readonly kernel: string;
  readonly calls: number;
  readonly ms: number;
  readonly gflops: number;
  readonly gbps: number;
}

function byKernel(times: readonly KernelTime[]): KernelShare[] {
  const groups = new Map<string, KernelTime[]>();
  for (const time of times) groups.set(time.kernel, [...(groups.get(time.kernel) ?? []), time]);
  const sum = (list: readonly KernelTime[], what: (t: KernelTime) => number) => list.reduce((n, t) => n + what(t), 0);
  const shares = [...groups].map(([kernel, list]) => {
    const ms = sum(list, (t) => t.ms);
    const [gflops, gbps] = [sum(list, (t) => t.flops) / ms / 1e6, sum(list, (t) => t.bytes) / ms / 1e6];
    return { kernel, calls: list.length, ms, gflops, gbps };
  });
  return shares.sort((a, b) => b.ms - a.ms);
}

function describeTimeline(timeline: readonly KernelShare[]): string[] {
  const total = timeline.reduce((n, { ms }) => n + ms, 0);
  return timeline.map(({ kernel, calls, ms, gflops, gbps }) => {
    const share = `${((100 * ms) / total).toFixed(1)} %`;
    return `  ${kernel.padEnd(30)} ${String(calls).padStart(5)} calls ${ms.toFixed(2).padStart(9)} ms ${share.padStart(7)} ${gflops.toFixed(1).padStart(8)} GFLOP/s ${gbps.toFixed(2).padStart(7)} GB/s`;
  });
}

function describe(r: Measured): string {
  const { allSlices, kidneySlices } = r.projectedDays;
  const { planned, bound, outside } = r.memory;
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const discriminators =
    r.parameters.discriminators > 0 ? ` + ${r.parameters.discriminators.toLocaleString("en")}` : "";
  return [
    `${r.name}, width ${r.width}: ${r.parameters.network.toLocaleString("en")}${discriminators} parameters, batch ${r.batch}, ${r.size} x ${r.size}`,
    `  first step ${(r.firstStepMs / 1000).toFixed(1)} s; then ${r.medianMs.toFixed(0)} ms [${r.minMs.toFixed(0)} .. ${r.maxMs.toFixed(0)}] over ${r.steps} steps`,
    `  ${(1000 / r.medianMs).toFixed(2)} steps/s, ${r.imagesPerSecond.toFixed(2)} images/s, CPU ${(100 * r.cpuShare).toFixed(0)} %`,
    `  a step takes ${mib(planned)}, at least ${mib(bound)} are alive at once; ${mib(outside)} weights, optimiser state, slices`,
    `  peak of the process so far: ${mib(r.peakGpuBytes)} of GPU buffers, ${mib(r.peakRssBytes)} resident`,
    `  200 epochs on KiTS21 (8:1:1): ${allSlices.toFixed(1)} days on all slices, ${kidneySlices.toFixed(1)} days on those with a kidney`,
    ...describeTimeline(r.timeline),
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
  console.error(`bench:models: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  close();
}
