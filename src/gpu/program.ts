// A program is a list of kernel calls and uploads, as plain data. Recording it does nothing on the GPU; running it
// compiles missing pipelines in parallel, gives each storage a buffer for its
// lifetime, and encodes everything into one submit.

import { GpuError, KernelError, OutOfMemoryError } from "../errors.ts";
import { gpu, onClose, throwFault, type Gpu } from "./device.ts";
import { MAX_WORKGROUPS, type Grid } from "./grid.ts";
import { mib } from "./memory.ts";
import {
  HALF,
  IMMEDIATES,
  pipelineKey,
  type BufferName,
  type ConstName,
  type Consts,
  type ImmediateName,
  type Kernel,
} from "./kernel.ts";
import { runProfiled, profiling } from "./profile.ts";
import type { Buffer, Storage } from "./storage.ts";
import { waitFor } from "./wait.ts";

/** Values on the host, as they are uploaded. */
export type HostData = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** One dispatch, as plain data. */
export interface KernelCall {
  readonly kernel: Kernel;
  readonly key: string;
  readonly consts: Consts;
  /** Numbers that come with the call instead of standing in the kernel's text; null where there are none. */
  readonly immediates: Uint32Array<ArrayBuffer> | null;
  /** In binding order. */
  readonly buffers: readonly Storage[];
  readonly grid: Grid;
  /** Floating-point operations, for the profile; 0 where it is not stated. */
  readonly flops: number;
}

/**
 * Data from the host. `data` is asked at each run, so that what changes every step is never frozen into the program.
 */
export interface Upload {
  readonly storage: Storage;
  readonly data: () => HostData;
}

/** What has been recorded: uploads, which come first, and calls in order. */
export interface Program {
  readonly calls: KernelCall[];
  readonly uploads: Upload[];
}

/** A program without calls. */
export function emptyProgram(): Program {
  return { calls: [], uploads: [] };
}

let recording: Program = emptyProgram();
onClose(() => (recording = emptyProgram()));

/** Everything recorded from now on goes to `program`; returns the one before. */
export function recordInto(program: Program): Program {
  const before = recording;
  recording = program;
  return before;
}

/** The program being recorded. */
export function currentProgram(): Program {
  return recording;
}

interface Launch<K extends Kernel> {
  consts?: Partial<Record<ConstName<K>, number | boolean | string>>;
  immediates?: Record<ImmediateName<K>, number>;
  buffers: Record<BufferName<K>, { readonly storage: Storage }>;
  grid: Grid;
  flops?: number;
}

/** Appends one kernel call to the program being recorded. Buffers are bound by the names in the WGSL text. */
export function launch<K extends Kernel>(kernel: K, { consts, immediates, buffers, grid, flops = 0 }: Launch<K>): void {
  const numbers = kernel.immediates.map((name) => {
    const value = (immediates as Record<string, number> | undefined)?.[name];
    if (!Number.isInteger(value))
      throw new KernelError(`${kernel.name}.wgsl: immediate ${name} must be whole, got ${value}`);
    return value!;
  });
  const direct = numbers.length > 0 && gpu().info.immediates;
  const limit = gpu().info.limits.maxStorageBufferBindingSize;
  if (!grid.every((n) => Number.isInteger(n) && n > 0 && n <= MAX_WORKGROUPS)) {
    throw new KernelError(`${kernel.name}: a grid axis takes 1 to ${MAX_WORKGROUPS} workgroups, got [${grid}]`);
  }
  const bound = kernel.bindings.map(({ name }) => {
    const storage = (buffers as Record<string, { readonly storage: Storage } | undefined>)[name]?.storage;
    if (!storage) throw new KernelError(`${kernel.name}.wgsl: buffer ${name} is not given`);
    if (storage.released)
      throw new GpuError(
        `${kernel.name}: tensor ${name} ended with its step; return it from step() or keep() it to use it later`,
      );
    if (storage.buffer && storage.buffer.pool !== gpu().pool)
      throw new GpuError(`${kernel.name}: tensor ${name} was lost when the GPU was closed; make it again`);
    if (storage.bytes > limit) {
      throw new OutOfMemoryError(
        `${kernel.name}: ${name} needs ${mib(storage.bytes)} but this adapter binds at most ${mib(limit)}`,
      );
    }
    return storage;
  });
  const half = kernel.bindings.filter((_, i) => bound[i].half);
  const given: Consts = {
    ...(consts as Consts),
    ...(numbers.length > 0 && !direct && { [IMMEDIATES]: numbers.join(", ") }),
    ...(half.length > 0 && { [HALF]: half.map(({ name }) => name).join(",") }),
  };
  recording.calls.push({
    ...{ kernel, key: pipelineKey(kernel.name, given), consts: given },
    ...{ immediates: direct ? Uint32Array.from(numbers) : null, buffers: bound, grid, flops },
  });
}

