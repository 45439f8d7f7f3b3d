// Steps that are traced once and replayed: no autograd, no shapes, no memory decisions from the second call on.

import { gradEnabled } from "./autograd.ts";
import { GpuError, OptionError, ShapeError } from "./errors.ts";
import { gpu } from "./gpu/device.ts";
import { dropPlan, isCurrent, makePlan, runPlan, type Plan, type PlanMemory } from "./gpu/plan.ts";
import { Storage } from "./gpu/storage.ts";
import { inStep, replayStep, type Recording } from "./scope.ts";
import { showShape, sizeOf } from "./shape.ts";
import { hostTensor, Tensor, type HostTensor } from "./tensor.ts";

/** What changes from call to call, by the names that the function uses. */
export type StepInputs<T extends object = Record<string, Tensor>> = { readonly [K in keyof T]: HostTensor };

/** Settings of compile(). */
export interface CompileOptions {
  /** Plans kept, one for each set of input shapes; the one used longest ago goes first. Default 4. */
  maxPlans?: number;
}

/** A compiled step. */
export interface CompiledStep<T extends object, R> {
  (inputs: StepInputs<T>): Promise<R>;
  /** Traces `fn` for inputs of these shapes and tells the memory that running it takes; nothing runs or is allocated. */
  prepare(inputs: StepInputs<T>): Promise<PlanMemory>;
  /** Calls of `fn` so far: one for each new set of shapes. */
  readonly traces: number;
  /** GPU memory of the plan used last; null before the first. */
  readonly memory: PlanMemory | null;
  /** Forgets all plans and gives their memory back. */
  free(): void;
}

interface Trace {
  readonly plan: Plan;
  /** Of the autotuner's choices when it was made. */
  readonly choices: number;
  readonly result: unknown;
  /** Of the call under way. Read by the uploads of the plan. */
  readonly inputs: { now: StepInputs };
  /** Storages of the result, which each call copies. */
  readonly tensors: readonly Storage[];
}

/**
 * A step (see step()) whose function is called only once for each set of input shapes; afterwards the recorded kernels
 * run again on new inputs, in one submit and with the bits that step() would give. The function must be synchronous and
 * do everything of a step, from the inputs to the optimiser and zeroGrad(). What it reads when it is called is fixed
 * then: shapes, branches, `training`, numbers in its result. What its tensors hold (weights, running statistics) and
 * what is asked for at each run (inputs, learning rates, random positions) is up to date in every call.
 *
 *   const train = compile(({ x, y }) => {
 *     const loss = diceCrossEntropy(model.forward(x), y);
 *     backward(loss);
 *     adam.step();
 *     adam.zeroGrad();
 *     return loss.detach();
 *   });
 *   const loss = await train({ x: { shape, dtype: "f32", data }, y: ... });
 *
 * Throws ShapeError for an input whose data does not fill its shape, OptionError for an asynchronous function, GpuError
 * if something else than its result outlives the step, or inside another step.
 */
export function compile<T extends object = Record<string, Tensor>, R = unknown>(
  fn: (inputs: T) => R,
  { maxPlans = 4 }: CompileOptions = {},
): CompiledStep<T, R> {
  if (!Number.isInteger(maxPlans) || maxPlans < 1)
    throw new OptionError(`compile: maxPlans must be a whole number above 0, got ${maxPlans}`);
  const traces = new Map<string, Trace>(); // the one used last comes last
  let count = 0;
  let memory: PlanMemory | null = null;

  const traceOf = async (inputs: StepInputs): Promise<Trace> => {
    const key = signature(inputs);
    let trace = traces.get(key);
    traces.delete(key);
    if (!trace || !isCurrent(trace.plan) || trace.choices !== gpu().choices.version) {
      if (trace) dropPlan(trace.plan);
      count++;
      trace = await traced(fn, inputs);
    }
    traces.set(key, trace);
    memory = trace.plan.memory;
    for (const [old, { plan }] of [...traces].slice(0, -maxPlans)) {
      traces.delete(old);
      dropPlan(plan);
    }
    return trace;
  };
  const call = async (inputs: StepInputs): Promise<R> => replay<R>(await traceOf(inputs), inputs);
  return Object.defineProperties(call, {
    prepare: { value: async (inputs: StepInputs) => (await traceOf(inputs)).plan.memory },
    traces: { get: () => count },
    memory: { get: () => memory },
    free: {
      value: () => {
        for (const { plan } of traces.values()) dropPlan(plan);
        traces.clear();
      },
    },
  }) as unknown as CompiledStep<T, R>;
}

/** Checks the inputs; the same text for the same names, shapes and dtypes. */
function signature(inputs: StepInputs): string {
  const parts = Object.entries(inputs).map(([name, { shape, dtype, data }]) => {
    if (data.length !== sizeOf(shape))
      throw new ShapeError(`compile: input ${name} has shape ${showShape(shape)} but ${data.length} values of data`);
    return `${name} ${dtype} ${showShape(shape)}`;
  });
  return `${parts.join(", ")} ${gradEnabled()}`;
}

/** Records `fn` on inputs of the shapes given, without running what it records. */
async function traced<T extends object, R>(fn: (inputs: T) => R, given: StepInputs): Promise<Trace> {
  const inputs: { now: StepInputs } = { now: given };
  let made: { plan: Plan; tensors: Storage[] } | null = null;
  const result = await inStep(
    () => {
      const entries = Object.entries(given).map(([name, { shape, dtype }]) => [
        name,
        hostTensor(shape, dtype, () => inputs.now[name].data),
      ]);
      const result = fn(Object.fromEntries(entries) as T);
      if (result instanceof Promise) throw new OptionError("compile: the function must not be asynchronous");
      return result;
    },
    async (recording) => {
      checkNothingHeld(recording);
      const { program, created, survivors } = recording;
      made = { plan: makePlan(program, created, survivors), tensors: [...survivors].filter((s) => created.has(s)) };
      for (const s of created) s.released = true;
    },
  );
  const { plan, tensors } = made!;
  const bare = withStorages(result, new Map(tensors.map((s) => [s, s]))); // without the graph behind it
  return { plan, choices: gpu().choices.version, result: bare, inputs, tensors };
}

function checkNothingHeld({ held }: Recording): void {
  if (held.size > 0)
    throw new GpuError(
      "compile: a gradient or a kept tensor would outlive the step, and every run would overwrite it; " +
        "call the optimiser and zeroGrad() inside, and return what is needed later",
    );
}

async function replay<R>({ plan, result, inputs, tensors }: Trace, given: StepInputs): Promise<R> {
  const fresh = new Map(tensors.map((s) => [s, new Storage(s.bytes, s.half)]));
  await replayStep([...fresh.values()], () => {
    inputs.now = given;
    return runPlan(plan, fresh);
  });
  return withStorages(result, fresh) as R;
}

/** The value with other storages in its tensors: what step() looks for in a result. */
function withStorages(value: unknown, storages: ReadonlyMap<Storage, Storage>): unknown {
  if (value instanceof Tensor) {
    const storage = storages.get(value.storage);
    return storage ? new Tensor(value.shape, value.dtype, storage) : value;
  }
  if (Array.isArray(value)) return value.map((v) => withStorages(v, storages));
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, withStorages(v, storages)]));
}
