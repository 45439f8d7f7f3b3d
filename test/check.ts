// How an operation is shown to be right: its forward against float64 loops, its gradients against float64 central
// differences of those loops.
import { Rng, Tensor, backward, record, step, tensor, zeros } from "../src/index.ts";
import { type NdArray, array, sizeOf, unravel } from "./reference/array.ts";

/** One input of a checked operation. */
export interface Input extends NdArray {
  /** f32 when absent. */
  readonly dtype?: "f32" | "i32" | "u32";
  /** False for what is not differentiated, such as targets. Integers never are. */
  readonly grad?: boolean;
}

/** The largest allowed |difference|, given the largest |value| of the whole array and the expected value itself. */
export type Tolerance = (largest: number, expected: number) => number;

/**
 * n units in the last place (2^-23) of the largest |value|: for sums, whose errors do not shrink with single results.
 */
export const ulps = (n: number): Tolerance => (largest) => n * 2 ** -23 * largest;

/** n units in the last place of each value by itself: for functions of one element. */
export const ulpsEach = (n: number): Tolerance => (_, expected) => n * 2 ** -23 * Math.abs(expected);

/** A fixed difference. */
export const absolute = (difference: number): Tolerance => () => difference;

/** The larger of several tolerances. */
export const either = (...list: Tolerance[]): Tolerance => (m, e) => Math.max(...list.map((t) => t(m, e)));

/** Not a bit of difference: for operations that only move or choose elements. */
export const exact: Tolerance = () => 0;

export interface RandomOptions {
  /** Values lie in here. Default [-2, 2]. */
  range?: readonly [number, number];
  /** Points where the operation has a kink or a pole: values keep `margin` away from them. */
  avoid?: readonly number[];
  /** Default 0.01, a thousand difference steps. */
  margin?: number;
  /** No two values alike in all inputs together (an even grid, shuffled): for operations that compare values. */
  distinct?: boolean;
}

export interface CheckOptions extends RandomOptions {
  /** One run per entry: the shape of the input, or a list of shapes for several inputs. */
  shapes?: readonly (readonly number[] | readonly (readonly number[])[])[];
  /** Runs with given inputs, after those of `shapes`. */
  inputs?: readonly (readonly Input[])[];
  /** Which inputs of `shapes` are differentiated. Default: all. */
  grad?: boolean | readonly boolean[];
  /** Outputs that no gradient flows through, such as running statistics. */
  constantOutputs?: readonly number[];
  /** Allowed difference of the outputs; state the reason where it is not the default, ulps(4). */
  tol?: Tolerance;
  /** Allowed difference of the gradients. Default ulps(16): a gradient is a product of a few rounded values. */
  gradTol?: Tolerance;
  /** Step of the central differences, default 1e-5: error about 1e-10 from the step, 1e-11 from float64. */
  h?: number;
  /** Elements of each input that are probed one by one; more than that are sampled. Default 200. */
  probes?: number;
  seed?: number;
}

// Parameters are `any` so that an operation with optional settings after its tensors can be passed as it is.
type Operation = (...inputs: any[]) => Tensor | readonly Tensor[];
type Reference = (...inputs: any[]) => NdArray | readonly NdArray[];

const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

/**
 * Checks `op` against `reference` for every shape and input given: outputs, then the gradient of sum(y * cot) for a
 * random cot with respect to each input. `reference` takes the same inputs as float64 arrays. Throws with the
 * operation, the inputs, the index and both values at the first difference beyond the tolerance.
 */
export async function checkOp(name: string, op: Operation, reference: Reference, options: CheckOptions): Promise<void> {
  const runs = makeRuns(name, options);
  if (runs.length === 0) throw new Error(`${name}: no shapes or inputs to check`);
  for (const [k, inputs] of runs.entries()) await checkRun(name, op, reference, inputs, options, k);
}

function makeRuns(name: string, options: CheckOptions): Input[][] {
  const rng = new Rng(options.seed ?? 1, name);
  const random = (options.shapes ?? []).map((entry) => {
    const shapes = (Array.isArray(entry[0]) ? entry : [entry]) as number[][];
    const grad = options.grad ?? true;
    const wanted = (i: number): boolean => (typeof grad === "boolean" ? grad : grad[i]);
    return randomInputs(shapes, rng, options).map((x, i) => ({ ...x, grad: wanted(i) }));
  });
  return [...random, ...(options.inputs ?? []).map((list) => list.map(roundInput))];
}

