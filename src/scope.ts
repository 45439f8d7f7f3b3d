// Who owns memory. A step is a scope: what is made in it ends with it, except what it returns, what keep() names, and
// gradients of tensors from outside. Outside a step, memory goes back when its tensor is garbage-collected.

import { GpuError } from "./errors.ts";
import { gpu, onClose } from "./gpu/device.ts";
import { currentProgram, emptyProgram, recordInto, runProgram, type Program } from "./gpu/program.ts";
import type { Buffer, Storage } from "./gpu/storage.ts";

interface Scope {
  readonly isStep: boolean;
  created: Set<Storage>;
  readonly kept: Set<Storage>;
  /** Gradients of tensors from outside, looked up when the step ends: they outlive it. */
  readonly gradients: Slot[];
}

/** Where a gradient is held: the storage found there now, if any. */
type Slot = () => Storage | undefined;

const EAGER_FLUSH = 1024; // calls recorded outside a step before they run by themselves

function newScope(isStep: boolean): Scope {
  return { isStep, created: new Set(), kept: new Set(), gradients: [] };
}

let scope = newScope(false);
let tail: Promise<unknown> = Promise.resolve();

const collected = new FinalizationRegistry<Buffer>((buffer) => buffer.pool.release(buffer));

onClose(() => {
  scope = newScope(false);
  heldGradients = [];
});

/** Registers a storage with the scope it is made in. */
export function own(storage: Storage): void {
  scope.created.add(storage);
  if (!scope.isStep && currentProgram().calls.length >= EAGER_FLUSH)
    void flush().catch((error: Error) => (gpu().fault ??= new GpuError(error.message)));
}

/** True for a storage made in the step under way. */
export function madeHere(storage: Storage): boolean {
  return scope.isStep && scope.created.has(storage);
}

/** Tells the step under way that the gradient found in `slot` at its end outlives it. */
export function keepGradient(slot: Slot): void {
  if (scope.isStep) scope.gradients.push(slot);
}

/** Lets a tensor outlive the step it is made in without being returned from it. Returns the tensor. */
export function keep<T extends { readonly storage: Storage }>(tensor: T): T {
  scope.kept.add(tensor.storage);
  return tensor;
}

function handOver(storages: Iterable<Storage>): void {
  for (const s of storages) {
    if (!s.buffer) continue;
    collected.register(s, s.buffer, s);
    s.burden = burdenOf(s.bytes);
  }
}

const MOST_BURDEN = 2 ** 26;

/**
 * Address space of `bytes` bytes that nothing is ever written to, so that it takes no memory: the garbage collector sees
 * by it how much hangs on a storage, and comes after some 100 MB of results that nobody needs instead of after gigabytes.
 */
function burdenOf(bytes: number): ArrayBuffer | null {
  const length = Math.min(bytes, MOST_BURDEN);
  if (length < 2 ** 16) return null;
  try {
    return new ResizableBuffer(length, { maxByteLength: length });
  } catch {
    return null; // no address space left: it is a hint only
  }
}

/** As of ES2024: a plain one would be filled with zeros. */
const ResizableBuffer = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;

/**
 * Gradients that outlived their step, each with its place. Once replaced or cleared there they end with the next step.
 */
let heldGradients: { slot: Slot; storage: Storage }[] = [];

function settleGradients(survivors: ReadonlySet<Storage>, slots: readonly Slot[]): void {
  const live = new Set([...heldGradients.map(({ slot }) => slot()), ...slots.map((slot) => slot())]);
  for (const { storage } of heldGradients) {
    if (live.has(storage) || survivors.has(storage) || !storage.buffer) continue;
    collected.unregister(storage);
    endStorage(storage);
  }
  const kept = heldGradients.filter(({ slot, storage }) => slot() === storage);
  const added = slots.flatMap((slot) => {
    const storage = slot();
    return storage ? [{ slot, storage }] : [];
  });
  heldGradients = [...kept.filter(({ storage }) => !added.some((a) => a.storage === storage)), ...added];
}

function endStorage(s: Storage): void {
  s.released = true;
  s.buffer?.pool.release(s.buffer);
  s.buffer = s.burden = null;
}

/** Runs what has been recorded so far and keeps all of it. */
export async function flush(): Promise<void> {
  const here = scope;
  const program = recordInto(emptyProgram());
  const created = here.created;
  const run = inOrder(() => runProgram(program, "all"));
  if (!here.isStep) here.created = new Set();
  await run;
  if (!here.isStep) handOver(created);
}

/** What a step has recorded when its function has ended. */
export interface Recording {
  readonly program: Program;
  /** Storages made in the step. */
  readonly created: ReadonlySet<Storage>;
  /** Those of them that outlive it. */
  readonly survivors: ReadonlySet<Storage>;
  /** Those that outlive it by keep() or as gradients of tensors from outside, not by being returned. */
  readonly held: ReadonlySet<Storage>;
}

/**
 * Runs `fn` as one step: everything it computes goes to the GPU in one submit when it ends. Returns what `fn` returns;
 * tensors in it (also in arrays and plain objects) survive, and so do gradients of tensors from outside, until they are
 * replaced or cleared; all other tensors made in the step end with it. Resolves when the work is submitted, not when it
 * is done. Throws GpuError when called inside another step.
 */
export function step<T>(fn: () => T | Promise<T>): Promise<T> {
  return inStep(fn, ({ program, survivors }) => runProgram(program, survivors));
}

/** A step whose recording is run by `run`, which must give a buffer to every survivor. */
export async function inStep<T>(
  fn: () => T | Promise<T>,
  run: (recording: Recording, result: T) => Promise<void>,
): Promise<T> {
  await settle();
  const outer = scope;
  const inner = (scope = newScope(true));
  const outerProgram = recordInto(emptyProgram());
  let survivors = new Set<Storage>();
  try {
    const result = await fn();
    const gradients = inner.gradients.flatMap((slot) => slot() ?? []);
    for (const s of gradients) s.recycled = true;
    const held = new Set([...inner.kept, ...gradients]);
    survivors = new Set([...held, ...storagesIn(result)]);
    const recording = { program: recordInto(emptyProgram()), created: inner.created, survivors, held };
    await inOrder(() => run(recording, result));
    return result;
  } finally {
    recordInto(outerProgram);
    scope = outer;
    endStep(inner, survivors);
  }
}

/** Runs what was recorded outside steps, before a step begins. */
async function settle(): Promise<void> {
  if (scope.isStep) throw new GpuError("step: another step is still running; await it first, steps do not nest");
  await flush();
}

/** Runs `work` after all that was submitted before. */
function inOrder(work: () => Promise<void>): Promise<void> {
  const run = tail.then(work);
  tail = run.catch(() => {});
  return run;
}

/** Runs `work`, which makes `created`, as a step that records nothing. Throws GpuError inside another step. */
export async function replayStep(created: readonly Storage[], work: () => Promise<void>): Promise<void> {
  await settle();
  await inOrder(work);
  handOver(created);
}

function endStep(inner: Scope, survivors: ReadonlySet<Storage>): void {
  handOver([...inner.created].filter((s) => survivors.has(s)));
  for (const s of inner.created) {
    if (survivors.has(s) || s.released) continue;
    endStorage(s); // with a buffer of its own if it was read in mid-step
  }
  settleGradients(survivors, inner.gradients);
}

function storagesIn(value: unknown): Storage[] {
  if (value === null || typeof value !== "object") return [];
  if ("storage" in value) return [value.storage as Storage];
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)
    return Object.values(value).flatMap(storagesIn);
  return [];
}
