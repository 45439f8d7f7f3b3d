// Safetensors from anywhere, which nothing guards; and our own checkpoints and training states, whose checksum must leave
// nothing but the whole original.

import { strict as assert } from "node:assert";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadCheckpoint, saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { loadTrainingState, saveTrainingState, type TrainingState } from "../../src/kits/trainingState.ts";
import { encodeSafetensors, loadSafetensors, type Checkpoint } from "../../src/nn/checkpoint.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { Rng } from "../../src/random.ts";
import { assertKinds, kindsOf, type Format } from "./format.ts";
import { damaged, joined, pick, type Bytes } from "./mutateBytes.ts";
import { mutatedJson, mutatedJsonFile } from "./mutateJson.ts";

const rng = new Rng(1, "checkpoint seeds");
const values = (n: number) => Float32Array.from({ length: n }, () => rng.normal());
const tensors: StateDict = {
  "down.0.weight": { shape: [4, 3, 2], dtype: "f32", data: values(24) },
  "down.0.bias": { shape: [4], dtype: "f32", data: values(4) },
  "optimiser/steps": { shape: [2], dtype: "u32", data: new Uint32Array([7, 8]) },
  counter: { shape: [], dtype: "i32", data: new Int32Array([-3]) },
  empty: { shape: [0, 5], dtype: "f32", data: new Float32Array(0) },
};
const metadata = { stage: "coarse", epoch: "3", validationLoss: "0.25" };

/** The JSON header and the values of a safetensors file. */
function parts(bytes: Uint8Array): { header: Record<string, unknown>; data: Uint8Array } {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  return { header, data: bytes.subarray(8 + length) };
}

function assembled(header: Uint8Array, data: Uint8Array, claimed = BigInt(header.length)): Bytes {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt.asUintN(64, claimed), true);
  return joined(length, header, data);
}

/** Bytes, the length of the header, or what the header says. */
function damage(bytes: Uint8Array, rng: Rng): Bytes {
  const kind = rng.uniform();
  if (kind < 0.4) return damaged(bytes, rng);
  const { header, data } = parts(bytes);
  if (kind < 0.6) {
    exchange(header, rng);
    return assembled(new TextEncoder().encode(JSON.stringify(header)), data);
  }
  if (kind < 0.7) {
    const text = new TextEncoder().encode(JSON.stringify(header));
    const claims = [
      0n,
      1n,
      BigInt(text.length - 1),
      BigInt(text.length + 8),
      10n ** 8n,
      10n ** 12n,
      2n ** 53n,
      2n ** 64n - 1n,
    ];
    return assembled(text, data, pick(claims, rng));
  }
  return assembled(mutatedJsonFile(header, rng), data);
}

/** What leaves a header whole: another type, the sizes in another order, the bytes or the name of another tensor. */
function exchange(header: Record<string, unknown>, rng: Rng): void {
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const [a, b] = [pick(names, rng), pick(names, rng)];
  const [one, other] = [header[a], header[b]] as Record<string, unknown>[];
  const kind = rng.integer(4);
  if (kind === 0) one.dtype = pick(Object.keys(widths), rng);
  else if (kind === 1) one.shape = [...(one.shape as number[])].reverse();
  else if (kind === 2) [one.data_offsets, other.data_offsets] = [other.data_offsets, one.data_offsets];
  else [header[a], header[b]] = [other, one];
}

const widths: Record<string, number> = { F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I64: 8 };

/** Every tensor must be exactly the bytes that the header gives it, and every byte be one tensor's. */
function judgePlain(bytes: Uint8Array, { tensors, metadata }: Checkpoint): void {
  const { header, data } = parts(bytes);
  const { __metadata__: text = {}, ...entries } = header as Record<string, Record<string, unknown>>;
  assert.deepEqual({ ...metadata }, text);
  assert(Object.values(metadata).every((v) => typeof v === "string"));
  assert.deepEqual(Object.keys(tensors).sort(), Object.keys(entries).sort());
  let used = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const [from, to] = offsets as number[];
    const size = (shape as number[]).reduce((a, b) => a * b, 1);
    assert.equal(to - from, size * widths[dtype as string], name);
    used += to - from;
    const tensor = tensors[name];
    assert.deepEqual(tensor.shape, shape);
    assert.equal(tensor.data.length, size);
    if (!["F32", "I32", "U32"].includes(dtype as string)) continue;
    const own = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    assert.equal(Buffer.compare(own, data.subarray(from, to)), 0, name);
  }
  assert.equal(used, data.length);
}

