// Joint training of MSALDS-UNet's generator and discriminators by PyTorch, made by fixtures/msalds.py: what is stored,
// and what both sides draw from the same random sequences.
import { readFileSync } from "node:fs";
import { Rng, type Tensor, type nn } from "../src/index.ts";
import { upload } from "./check.ts";
import { readSafetensors } from "./safetensors.ts";

export type Terms = Readonly<Record<string, number>>;
interface Parts<T> {
  readonly generator: T;
  readonly discriminator: T;
}
export interface Manifest {
  model: { inChannels: number; classes: number; width: number; depth: number };
  parameters: readonly [number, number];
  seed: number;
  size: number;
  /** Larger tensors are stored in part. */
  sample: number;
  lr: number;
  /** The losses of the last batch, per scale, before any step. */
  untrained: Parts<readonly number[]>;
  shapes: Readonly<Record<string, readonly number[]>>;
  /** The largest differences seen between right runs. */
  first_spread: Readonly<Record<string, number>>;
  steps: readonly Parts<readonly Terms[]>[];
  /** The largest relative differences seen between right runs, per step and term; of accuracies absolute. */
  spread: readonly Parts<Terms>[];
  /** The largest distances of final tensors seen between right runs, as parts of the way from their start. */
  final_spread: { readonly weights: number; readonly statistics: number };
}

const folder = new URL("fixtures/", import.meta.url);
export const fixture = JSON.parse(readFileSync(new URL("msalds.json", folder), "utf8")) as Manifest;
/** What the fixture stores of tensors: `first/` gradients and `final/` states, in part (`sampled`). */
export const values = readSafetensors(new URL("msalds.safetensors", folder));

const uniforms = (stream: string, n: number): number[] => {
  const rng = new Rng(fixture.seed, stream);
  return Array.from({ length: n }, () => rng.uniform());
};

function initialState(): Map<string, nn.HostTensor> {
  return new Map(
    Object.entries(fixture.shapes).map(([name, shape]) => {
      const n = shape.reduce((a, b) => a * b, 1);
      const data = /running_(mean|var)$/.test(name)
        ? new Float32Array(n).fill(name.endsWith("var") ? 1 : 0)
        : Float32Array.from(uniforms(name, n), initialValue(name, shape));
      return [name, { shape, dtype: "f32", data }];
    }),
  );
}

function initialValue(name: string, shape: readonly number[]): (uniform: number) => number {
  const offset = name.endsWith("weight") ? 1 : 0.25; // of norms
  if (shape.length === 1) return (u) => 0.25 * (2 * u - 1) + offset;
  const root = Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1));
  const squeeze = name.endsWith("fc.0.weight");
  return (u) => (squeeze ? Math.abs(2 * u - 1) : 2 * u - 1) / root;
}

/** The initial value of every parameter and running statistic, by "network/name": "g/head.3.weight". */
export const initial = initialState();

export interface Batch {
  readonly x: Tensor;
  readonly target: Tensor;
}

/** The batch of step k: bright discs on a dark ground with noise. */
export function batch(k: number): Batch {
  const { size, model } = fixture;
  const area = size * size;
  const draws = uniforms(`discs ${k}`, 6);
  const inside = (n: number, pixel: number): number => {
    const [row, column] = draws.slice(3 * n).map((u) => Math.floor(size * (0.25 + 0.5 * u)));
    const radius = size * (0.125 + 0.125 * draws[3 * n + 2]);
    return (Math.floor(pixel / size) - row) ** 2 + ((pixel % size) - column) ** 2 < radius * radius ? 1 : 0;
  };
  const target = Float64Array.from({ length: 2 * area }, (_, i) => inside(Math.floor(i / area), i % area));
  const x = uniforms(`noise ${k}`, 2 * model.inChannels * area).map(
    (u, i) => u - 0.5 + 0.5 * target[Math.floor(i / (model.inChannels * area)) * area + (i % area)],
  );
  return {
    x: upload({ shape: [2, model.inChannels, size, size], data: Float64Array.from(x), grad: false }),
    target: upload({ shape: [2, size, size], data: target, dtype: "i32" }),
  };
}

export interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** The values that the fixture keeps of a tensor: every stride-th. */
export function sampled({ data }: Values): Values {
  let stride = Math.max(1, Math.floor(data.length / fixture.sample));
  while (stride % 2 === 0 || stride % 3 === 0) stride++; // visits all rows and all taps of a kernel
  const kept = Array.from({ length: Math.ceil(data.length / stride) }, (_, i) => data[i * stride]);
  return { shape: [kept.length], data: kept };
}
