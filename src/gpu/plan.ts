// A program that runs many times: pipelines, memory and bind groups are settled once, so that a run is a few uploads,
// one encoder and one submit.

import { GpuError, OutOfMemoryError } from "../errors.ts";
import { debugLog } from "../debug.ts";
import { gpu, throwFault, type Gpu } from "./device.ts";
import { assignBuffers, livenessBound, mib, type Lifetime } from "./memory.ts";
import type { BufferPool } from "./pool.ts";
import { precompile } from "./precompile.ts";
import { createBindGroup, roomInQueue, submitCalls, writeBuffer, type Copy, type Program } from "./program.ts";
import type { Buffer, Storage } from "./storage.ts";
import { waitFor } from "./wait.ts";

/** Bytes a plan needs on the GPU. */
export interface PlanMemory {
  /** Buffers of its own: everything that is made in the program. */
  readonly planned: number;
  /** The most bytes of them that are alive at once: no plan can need less. */
  readonly bound: number;
  /** Memory from outside that the program uses: weights, optimiser state, statistics. */
  readonly outside: number;
}

/** A program with its memory settled; nothing is allocated before its first run. */
export interface Plan {
  readonly program: Program;
  /** Which buffer each storage made in the program lies in, by number, and the bytes of each. */
  readonly inside: ReadonlyMap<Storage, number>;
  readonly capacities: readonly number[];
  /** Storages from outside, with the buffer they had. */
  readonly outside: ReadonlyMap<Storage, Buffer>;
  readonly memory: PlanMemory;
  readonly pool: BufferPool;
  allocated: Allocated | null;
}

/** What a plan holds on the GPU. */
interface Allocated {
  readonly buffers: readonly Buffer[];
  readonly pipelines: readonly GPUComputePipeline[];
  readonly groups: readonly GPUBindGroup[];
}

/**
 * Settles `program`, whose storages are `created` in it or come from outside with their buffers. Values of `results`
 * stay until the end of the program. Throws OutOfMemoryError for memory beyond the adapter's largest buffer.
 */
export function makePlan(program: Program, created: ReadonlySet<Storage>, results: ReadonlySet<Storage>): Plan {
  const lives = lifetimesOf(program, created, results);
  const { bufferOf, capacities } = assignBuffers([...lives.values()]);
  const inside = new Map([...lives.keys()].map((s, i) => [s, bufferOf[i]]));
  const outside = new Map<Storage, Buffer>();
  for (const { buffers } of program.calls)
    for (const s of buffers) if (!inside.has(s)) outside.set(s, outsideBuffer(s));
  const memory = {
    planned: capacities.reduce((a, b) => a + b, 0),
    bound: livenessBound([...lives.values()]),
    outside: [...outside.values()].reduce((n, b) => n + b.capacity, 0),
  };
  const limit = gpu().info.limits.maxBufferSize;
  if (capacities.some((bytes) => bytes > limit))
    throw new OutOfMemoryError(
      `${describeMemory(memory)} needs a buffer of ${mib(Math.max(...capacities))}; this adapter's largest is ${mib(limit)}`,
    );
  return { program, inside, capacities, outside, memory, pool: gpu().pool, allocated: null };
}

/** Takes the plan's buffers, compiles missing pipelines in parallel and makes the bind groups. */
async function allocate(plan: Plan): Promise<Allocated> {
  const g = gpu();
  const { calls } = plan.program;
  g.pool.trim(); // what unplanned runs have left
  const buffers = await reserve(g, plan);
  await Promise.all([
    precompile(g, calls),
    ...calls.map((c) => g.pipelines.get(c.key) ?? g.pipelines.compile(c.kernel, c.consts, c.key)),
  ]).catch((error: Error) => {
    for (const buffer of buffers) g.pool.release(buffer);
    throw error;
  });
  const bufferOf = (s: Storage) => (plan.inside.has(s) ? buffers[plan.inside.get(s)!] : plan.outside.get(s)!);
  const pipelines = calls.map((c) => g.pipelines.get(c.key)!);
  debugLog(1, describePlan(plan, new Set(pipelines).size));
  return { buffers, pipelines, groups: calls.map((call) => createBindGroup(g, call, bufferOf)) };
}