const roundInput = (x: Input): Input => ({ ...x, data: x.data.map(Math.fround) });

/** Random float32 values for inputs of these shapes. */
export function randomInputs(shapes: readonly (readonly number[])[], rng: Rng, options: RandomOptions = {}): Input[] {
  const [low, high] = options.range ?? [-2, 2];
  const count = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const grid = Array.from({ length: count }, (_, i) => low + ((high - low) * (i + 0.5)) / count);
  const values = options.distinct ? rng.shuffle(grid) : grid.map(() => rng.range(low, high));
  let used = 0;
  return shapes.map((shape) => {
    const own = values.slice(used, (used += sizeOf(shape)));
    return array(shape, own.map((v) => Math.fround(keepAway(v, options))));
  });
}

/** `v`, or the nearest value at `margin` from a point to avoid. */
function keepAway(v: number, { avoid = [], margin = 0.01 }: RandomOptions): number {
  const near = avoid.find((point) => Math.abs(v - point) < margin);
  return near === undefined ? v : near + (v < near ? -margin : margin);
}

/** The input as one that is not differentiated. */
export const fixed = (x: Input): Input => ({ ...x, grad: false });

/** Integers in [0, classes) as an i32 input that is not differentiated. */
export function classTargets(shape: readonly number[], classes: number, rng: Rng): Input {
  return {
    ...array(
      shape,
      Array.from({ length: sizeOf(shape) }, () => rng.integer(classes)),
    ),
    dtype: "i32",
    grad: false,
  };
}

/** Zeros and ones as an f32 input that is not differentiated. */
export function binaryTargets(shape: readonly number[], rng: Rng): Input {
  return { ...array(shape, Array.from({ length: sizeOf(shape) }, () => rng.integer(2))), grad: false };
}

const isDifferentiated = (x: Input): boolean => (x.dtype ?? "f32") === "f32" && x.grad !== false;

/** The input on the GPU. */
export function upload(x: Input): Tensor {
  const make = { f32: Float32Array, i32: Int32Array, u32: Uint32Array }[x.dtype ?? "f32"];
  return tensor(make.from(x.data), { shape: x.shape, requiresGrad: isDifferentiated(x) });
}

async function checkRun(
  name: string,
  op: Operation,
  reference: Reference,
  inputs: readonly Input[],
  options: CheckOptions,
  run: number,
): Promise<void> {
  const what = `${name} (${inputs.map((x) => `[${x.shape}]`).join(", ")})`;
  const expected = listOf(reference(...inputs));
  const rng = new Rng(options.seed ?? 1, `${name} cotangents ${run}`);
  const cots = expected.map((y, k) => {
    const scale = options.constantOutputs?.includes(k) ? 0 : 1;
    return array(y.shape, y.data.map(() => scale * Math.fround(rng.range(-1, 1))));
  });
  const { outputs, grads } = await runOnGpu(op, inputs, cots, what);
  expected.forEach((y, k) => {
    expectClose(`${what}: y${expected.length > 1 ? k : ""}`, outputs[k], y, options.tol ?? ulps(4));
  });
  for (const [i, x] of inputs.entries()) {
    if (!isDifferentiated(x)) continue;
    const g = grads[i];
    if (!g) throw new Error(`${what}: backward left no gradient for input ${i}`);
    checkGradient(`${what}: gradient of input ${i}`, g, reference, inputs, i, cots, options, rng);
  }
}

interface HostArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/**
 * Outputs and input gradients of `op`, run as one step, as training would. Throws, naming `what`, where the shapes of
 * the outputs differ from those of `cots`.
 */
