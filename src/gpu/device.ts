// The one device in use, and what belongs to it: limits, features, buffer pool, pipelines.

import { AdapterError, DeviceLostError, GpuError, OutOfMemoryError } from "../errors.ts";
import { debugLog } from "../debug.ts";
import { findAdapter, type AdapterInfo } from "./adapter.ts";
import { loadChoices, type Choices } from "./choices.ts";
import { mib } from "./memory.ts";
import { BufferPool } from "./pool.ts";
import { PipelineCache } from "./kernel.ts";

const FEATURES = [
  "timestamp-query",
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as const;

export interface Gpu {
  readonly device: GPUDevice;
  readonly info: AdapterInfo & { readonly features: ReadonlySet<string>; readonly limits: GPUSupportedLimits };
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  /** What the autotuner has measured on this adapter. */
  readonly choices: Choices;
  /** The first error the GPU reported and nobody has thrown yet. */
  fault: GpuError | null;
  /** The device is gone; the fault stays. */
  lost: boolean;
  /** Resolves when the last submit is done; the one before it, likewise. */
  lastSubmit: Promise<unknown> | null;
  submitBefore: Promise<unknown> | null;
  /** Resolves when it is known whether the last submit was accepted. */
  lastCheck: Promise<void> | null;
  readonly release: () => void;
}

let current: Gpu | null = null;
let starting: Promise<Gpu> | null = null;

/** Settings of init(). */
export interface InitOptions {
  /**
   * "swiftshader", "lavapipe", "null", or part of a device's name. Default: the environment variable WGRAD_ADAPTER,
   * else the best there is.
   */
  adapter?: string;
}

/**
 * Opens the GPU. Call once before the first tensor; later calls return at once. Throws AdapterError when there is none.
 */
export async function init(options: InitOptions = {}): Promise<AdapterInfo> {
  if (!current) {
    starting ??= open(options).finally(() => (starting = null));
    current = await starting;
  }
  return current.info;
}

const closing: (() => void)[] = [];

/** Has `forget` called when the GPU is closed, to let go of what belongs to it. */
export function onClose(forget: () => void): void {
  closing.push(forget);
}

/** Closes the GPU and frees all its memory; tensors made before are lost. The process can then end by itself. */
export function close(): void {
  for (const forget of closing) forget();
  current?.device.destroy();
  current?.release();
  current = null;
}

/** The device in use. Throws when init() has not been awaited. */
export function gpu(): Gpu {
  if (!current) throw new AdapterError("the GPU is not open: await init() before the first tensor");
  return current;
}

async function open(options: InitOptions): Promise<Gpu> {
  const name = options.adapter ?? (typeof process === "undefined" ? undefined : process.env.WGRAD_ADAPTER || undefined);
  const { adapter, info, release } = await findAdapter(name);
  const device = await openDevice(adapter);
  const features = FEATURES.filter((f) => adapter.features.has(f));
  const opened: Gpu = {
    device,
    info: { ...info, features: new Set<string>(features), limits: device.limits },
    pool: new BufferPool(device),
    pipelines: new PipelineCache(device, info),
    choices: await loadChoices(info),
    fault: null,
    lost: false,
    lastSubmit: null,
    submitBefore: null,
    lastCheck: null,
    release: () => {
      // Dawn holds its listeners, and this one the device: neither would ever be collected, with all its pipelines.
      device.removeEventListener("uncapturederror", onError);
      release();
    },
  };
  const onError = (event: Event): void => {
    const { error } = event as GPUUncapturedErrorEvent;
    opened.fault ??=
      error instanceof GPUOutOfMemoryError
        ? new OutOfMemoryError(
            `out of GPU memory beside ${mib(opened.pool.allocatedBytes)} of tensors: ${error.message}`,
          )
        : new GpuError(`the GPU reported an error: ${error.message}`);
  };
  device.addEventListener("uncapturederror", onError);
  void device.lost.then((lost) => {
    if (current !== opened) return;
    opened.lost = true;
    // A driver that runs out of memory in the middle of its work gives up the device; opened again it would do so again.
    opened.fault = /out.of.(\w+.)?memory/i.test(lost.message)
      ? new OutOfMemoryError(`the GPU gave up for lack of memory: ${lost.message}`)
      : new DeviceLostError(`the GPU device was lost: ${lost.message}; start again from the last checkpoint`);
  });
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  const sizes = `storage binding ${maxStorageBufferBindingSize} B, buffer ${maxBufferSize} B`;
  debugLog(1, `features ${features.join(" ")}; ${sizes}`);
  return opened;
}

/** A device with all features and limits that kernels may use. */
function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    requiredFeatures: FEATURES.filter((f) => adapter.features.has(f)) as GPUFeatureName[],
    requiredLimits: allLimits(adapter.limits),
  });
}

/** Everything the adapter can do: the defaults (128 MiB per binding) are too small for feature maps. */
function allLimits(limits: GPUSupportedLimits): Record<string, number> {
  const wanted: Record<string, number> = {};
  for (const key in limits) {
    const value = (limits as unknown as Record<string, unknown>)[key];
    if (typeof value === "number" && !key.startsWith("min")) wanted[key] = value;
  }
  wanted.minStorageBufferOffsetAlignment = limits.minStorageBufferOffsetAlignment;
  wanted.minUniformBufferOffsetAlignment = limits.minUniformBufferOffsetAlignment;
  return wanted;
}

/** Throws the error the GPU has reported since the last call, if any. */
export function throwFault(): void {
  const { fault, lost } = gpu();
  if (!fault) return;
  if (!lost) gpu().fault = null;
  throw fault;
}
