// Numbers that come with a call, and the same numbers as consts where the adapter takes none.
import { afterAll, beforeAll, expect, test } from "vitest";
import { close, conv2d, init, randn, Rng, setConvVariant } from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { IMMEDIATES, PipelineCache, specialise } from "../../src/gpu/kernel.ts";
import * as wgsl from "../../src/gpu/kernels.gen.ts";
import { launch } from "../../src/gpu/program.ts";

beforeAll(() => init());
afterAll(close);

const able = () => gpu().info.features.has("subgroups") && gpu().info.subgroupSize === 8;

/** Two convolutions of different shapes, and how many pipelines they took. */
async function run(): Promise<{ values: unknown[]; pipelines: number }> {
  const before = gpu().pipelines.compiledCount;
  const values = [];
  for (const size of [16, 24]) {
    const x = randn([2, 5, size, size], new Rng(size, "x"));
    const w = randn([8, 5, 3, 3], new Rng(size, "w"));
    values.push(await conv2d(x, w, null, { padding: 1 }).read());
  }
  return { values, pipelines: gpu().pipelines.compiledCount - before };
}

test("shapes as immediates and as consts give the same bits, with one pipeline and with one for each", async (context) => {
  if (!able()) return context.skip("the kernel needs subgroups of 8 lanes");
  setConvVariant("patch");
  const own = gpu() as { info: object; pipelines: PipelineCache };
  const { info, pipelines } = own;
  await run(); // everything but the convolutions is compiled
  own.pipelines = new PipelineCache(gpu().device, gpu().info);
  const direct = await run();
  own.info = { ...info, immediates: false };
  own.pipelines = new PipelineCache(gpu().device, gpu().info);
  const consts = await run();
  Object.assign(own, { info, pipelines });
  setConvVariant("auto");
  expect(consts.values).toEqual(direct.values);
  if (gpu().info.immediates) expect(consts.pipelines).toBe(direct.pipelines + 1);
});

test("consts take the place of the immediates in the text, one line for one", () => {
  const text = specialise(wgsl.conv_forward_patch, { [IMMEDIATES]: "1, 2, 3" });
  expect(text).toMatch(/^const s = Geometry\(1, 2, 3\);$/m);
  expect(text).not.toContain("immediate>");
});

test("a missing or broken number is named", () => {
  const immediates = { groups: 1.5 } as never;
  expect(() => launch(wgsl.conv_forward_patch, { immediates, buffers: {} as never, grid: [1, 1, 1] })).toThrow(
    "conv_forward_patch.wgsl: immediate groups must be whole, got 1.5",
  );
});
