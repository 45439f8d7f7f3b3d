// npm run soak: trains a small network for many steps, and fails where it holds more at the end than after step 100.

import { Command } from "commander";
import { close, init } from "../../src/index.ts";
import { startProgress } from "../../src/kits/progress.ts";
import { collectGarbage } from "../garbage.ts";
import { Watch, growth, table, type Held } from "./held.ts";
import { Training } from "./workload.ts";

interface Options {
  steps: number;
  plainSteps: number;
  devices: number;
  adapter?: string;
}

const command = new Command("soak")
  .description("Trains a small network for many steps, and fails where more is held at the end than after step 100.")
  .option("--steps <n>", "compiled steps", Number, 10_000)
  .option("--plain-steps <n>", "steps without compile", Number, 10_000)
  .option("--devices <n>", "times that the GPU is opened and closed", Number, 20)
  .option("--adapter <name>", "swiftshader, lavapipe, or part of a device's name")
  .parse();

const START = 100;
const STATIONS = 10;

/** What process memory may rise from the first half of the openings to the second: allocators keep pages back at will. */
const OPENING = 64 * 2 ** 20;

/** Trains, and returns what was wrong in the end. */
async function soak(label: string, steps: number, compiled: boolean): Promise<string[]> {
  const training = new Training({ compiled });
  const watch = new Watch();
  const rows: [step: number, held: Held][] = [];
  const progress = startProgress({ label, total: steps, unit: "steps" });
  const started = performance.now();
  try {
    for (let k = 1; k <= steps; k++) {
      await training.next();
      if (k % 50 === 0) progress.update(k, { loss: training.losses.at(-1)! });
      if (k !== START && k % Math.ceil(steps / STATIONS) !== 0) continue;
      await training.settle(0);
      rows.push([k, await watch.held()]);
    }
  } finally {
    progress.stop();
  }
  const ms = (performance.now() - started) / steps;
  console.log(`\n${label}: ${steps} steps of ${ms.toFixed(1)} ms, loss ${training.losses.at(-1)!.toFixed(4)}`);
  console.log(table(rows));
  const [first, middle, last] = [rows[0], rows[Math.floor(rows.length / 2)], rows.at(-1)!].map(([, held]) => held);
  const wrong = growth(first, middle, last);
  if (training.mostUnread > 2 || watch.mostMaps > 2)
    wrong.push(`${training.mostUnread} losses unread at once, ${watch.mostMaps} buffers mapped at once`);
  training.free();
  return wrong.map((text) => `${label}: ${text}`);
}

/** Opens the GPU, trains a little and closes it, again and again: returns what was wrong. */
async function reopen(times: number, adapter: { adapter?: string }): Promise<string[]> {
  const rss: number[] = [];
  for (let k = 0; k < times; k++) {
    await init(adapter);
    const training = new Training({ compiled: k % 2 === 0 });
    for (let i = 0; i < 3; i++) await training.next();
    await training.settle(0);
    close();
    await collectGarbage();
    rss.push(process.memoryUsage().rss);
  }
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  console.log(`\nopened ${times} times: ${rss.map(mib).join(", ")} MiB of process memory after each`);
  const [early, late] = [rss.slice(0, times / 2), rss.slice(times / 2)].map((list) => Math.max(...list));
  // A device with its pipelines left behind would be more than 100 MiB, each time.
  return late - early > OPENING ? [`opening the GPU again and again took ${mib(early)}, later ${mib(late)} MiB`] : [];
}

async function main({ steps, plainSteps, devices, adapter }: Options): Promise<void> {
  const chosen = adapter ? { adapter } : {};
  const info = await init(chosen);
  console.log(`${info.name} (${info.driver})`);
  const wrong = await soak("compiled", steps, true);
  close();
  await init(chosen);
  wrong.push(...(await soak("without compile", plainSteps, false)));
  close();
  wrong.push(...(await reopen(devices, chosen)));
  for (const text of wrong) console.error(`soak: ${text}`);
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

await main(command.opts<Options>());