export async function runOnGpu(
  op: Operation,
  inputs: readonly Input[],
  cots: readonly NdArray[],
  what = "operation",
): Promise<{ outputs: HostArray[]; grads: (HostArray | null)[] }> {
  const tensors = inputs.map(upload);
  const cotangents = cots.map((c) => upload(fixed(c)));
  const differentiated = inputs.some(isDifferentiated);
  const outputs = await step(() => {
    const ys = [...listOf(op(...tensors))];
    checkOutputShapes(what, ys, cots); // before backward, which would fail on them less clearly
    if (differentiated) backwardFrom(ys, cotangents);
    return ys;
  });
  const grads = await Promise.all(tensors.map((t) => (t.grad ? download(t.grad) : null)));
  return { outputs: await Promise.all(outputs.map(download)), grads };
}

function checkOutputShapes(what: string, ys: readonly Tensor[], cots: readonly NdArray[]): void {
  if (ys.length !== cots.length) throw new Error(`${what}: ${ys.length} outputs, expected ${cots.length}`);
  ys.forEach((y, k) => {
    const { shape } = cots[k];
    if (`${y.shape}` !== `${shape}`) throw new Error(`${what}: y${k} has shape [${y.shape}], expected [${shape}]`);
  });
}

/**
 * Gradients of sum(y * cot) over all outputs. The sum itself is never computed: its gradient with respect to y is cot.
 */
function backwardFrom(ys: readonly Tensor[], cotangents: readonly Tensor[]): void {
  const wanted = ys.filter((y) => y.requiresGrad);
  if (wanted.length === 0) return; // reported as missing gradients
  backward(record(zeros([1]), wanted, () => cotangents.filter((_, k) => ys[k].requiresGrad)));
}

/** The tensor on the host. */
export async function download(t: Tensor): Promise<HostArray> {
  return { shape: t.shape, data: await t.read() };
}

/** Throws with the worst element unless shapes agree and every element lies within the tolerance. */
export function expectClose(what: string, actual: HostArray, expected: HostArray, tol: Tolerance): void {
  const { shape, data } = actual;
  if (`${shape}` !== `${expected.shape}`) throw new Error(`${what}: shape [${shape}], expected [${expected.shape}]`);
  if (data.length !== sizeOf(shape)) throw new Error(`${what}: ${data.length} values for shape [${shape}]`);
  const largest = largestOf(expected.data);
  let wrong = 0;
  let worst = { excess: 0, i: -1, allowed: 0 };
  for (let i = 0; i < expected.data.length; i++) {
    const allowed = tol(largest, expected.data[i]);
    const difference = Math.abs(actual.data[i] - expected.data[i]);
    if (difference <= allowed) continue; // false for NaN, which is wrong
    wrong++;
    const excess = Number.isNaN(difference) ? Infinity : difference - allowed;
    if (excess > worst.excess) worst = { excess, i, allowed };
  }
  if (wrong === 0) return;
  const { i, allowed } = worst;
  const where = `[${unravel(i, expected.shape)}]`;
  const values = `got ${actual.data[i]}, expected ${expected.data[i]}, allowed difference ${allowed.toExponential(2)}`;
  const count = `${wrong} of ${expected.data.length} values differ`;
  throw new Error(`${what} at ${where}: ${values} (largest |value| ${largest}; ${count})`);
}

