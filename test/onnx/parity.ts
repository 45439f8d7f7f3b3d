// The same function by wgrad and, exported, by onnxruntime on the CPU.
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { Rng, hostTensor, noGrad, step, type Dtype, type Tensor } from "../../src/index.ts";
import { exportOnnx, type Forward, type OnnxOptions } from "../../src/onnx/index.ts";

export interface Case {
  readonly name: string;
  readonly forward: Forward;
  /** Shapes of the inputs a, b, ... */
  readonly shapes: readonly (readonly number[])[];
  /** Values of the inputs, from a uniform number in [0, 1). Default: from -2 to 2. */
  readonly values?: (uniform: number) => number;
  readonly options?: OnnxOptions;
}

export interface Parity {
  /** The largest difference, and the largest value. */
  readonly difference: number;
  readonly largest: number;
}

interface Values {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly data: Float32Array | Int32Array | Uint32Array;
}

/** Runs the exported file on inputs of its own names. */
export async function runOnnx(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, Values>>,
): Promise<Record<string, Values>> {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const feeds = Object.entries(inputs).map(([name, { shape, data }]) => [
    name,
    new OrtTensor("float32", data as Float32Array, shape),
  ]);
  const found = await session.run(Object.fromEntries(feeds) as Record<string, OrtTensor>);
  await session.release();
  return Object.fromEntries(
    session.outputNames.map((name) => {
      const { dims, type, data } = found[name];
      return [name, { shape: dims, dtype: type === "int32" ? "i32" : "f32", data: data as Float32Array }];
    }),
  );
}

/**
 * The largest difference of the outputs for random inputs. The file is made for the batch of `shapes` and run with it, and
 * with two more samples unless its batch is fixed. Throws where names, shapes or types differ.
 */
export async function parity({ name, forward, shapes, values, options }: Case): Promise<Parity> {
  const inputNames = shapes.map((_, i) => "abcdef"[i]);
  const named = Object.fromEntries(inputNames.map((key, i) => [key, { shape: shapes[i] }]));
  const bytes = await exportOnnx(forward, named, options);
  const batches = options?.dynamicBatch === false ? [0] : [0, 2];
  let [difference, largest] = [0, 0];
  for (const more of batches) {
    const grown = shapes.map((shape) => (more > 0 ? shape.with(0, shape[0] + more) : shape));
    const inputs = Object.fromEntries(inputNames.map((key, i) => [key, drawn(`${name} ${key}`, grown[i], values)]));
    const expected = await runWgrad(forward, Object.values(inputs));
    const found = await runOnnx(bytes, inputs);
    checkForm(name, found, expected);
    for (const [key, { data }] of Object.entries(expected))
      data.forEach((v, i) => {
        difference = Math.max(difference, Math.abs(v - found[key].data[i]));
        largest = Math.max(largest, Math.abs(v));
      });
  }
  return { difference, largest };
}

function drawn(stream: string, shape: readonly number[], values: Case["values"] = (u) => 4 * u - 2): Values {
  const rng = new Rng(7, stream);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => values(rng.uniform()));
  return { shape, dtype: "f32", data };
}

async function runWgrad(forward: Forward, inputs: readonly Values[]): Promise<Record<string, Values>> {
  const outputs = await step(() =>
    noGrad(() => {
      const list = inputs.map(({ shape, data }) => hostTensor(shape, "f32", () => data as Float32Array<ArrayBuffer>));
      const y = forward(...list);
      if ("storage" in y) return { output: y as Tensor };
      return Array.isArray(y) ? Object.fromEntries(y.map((t, i) => [`output${i}`, t])) : (y as Record<string, Tensor>);
    }),
  );
  const read = Object.entries(outputs).map(async ([key, t]: [string, Tensor]) => [
    key,
    { shape: t.shape, dtype: t.dtype, data: await t.read() },
  ]);
  return Object.fromEntries(await Promise.all(read)) as Record<string, Values>;
}

function checkForm(name: string, found: Record<string, Values>, expected: Record<string, Values>): void {
  const form = (all: Record<string, Values>) =>
    Object.entries(all).map(([key, { shape, dtype }]) => `${key}: ${dtype} [${shape.join(", ")}]`);
  const [a, b] = [form(found), form(expected)].map((list) => list.join("; "));
  if (a !== b) throw new Error(`${name}: onnxruntime gives ${a}, wgrad ${b}`);
}

/** One line per case: the largest difference and the largest value. */
export function printParity(found: readonly (Parity & { readonly name: string })[]): void {
  const lines = found.map(
    ({ name, difference, largest }) => `${name.padEnd(40)} ${difference.toExponential(1)} of ${largest.toPrecision(3)}`,
  );
  console.log(["onnxruntime, largest difference of the largest value:", ...lines].join("\n"));
}