/** All buffers of the plan, or none and an OutOfMemoryError that tells of its memory. */
async function reserve(g: Gpu, { capacities, memory }: Plan): Promise<Buffer[]> {
  for (let again = false; ; again = true) {
    const buffers: Buffer[] = [];
    try {
      for (const bytes of capacities) {
        buffers.push(g.pool.reserve(bytes));
        await g.pool.check(); // after the first that is not there nothing more is asked for
      }
      return buffers;
    } catch (error) {
      for (const buffer of buffers) g.pool.release(buffer);
      if (!(error instanceof OutOfMemoryError)) throw error;
      if (again) throw new OutOfMemoryError(`${error.asked}, for ${describeMemory(memory)}`);
      // What was given back is free when a submit after it is done.
      g.device.queue.submit([g.device.createCommandEncoder().finish()]);
      await waitFor(g.device.queue.onSubmittedWorkDone(), g.info.software);
    }
  }
}

function describeMemory({ planned, outside }: PlanMemory): string {
  return `a step that takes ${mib(planned)} and ${mib(outside)} of weights and state`;
}

function outsideBuffer(s: Storage): Buffer {
  if (!s.buffer)
    throw new GpuError("compile: a tensor from outside has no values; an earlier error stopped its program");
  return s.buffer;
}

/** When each storage made in the program is needed. Uploads are written before the first call, results read after the last. */
function lifetimesOf(
  { calls, uploads }: Program,
  created: ReadonlySet<Storage>,
  results: ReadonlySet<Storage>,
): Map<Storage, Lifetime> {
  const lives = new Map<Storage, { bytes: number; first: number; last: number }>();
  const use = (s: Storage, at: number) => {
    const life = lives.get(s);
    if (life) life.last = at;
    else lives.set(s, { bytes: paddedBytes(s), first: at, last: at });
  };
  for (const { storage } of uploads) use(storage, -1);
  calls.forEach(({ buffers }, i) => buffers.forEach((s) => created.has(s) && use(s, i)));
  for (const s of results) if (lives.has(s)) use(s, calls.length);
  return lives;
}

/** Buffers are bound in whole vectors of four and WebGPU aligns to 4 bytes; 256 keeps sizes few. */
function paddedBytes({ bytes }: Storage): number {
  return Math.ceil(bytes / 256) * 256;
}

/** True while the GPU is the one that the plan was made for, and all memory from outside where it was then. */
export function isCurrent({ outside, pool }: Plan): boolean {
  if (pool !== gpu().pool) return false;
  for (const [s, buffer] of outside) if (s.released || s.buffer !== buffer) return false;
  return true;
}

/**
 * Runs a plan once; the values of `results` are copied into the storages they are mapped to, which get buffers. Resolves
 * when the work is submitted (see roomInQueue). Throws OutOfMemoryError where the plan's memory cannot be had.
 */
export async function runPlan(plan: Plan, results: ReadonlyMap<Storage, Storage>): Promise<void> {
  const g = gpu();
  throwFault();
  const { buffers, pipelines, groups } = (plan.allocated ??= await allocate(plan));
  await roomInQueue(g);
  const { program, inside } = plan;
  for (const { storage, data } of program.uploads) writeBuffer(g, buffers[inside.get(storage)!], data());
  const copies = [...results].flatMap(([from, to]) =>
    inside.has(from) ? copyInto(g, buffers[inside.get(from)!], to) : [],
  );
  if (g.pool.unsure) await g.pool.check();
  await submitCalls(g, program.calls, pipelines, groups, copies);
}

function copyInto(g: Gpu, from: Buffer, to: Storage): Copy {
  to.buffer = g.pool.reserve(to.bytes);
  return { from, to: to.buffer, bytes: Math.ceil(to.bytes / 4) * 4 };
}

/** Gives the plan's own memory back. */
export function dropPlan(plan: Plan): void {
  for (const buffer of plan.allocated?.buffers ?? []) buffer.pool.release(buffer);
  plan.allocated = null;
}

/** One line: calls, pipelines, and memory beside what is needed at least. */
function describePlan({ program: { calls }, capacities, memory }: Plan, pipelines: number): string {
  const { planned, bound, outside } = memory;
  const ratio = ((planned + outside) / (bound + outside)).toFixed(3);
  return (
    `compiled: ${calls.length} calls, ${pipelines} pipelines; ${mib(planned)} in ${capacities.length} buffers ` +
    `(alive at once ${mib(bound)}) and ${mib(outside)} of weights and state: ${ratio} of the least possible`
  );
}