export const safetensors: Format = {
  name: "safetensors",
  inputs: 4000,
  prepare: async (folder) => {
    const bytes = encodeSafetensors(tensors, metadata);
    const path = join(folder, "x.safetensors");
    return (rng) => {
      const input = damage(bytes, rng);
      writeFileSync(path, input);
      return { read: () => loadSafetensors(path), judge: (value) => judgePlain(input, value as Checkpoint) };
    };
  },
};

export const checkpoint: Format = {
  name: "checkpoint",
  inputs: 4000,
  prepare: async (folder) => {
    const path = join(folder, "best.safetensors");
    await saveCheckpoint(path, tensors, metadata);
    const bytes = readFileSync(path);
    return (rng) => {
      writeFileSync(path, damage(bytes, rng));
      return { read: () => loadCheckpoint(path), judge: (value) => assert.deepEqual(value, { tensors, metadata }) };
    };
  },
};

const job = JSON.stringify({ stage: "coarse", train: ["case_00000"], seed: 0 });
const stateAt = (epoch: number, step: number): TrainingState => ({
  network: { tensors, numbers: { "model/rng/dropout": 12, "optimiser/0.lr": 1e-3, "scale/scale": 65536 } },
  position: {
    ...{ epoch, step, best: epoch > 0 ? { epoch, validationLoss: 0.5 } : null, names: ["loss", "generator.0.dice"] },
    ...{
      sums: step > 0 ? [1.5, -2.5] : [],
      skipped: step > 0 ? [2] : [],
      notTaken: 0,
      seconds: 12.5,
      epochSeconds: step / 2,
    },
  },
  job,
});

/** Three states of which some are damaged: the newest whole one must come back, or none. */
export const trainingState: Format = {
  name: "training state",
  inputs: 2000,
  prepare: async (folder) => {
    const states = [stateAt(0, 5), stateAt(1, 0), stateAt(1, 7)];
    for (const state of states) await saveTrainingState(folder, state);
    const names = ["state-0000-000005", "state-0001-000000", "state-0001-000007"];
    const files = names.map((name) => join(folder, `${name}.safetensors`));
    const whole = files.map((file) => readFileSync(file));
    return (rng) => {
      const hit = states.map((_, i) => i === 2 || rng.uniform() < 0.3);
      files.forEach((file, i) => writeFileSync(file, hit[i] ? damage(whole[i], rng) : whole[i]));
      return {
        read: () => loadTrainingState(folder, job, () => {}),
        judge: (value) => {
          const newest = hit.lastIndexOf(false);
          const found = states.findIndex((state) => isEqual(state, value));
          // A damage to spaces or to the order of names is none, so a newer one may come back too.
          assert(value === null ? newest < 0 : found >= Math.max(newest, 0), "not the newest whole state");
        },
      };
    };
  },
};

/** A state with a right checksum that says nonsense: passed over, or made as it must be. */
export const stateText: Format = {
  name: "state's text",
  inputs: 1000,
  prepare: async (folder) => {
    const state = stateAt(1, 7);
    const { numbers } = state.network;
    const seeds = [state, stateAt(0, 5)].map(({ position }) => ({ numbers, position, job }));
    const kinds = kindsOf(seeds, { records: /^\.numbers$/ });
    const path = join(folder, "state-0001-000007.safetensors");
    return async (rng) => {
      rmSync(path, { force: true });
      await saveCheckpoint(path, tensors, { state: mutatedJson(seeds[0], rng) });
      return {
        read: () => loadTrainingState(folder, job, () => {}),
        judge: (value) => {
          if (value === null) return;
          const { network, position, job: of } = value as TrainingState;
          assertKinds({ numbers: network.numbers, position, job: of }, kinds);
          assert.equal(of, job);
        },
      };
    };
  },
};

function isEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
