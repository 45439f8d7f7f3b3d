// What a process holds: counted where WebGPU makes and destroys it, so that nothing can be forgotten by the library.
import { gpu } from "../../src/gpu/device.ts";
import { collectGarbage } from "../garbage.ts";

/** Counts of what is held, and bytes. */
export interface Held {
  /** Made and not destroyed, staging included. */
  readonly buffers: number;
  readonly gpuBytes: number;
  /** Of them handed out by the pool: by tensors and plans. */
  readonly usedBytes: number;
  /** Made and not collected as garbage. */
  readonly bindGroups: number;
  readonly pipelines: number;
  /** Reads that have not come back. */
  readonly maps: number;
  /** JavaScript objects after a collection, and all of the process's memory. */
  readonly heapBytes: number;
  readonly rssBytes: number;
}

type Method = (...args: never[]) => unknown;

/** Calls `after` with each result of `object[name]`. */
function tap<T extends object>(object: T, name: keyof T & string, after: (result: never, args: never[]) => void): void {
  const method = object[name] as Method;
  const tapped = function (this: unknown, ...args: never[]): unknown {
    const result = method.apply(object, args);
    after(result as never, args);
    return result;
  };
  Object.defineProperty(object, name, { value: tapped, configurable: true });
}

/** Watches the device in use from now on. */
export class Watch {
  private buffers = 0;
  private gpuBytes = 0;
  private bindGroups = 0;
  private pipelines = 0;
  private maps = 0;
  /** The most reads that were under way at once. */
  mostMaps = 0;
  private readonly collected = new FinalizationRegistry<void>(() => this.bindGroups--);

  constructor() {
    const { device } = gpu();
    tap(device, "createBuffer", (buffer: GPUBuffer) => this.watchBuffer(buffer));
    tap(device, "createBindGroup", (group: GPUBindGroup) => {
      this.bindGroups++;
      this.collected.register(group);
    });
    tap(device, "createComputePipelineAsync", () => this.pipelines++);
  }

  private watchBuffer(buffer: GPUBuffer): void {
    const { size } = buffer;
    this.buffers++;
    this.gpuBytes += size;
    tap(buffer, "destroy", () => {
      this.buffers--;
      this.gpuBytes -= size;
    });
    tap(buffer, "mapAsync", (done: Promise<void>) => {
      this.mostMaps = Math.max(this.mostMaps, ++this.maps);
      const ended = () => void this.maps--;
      done.then(ended, ended);
    });
  }

  /** What is held once the GPU is idle and all garbage collected. */
  async held(): Promise<Held> {
    await gpu().lastSubmit;
    await collectGarbage();
    const { rss, heapUsed } = process.memoryUsage();
    const { buffers, gpuBytes, bindGroups, pipelines, maps } = this;
    const { usedBytes } = gpu().pool;
    return { buffers, gpuBytes, usedBytes, bindGroups, pipelines, maps, heapBytes: heapUsed, rssBytes: rss };
  }
}

const MIB = 2 ** 20;

/**
 * What may differ. Counts may not. Memory of the process grows at first, while V8 compiles what runs often and its heap and
 * the driver's settle; in the second half it must stand still.
 */
const TOLERANCE = { heap: 3 * MIB, rss: 32 * MIB, laterHeap: MIB, laterRss: 6 * MIB } as const;

/** What grew from the `first` look, or from the one in the `middle`, to the `last`, in words. */
export function growth(first: Held, middle: Held, last: Held): string[] {
  const counts = (["buffers", "gpuBytes", "usedBytes", "bindGroups", "pipelines", "maps"] as const)
    .filter((name) => last[name] !== first[name])
    .map((name) => `${name} went from ${first[name]} to ${last[name]}`);
  const beyond = (name: "heapBytes" | "rssBytes", from: Held, tolerance: number) =>
    last[name] - from[name] > tolerance ? [`${name} grew from ${from[name]} to ${last[name]}`] : [];
  return [
    ...counts,
    ...beyond("heapBytes", first, TOLERANCE.heap),
    ...beyond("rssBytes", first, TOLERANCE.rss),
    ...beyond("heapBytes", middle, TOLERANCE.laterHeap),
    ...beyond("rssBytes", middle, TOLERANCE.laterRss),
  ];
}

/** A table for people: a row for each step that was looked at. */
export function table(rows: readonly (readonly [step: number, held: Held])[]): string {
  const head = ["step", "buffers", "GPU bytes", "in use", "bind groups", "pipelines", "reads", "heap MiB", "RSS MiB"];
  const lines = rows.map(([step, h]) => [
    ...[step, h.buffers, h.gpuBytes, h.usedBytes, h.bindGroups, h.pipelines, h.maps].map(String),
    ...[h.heapBytes, h.rssBytes].map((bytes) => (bytes / MIB).toFixed(1)),
  ]);
  return [head, ...lines].map((cells) => cells.map((cell, i) => cell.padStart(head[i].length + 2)).join("")).join("\n");
}
