// Every kernel gives the same bits each time: run again among dirty buffers, compiled, and on a device opened anew whose
// workgroups run in the opposite order.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { close, compile, full, init, stack, step, type Tensor } from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { currentProgram } from "../../src/gpu/program.ts";
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import type { Tunable } from "../../src/tune.ts";
import { cases, tuned, type Case } from "./cases.ts";
import { reverseAll, reverseWorkgroups } from "./reverse.ts";

/** Which of the candidates an operation takes, and how many there were at most. */
const candidate = vi.hoisted(() => ({ taken: 0, most: 0 }));
vi.mock("../../src/tune.ts", async (original) => ({
  ...(await original<object>()),
  pick: <S, C>({ candidates }: Tunable<S, C>, shape: S): C => {
    const all = candidates(shape);
    candidate.most = Math.max(candidate.most, all.length);
    return all[Math.min(candidate.taken, all.length - 1)];
  },
}));

const names = readdirSync(join(import.meta.dirname, "../../wgsl")).map((f) => f.replace(".wgsl", ""));

/** Kernels that have been launched. */
const launched = new Set<string>();

async function open(): Promise<void> {
  close();
  await init();
  const { device } = gpu();
  const create = device.createComputePipelineAsync.bind(device);
  device.createComputePipelineAsync = (pipeline) => {
    launched.add(pipeline.label!);
    return create(pipeline);
  };
}

type Bits = readonly string[];

async function bitsOf(run: () => Promise<readonly Tensor[]>): Promise<Bits> {
  const results = await run();
  const values = await Promise.all(results.map((t) => t.read()));
  return values.map(({ buffer }) => Buffer.from(buffer).toString("hex"));
}

/** The bits without compile(); `kernels` hears what was launched. */
const plain = (make: Case, kernels = new Set<string>()): Promise<Bits> =>
  bitsOf(() => {
    const run = make();
    return step(() => {
      const results = run();
      for (const { kernel } of currentProgram().calls) kernels.add(kernel.name);
      return results;
    });
  });

/** The bits with compile(), of two calls: the second finds in every buffer what the first has left. */
async function compiled(make: Case): Promise<[Bits, Bits]> {
  const fn = compile(make());
  const calls: [Bits, Bits] = [await bitsOf(() => fn({})), await bitsOf(() => fn({}))];
  fn.free();
  return calls;
}

/** Cases in which a second call draws other numbers or goes on from the state of the first. */
const MOVES = /^(dropout|random numbers|adam|SGD|scaled loss|batch norm$)/;

/** Leaves large numbers in the buffers that the next step will find free. */
async function soil(): Promise<void> {
  for (const size of [64, 512, 4096, 40_000])
    await step(() => void stack(Array.from({ length: 12 }, () => full([size], -1e30))));
}

/** A case, with which candidate of an operation, on this adapter or as if it were a GPU, where other kernels are chosen. */
interface Run {
  readonly make: Case;
  readonly candidate: number;
  readonly asGpu: boolean;
}

/** Also every tile that tune() may choose, and all of the cases as on a GPU: compiling them takes the CPU some minutes. */
const whole = process.env.WGRAD_TILES === "all";

/** More than any operation has. */
const CANDIDATES = 24;

function runs(): [name: string, run: Run][] {
  const all = { ...cases, ...tuned };
  const list = (group: Record<string, Case>, suffix: string, rest: Omit<Run, "make">) =>
    Object.entries(group).map(([name, make]): [string, Run] => [name + suffix, { make, ...rest }]);
  const tiles = Array.from({ length: whole ? CANDIDATES - 1 : 0 }, (_, i) => i + 1);
  return [
    ...list(all, "", { candidate: 0, asGpu: false }),
    ...list(whole ? all : tuned, ", as on a GPU", { candidate: 0, asGpu: true }),
    ...tiles.flatMap((candidate) => list(tuned, `, candidate ${candidate}`, { candidate, asGpu: false })),
  ];
}

async function inSetting<T>({ candidate: taken, asGpu }: Run, work: () => Promise<T>): Promise<T> {
  const { info } = gpu();
  const { subgroupSize, software } = info;
  candidate.taken = taken;
  if (asGpu) Object.assign(info, { subgroupSize: 0, software: false });
  try {
    return await work();
  } finally {
    Object.assign(info, { subgroupSize, software });
  }
}

afterAll(close);

/** What each run gave at first, and the kernels it took. */
const first = new Map<string, { readonly bits: Bits; readonly kernels: ReadonlySet<string> }>();

describe("run again among dirty buffers, and compiled", () => {
  beforeAll(open);

  test.each(runs())("%s", (name, run) =>
    inSetting(run, async () => {
      const kernels = new Set<string>();
      const bits = await plain(run.make, kernels);
      first.set(name, { bits, kernels });
      await soil();
      expect(await plain(run.make)).toEqual(bits);
      const [once, again] = await compiled(run.make);
      expect(once).toEqual(bits);
      if (!MOVES.test(name)) expect(again).toEqual(bits);
    }),
  );
});

describe("on a device opened anew, the last workgroup first", () => {
  beforeAll(async () => {
    await open();
    reverseAll();
  });

  const turned = new Set<string>();
  test.each(runs())("%s", (name, run) => {
    const { bits, kernels } = first.get(name)!;
    if (!whole && [...kernels].every((kernel) => turned.has(kernel))) return; // those before had all of its kernels
    kernels.forEach((kernel) => turned.add(kernel));
    return inSetting(run, async () => expect(await plain(run.make)).toEqual(bits));
  });
});

test("every candidate was tried", () => expect(candidate.most).toBeLessThanOrEqual(CANDIDATES));

test("every kernel was launched", () => {
  const { subgroupSize, subgroupMatrix } = gpu().info;
  // Computed with emulated matrices in test/gpu/subgroupMatrix.test.ts.
  const units = subgroupMatrix ? [] : names.filter((name) => name.endsWith("_subgroup_matrix"));
  const lanes = [4, 8].includes(subgroupSize) ? [] : names.filter((name) => name.endsWith("_subgroup"));
  const patches = subgroupSize === 8 ? [] : names.filter((name) => /_patch$|_taps$/.test(name));
  expect(names.filter((name) => !launched.has(name)).sort()).toEqual([...units, ...lanes, ...patches].sort());
});

test("no kernel adds floats in an order that is not its own", () => {
  for (const { name, code } of Object.values(wgsl)) {
    expect(code.match(/atomic<(?!u32|i32)/), `${name}.wgsl: atomics of whole numbers only`).toBeNull();
    // What they leave must not depend on who comes first, and nobody may look at what was there.
    const uses = code.match(/\batomic[A-Z]\w*\([^;]*;/g) ?? [];
    expect(uses.filter((use) => !/^atomicStore\(&\w+\[0\], 1u\);$/.test(use))).toEqual([]);
  }
});

test("workgroups are turned round in the text of a kernel", () => {
  expect(reverseWorkgroups(wgsl.fill.code)).toContain("let id = (groups - 1u - reversed_own) * vec3u(WG, 1, 1)");
  expect(reverseWorkgroups(wgsl.sum_slices.code)).not.toBe(wgsl.sum_slices.code);
  expect(reverseWorkgroups(wgsl.loss_scale.code)).toBe(wgsl.loss_scale.code); // has one
});