function largestOf(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/** The products y * cot of all outputs of `reference`. */
function weighted(reference: Reference, inputs: readonly NdArray[], cots: readonly NdArray[]): number[] {
  return listOf(reference(...inputs)).flatMap((y, k) => Array.from(y.data, (v, i) => v * cots[k].data[i]));
}

const total = (terms: readonly number[]): number => terms.reduce((sum, v) => sum + v, 0);

/**
 * The derivative of sum(y * cot) when input `which` moves along `direction`, by a central difference in float64.
 */
export function centralDifference(
  reference: Reference,
  inputs: readonly NdArray[],
  which: number,
  cots: readonly NdArray[],
  direction: (i: number) => number,
  h = 1e-5,
): number {
  const moved = (step: number): number => {
    const x = inputs[which];
    const changed = { ...x, data: x.data.map((v, i) => v + step * direction(i)) };
    return total(weighted(reference, inputs.map((y, k) => (k === which ? changed : y)), cots));
  };
  return (moved(h) - moved(-h)) / (2 * h);
}

/** The central-difference gradient of every element of input `which`. */
export function numericalGradient(
  reference: Reference,
  inputs: readonly NdArray[],
  which: number,
  cots: readonly NdArray[],
  h = 1e-5,
): NdArray {
  const { shape, data } = inputs[which];
  const slope = (k: number): number => centralDifference(reference, inputs, which, cots, (i) => (i === k ? 1 : 0), h);
  return { shape, data: data.map((_, k) => slope(k)) };
}

/** The elements to probe: all, or the first, the last and a random choice of `probes`. */
function chooseProbes(size: number, probes: number, rng: Rng): number[] {
  if (size <= probes) return Array.from({ length: size }, (_, i) => i);
  return [...new Set([0, size - 1, ...Array.from({ length: probes - 2 }, () => Math.floor(rng.range(0, size)))])];
}

function checkGradient(
  what: string,
  actual: HostArray,
  reference: Reference,
  inputs: readonly NdArray[],
  which: number,
  cots: readonly NdArray[],
  { gradTol = ulps(16), h = 1e-5, probes = 200 }: CheckOptions,
  rng: Rng,
): void {
  const { shape } = inputs[which];
  const size = sizeOf(shape);
  if (`${actual.shape}` !== `${shape}`) throw new Error(`${what}: shape [${actual.shape}], expected [${shape}]`);
  const largest = largestOf(actual.data);
  const noise = differenceNoise(reference, inputs, cots, h);
  for (const k of chooseProbes(size, probes, rng)) {
    const expected = centralDifference(reference, inputs, which, cots, (i) => (i === k ? 1 : 0), h);
    const allowed = gradTol(Math.max(largest, Math.abs(expected)), expected) + noise;
    if (Math.abs(actual.data[k] - expected) <= allowed) continue;
    const values = `got ${actual.data[k]}, central difference ${expected}, allowed ${allowed.toExponential(2)}`;
    throw new Error(`${what} at [${unravel(k, shape)}]: ${values} (largest |gradient| ${largest})`);
  }
  if (size > probes) checkDirection(what, actual, reference, inputs, which, cots, gradTol, h, noise, rng);
}

/** Where not every element is probed, one random direction of all of them at once sees a wrong element anywhere. */
function checkDirection(
  what: string,
  actual: HostArray,
  reference: Reference,
  inputs: readonly NdArray[],
  which: number,
  cots: readonly NdArray[],
  tol: Tolerance,
  h: number,
  noise: number,
  rng: Rng,
): void {
  const direction = inputs[which].data.map(() => (rng.integer(2) === 0 ? -1 : 1));
  const expected = centralDifference(reference, inputs, which, cots, (i) => direction[i], h);
  const got = direction.reduce((sum, d, i) => sum + d * actual.data[i], 0);
  const largest = largestOf(actual.data);
  // Errors of the elements add like a random walk; 4 is four standard deviations.
  const allowed = 4 * Math.sqrt(direction.length) * (tol(largest, largest) + noise);
  if (Math.abs(got - expected) <= allowed) return;
  const values = `got ${got}, central difference ${expected}, allowed ${allowed.toExponential(2)}`;
  throw new Error(`${what} along a random direction of all ${direction.length} elements: ${values}`);
}

/**
 * What float64 rounding of sum(y * cot) does to a central difference: the sum of |terms| times 2^-52, over the step.
 */
function differenceNoise(
  reference: Reference,
  inputs: readonly NdArray[],
  cots: readonly NdArray[],
  h: number,
): number {
  return (total(weighted(reference, inputs, cots).map(Math.abs)) * 2 ** -52) / h;
}

/** Checks that `fn` throws, or rejects, with exactly this message (or one that matches it). */
export function checkThrows(fn: () => unknown, message: string | RegExp): void | Promise<void> {
  let result: unknown;
  try {
    result = fn();
  } catch (error) {
    return checkMessage(error, message);
  }
  const missing = `expected an error "${message}", but nothing was thrown`;
  if (!(result instanceof Promise)) throw new Error(missing);
  return result.then(
    () => Promise.reject(new Error(missing)),
    (error: unknown) => checkMessage(error, message),
  );
}

function checkMessage(error: unknown, message: string | RegExp): void {
  const got = error instanceof Error ? error.message : String(error);
  const matches = typeof message === "string" ? got === message : message.test(got);
  if (!matches) throw new Error(`expected an error "${message}", got "${got}"`);
}