/** Appends an upload: before the program's first kernel, `data()` is written to `storage`. */
export function upload(storage: Storage, data: () => HostData): void {
  recording.uploads.push({ storage, data });
}

/**
 * Runs a program. Storages in `survivors` (or all of them when it is "all") keep their buffers; the others are
 * temporaries that share memory and are released. Resolves when the work is submitted (see roomInQueue). Throws
 * OutOfMemoryError where there is no memory for them.
 */
export async function runProgram(program: Program, survivors: ReadonlySet<Storage> | "all"): Promise<void> {
  if (program.calls.length === 0 && program.uploads.length === 0) return;
  const g = gpu();
  throwFault();
  await Promise.all(program.calls.map((c) => g.pipelines.get(c.key) ?? g.pipelines.compile(c.kernel, c.consts, c.key)));
  await roomInQueue(g);
  const ended = allocate(g, program, survivors);
  if (g.pool.unsure) await g.pool.check();
  const groups = program.calls.map((call) => bindGroup(g, call));
  for (const { storage, data } of program.uploads) writeBuffer(g, storage.buffer!, data());
  for (const storage of ended) storage.buffer = null;
  const pipelines = program.calls.map((c) => g.pipelines.get(c.key)!);
  await submitCalls(g, program.calls, pipelines, groups);
}

/** Waits until at most one submit is unfinished: the GPU works on it while the next one is encoded. */
export async function roomInQueue(g: Gpu): Promise<void> {
  if (g.submitBefore) await waitFor(g.submitBefore, g.info.software);
}

/** Bytes to copy from the start of one buffer to the start of another. */
export interface Copy {
  readonly from: Buffer;
  readonly to: Buffer;
  readonly bytes: number;
}

/**
 * One encoder, one pass, then `copies`, one submit; while profiling, each call in a timed pass of its own. A validation
 * error drops the submit whole: it becomes the fault that the next call throws.
 */
export async function submitCalls(
  g: Gpu,
  calls: readonly KernelCall[],
  pipelines: readonly GPUComputePipeline[],
  groups: readonly GPUBindGroup[],
  copies: readonly Copy[] = [],
): Promise<void> {
  const profiled = profiling();
  if (profiled) await runProfiled(g, calls, pipelines, groups);
  g.device.pushErrorScope("validation");
  const encoder = g.device.createCommandEncoder();
  if (!profiled) encode(encoder, calls, pipelines, groups);
  for (const { from, to, bytes } of copies) encoder.copyBufferToBuffer(from.gpu, 0, to.gpu, 0, bytes);
  g.device.queue.submit([encoder.finish()]);
  g.submitBefore = g.lastSubmit;
  g.lastSubmit = g.device.queue.onSubmittedWorkDone();
  g.lastCheck = g.device.popErrorScope().then(async (error) => {
    if (error)
      g.fault ??= new GpuError(
        `${await culprit(g, calls, pipelines, groups)}: the GPU refused the work: ${error.message}`,
      );
  });
}

/** The first kernel of a refused program that is refused on its own. */
async function culprit(
  g: Gpu,
  calls: readonly KernelCall[],
  pipelines: readonly GPUComputePipeline[],
  groups: readonly GPUBindGroup[],
): Promise<string> {
  for (let i = 0; i < calls.length; i++) {
    g.device.pushErrorScope("validation");
    const encoder = g.device.createCommandEncoder();
    encode(encoder, calls.slice(i, i + 1), pipelines.slice(i), groups.slice(i));
    encoder.finish();
    if (await g.device.popErrorScope()) return calls[i].key;
  }
  return "program";
}

