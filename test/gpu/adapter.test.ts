// Which adapter is found, each case in a process of its own because Vulkan reads its drivers once.
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const lib = JSON.stringify(new URL("../../dist/index.js", import.meta.url).href);
const SUM = `const a = w.tensor([1, 2, 3]); console.log(JSON.stringify({ info, sum: [...await w.add(a, a).read()] }));`;

function run(options: string, env: Record<string, string> = {}): { status: number | null; out: string; err: string } {
  const good = `const info = await w.init(${options}); ${SUM} w.close();`;
  const bad = `console.log(e.name + ": " + e.message); process.exitCode = 1;`;
  const code = `const w = await import(${lib}); try { ${good} } catch (e) { ${bad} }`;
  const r = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    encoding: "utf8",
    timeout: 100_000,
    env: { ...process.env, ...env },
  });
  return { status: r.status, out: r.stdout.trim(), err: r.stderr };
}

test("SwiftShader comes out of the npm package and computes, with no driver named by the system", () => {
  const { out, status } = run(`{ adapter: "swiftshader" }`);
  expect(out).toMatch(/swiftshader/i);
  expect(JSON.parse(out)).toMatchObject({ info: { software: true }, sum: [2, 4, 6] });
  expect(status).toBe(0);
});

test("with no usable driver installed the default falls back to SwiftShader", () => {
  const none = "/nonexistent/none.json";
  const { out } = run("{}", { VK_ICD_FILENAMES: none, VK_DRIVER_FILES: none, WGRAD_ADAPTER: "" });
  expect(JSON.parse(out)).toMatchObject({ sum: [2, 4, 6] });
  expect(out).toMatch(/swiftshader/i);
});

test("an adapter that is not there is named, with what to install", () => {
  const { out, status } = run(`{ adapter: "no-such-device" }`);
  expect(out).toMatch(
    /^AdapterError: init: no adapter matches "no-such-device"\. Install a GPU driver with Vulkan support, or a soft/,
  );
  expect(status).toBe(1);
});
