// Out of GPU memory, for real: SwiftShader takes a process's own memory, and the shell limits that.
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpu } from "../../src/gpu/device.ts";
import { compile, close, concat, full, init, OutOfMemoryError, type Tensor } from "../../src/index.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const MIB = 2 ** 20;
const library = new URL("../../dist/index.js", import.meta.url).href;
const swiftShader = process.platform === "linux" && process.arch === "x64";

/** Room that Node needs to start. */
const LIMIT = 6144 * MIB;

/** Runs `code`, which prints JSON, in a process that can take so many bytes more. */
function within(bytes: number, code: string): unknown {
  const text = `
    import { readFileSync } from "node:fs";
    import * as w from "${library}";
    await w.init({ adapter: "swiftshader" });
    await w.full([1], 1).read(); // SwiftShader itself is there
    const taken = 1024 * /VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1];
    globalThis.blocked = new ArrayBuffer(${LIMIT} - taken - ${bytes}); // never touched: it takes addresses, no memory
    ${code}
    process.exit(0);`;
  const { stdout, stderr } = spawnSync(
    "bash",
    ["-c", `ulimit -v ${LIMIT / 1024}; exec "$0" --input-type=module -e "$1"`, process.execPath, text],
    { encoding: "utf8" },
  );
  expect(stdout, stderr).not.toBe("");
  return JSON.parse(stdout);
}

describe.runIf(swiftShader)("when the memory ends", () => {
  test("tensors: an error says what was asked for and what is held, and work goes on without", () => {
    const [held, error, again, kept] = within(
      1024 * MIB,
      `
      const kept = w.full([4], 3);
      const held = [];
      const fill = async () => { for (;;) { const t = w.empty([${32 * MIB}]); w.slice(t, { dim: 0, end: 1 }); await w.flush(); held.push(t); } };
      const tell = (e) => [e instanceof w.OutOfMemoryError, e instanceof w.DeviceLostError, e.message];
      const error = tell(await fill().catch((e) => e));
      const count = held.length;
      const again = tell(await fill().catch((e) => e));
      console.log(JSON.stringify([count, error, again, [...(await w.add(kept, 1).read())]]))`,
    ) as [number, [boolean, boolean, string], unknown, number[]];
    expect(held).toBeGreaterThan(3);
    expect(error.slice(0, 2)).toEqual([true, false]);
    expect(error[2]).toBe(
      `out of GPU memory: 128.0 MiB were asked for, beside ${(128 * held).toFixed(1)} MiB that are held; ` +
        "use a smaller batch, image or width, f16 activations, or checkpoint()",
    );
    expect(again).toEqual(error);
    expect(kept).toEqual([4, 4, 4, 4]);
  });

  test("a compiled step: its memory is told, all of it given back, and a smaller one runs", () => {
    const [planned, error, lengths] = within(
      1100 * MIB,
      `
      const made = (parts) => w.compile(() => {
        const all = Array.from({ length: parts }, () => w.empty([${16 * MIB}]));
        const some = () => all.map((t) => w.slice(t, { dim: 0, end: 2 }));
        return w.stack([...some(), ...some()]); // all are needed at once, and little is computed
      });
      const run = async (step) => (await (await step({})).read()).length;
      const large = made(40);
      const error = await run(large).catch((e) => [e instanceof w.OutOfMemoryError, e.message]);
      // Two that only fit one after the other: the first one's memory is free only a while after it is given back.
      const lengths = [];
      for (const step of [made(9), made(10)]) {
        lengths.push(await run(step));
        step.free();
      }
      console.log(JSON.stringify([large.memory.planned, error, lengths]))`,
    ) as [number, [boolean, string], number[]];
    expect(planned).toBeGreaterThan(2500 * MIB);
    expect(error[0]).toBe(true);
    expect(error[1]).toMatch(
      /^out of GPU memory: 64\.0 MiB were asked for, beside [\d.]+ MiB that are held, for a step that takes /,
    );
    expect(error[1]).toContain(`takes ${(planned / MIB).toFixed(1)} MiB`);
    expect(lengths).toEqual([36, 40]);
  });
});

test("what is beyond the adapter's limits is refused before anything is allocated", async () => {
  const { pool, info } = gpu();
  const before = pool.allocatedBytes;
  const n = info.limits.maxStorageBufferBindingSize / 4;
  const half = { shape: [n / 2], dtype: "f32", data: new Float32Array(n / 2) } as const;
  const twice = compile(({ x }: { x: Tensor }) => concat([x, x, x], 0));
  await expect(twice.prepare({ x: half })).rejects.toThrow(OutOfMemoryError);
  await expect(twice.prepare({ x: half })).rejects.toThrow(
    /copy_chunks: y needs [\d.]+ MiB but this adapter binds at most/,
  );
  expect(pool.allocatedBytes).toBe(before);
  expect(await full([2], 1).read()).toEqual(Float32Array.of(1, 1));
});