function encode(
  encoder: GPUCommandEncoder,
  calls: readonly KernelCall[],
  pipelines: readonly GPUComputePipeline[],
  groups: readonly GPUBindGroup[],
): void {
  if (calls.length === 0) return;
  const pass = encoder.beginComputePass();
  calls.forEach((call, i) => {
    dispatch(pass, call, pipelines[i], groups[i]);
  });
  pass.end();
}

/** One call in a pass. */
export function dispatch(
  pass: GPUComputePassEncoder,
  { immediates, grid }: KernelCall,
  pipeline: GPUComputePipeline,
  group: GPUBindGroup,
): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  if (immediates) pass.setImmediates(0, immediates);
  pass.dispatchWorkgroups(...grid);
}

export function writeBuffer(g: Gpu, buffer: Buffer, data: HostData): void {
  g.device.queue.writeBuffer(buffer.gpu, 0, data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Gives every storage a buffer from its first to its last use, in order. Returns the temporaries; they
 * keep telling their buffer.
 */
function allocate(g: Gpu, program: Program, survivors: ReadonlySet<Storage> | "all"): Storage[] {
  const lastUse = new Map<Storage, number>();
  const temporary = (s: Storage) => survivors !== "all" && !survivors.has(s);
  const take = ({ pool }: Gpu, s: Storage) =>
    temporary(s) || s.recycled ? pool.acquire(s.bytes) : pool.reserve(s.bytes);
  for (const { storage } of program.uploads) if (!storage.buffer) lastUse.set(storage, -1);
  program.calls.forEach((call, i) => call.buffers.forEach((s) => (!s.buffer || lastUse.has(s)) && lastUse.set(s, i)));
  // Uploads are written before any kernel runs, so their buffers are taken first.
  for (const { storage } of program.uploads) storage.buffer ??= take(g, storage);
  const endFirst = (i: number, s: Storage) => lastUse.get(s) === i && temporary(s) && !s.released;
  const end = (s: Storage) => {
    g.pool.release(s.buffer!);
    s.released = true;
  };
  program.calls.forEach(({ buffers }, i) => {
    for (const s of buffers) s.buffer ??= take(g, s);
    for (const s of buffers) if (endFirst(i, s)) end(s);
  });
  for (const { storage } of program.uploads) if (endFirst(-1, storage)) end(storage);
  return [...lastUse.keys()].filter((s) => s.released);
}

/** The bind group of a call, remembered by kernel and buffers as long as the newest of them lives. */
function bindGroup(g: Gpu, call: KernelCall): GPUBindGroup {
  let key = call.kernel.name;
  let newest = call.buffers[0].buffer!;
  for (const { buffer, bytes, half } of call.buffers) {
    key += `|${buffer!.id}:${bytes}${half ? "h" : ""}`;
    if (buffer!.id > newest.id) newest = buffer!;
  }
  let group = newest.groups.get(key);
  if (!group) newest.groups.set(key, (group = createBindGroup(g, call, (s) => s.buffer!)));
  return group;
}

/** The bind group of a call whose storages lie in the buffers that `bufferOf` tells. */
export function createBindGroup(g: Gpu, call: KernelCall, bufferOf: (storage: Storage) => Buffer): GPUBindGroup {
  const entries = call.kernel.bindings.map((b, binding) => {
    const storage = call.buffers[binding];
    // arrayLength follows the bound size: exact for scalars, up to the next vector for vec4 (buffers are padded).
    const vector = storage.half ? 8 : 16;
    const size = b.element.startsWith("vec4") ? Math.ceil(storage.bytes / vector) * vector : storage.bytes;
    return { binding, resource: { buffer: bufferOf(storage).gpu, size } };
  });
  return g.device.createBindGroup({ label: call.kernel.name, layout: g.pipelines.layout(call.kernel).group, entries });
}
