// Bundles of the built library: no Node module in those for browsers, and only what a program uses.
import { expect, test } from "vitest";
import { bundle, gzipped, programs } from "../../scripts/bundleSize.mjs";
import { nodeModulesIn } from "./nodeModules.mjs";

const core = programs["core and training of convolutions"];

test("a bundle for browsers names no Node module, whatever it uses", async () => {
  expect(nodeModulesIn(await bundle(programs["the whole library"]))).toEqual([]);
  expect(nodeModulesIn(await bundle(programs["segmenting CT with wgrad/kits"]))).toEqual([]);
  const forNode = await bundle(core, undefined, { platform: "node", packages: "bundle", external: ["webgpu"] });
  expect(nodeModulesIn(forNode).length).toBeGreaterThan(5); // the search finds them where they are
});

test("a program takes the kernels that it can launch, and no others", async () => {
  const kernels = (text: string) => new Set([...text.matchAll(/name:"(\w+)",consts/g)].map(([, name]) => name));
  const [few, all] = [kernels(await bundle(core)), kernels(await bundle(programs["the whole library"]))];
  expect([...few]).toEqual(expect.arrayContaining(["conv_forward", "max_pool", "cross_entropy_grad", "optim_update"]));
  for (const name of ["slice_batch", "bench_fma", "layer_norm", "dice_rows", "dropout"])
    expect(few).not.toContain(name);
  expect(all).toContain("layer_norm");
  for (const name of ["slice_batch", "bench_fma"]) expect(all).not.toContain(name); // of the application and the benchmarks
});

// 50, 51 and 86 KB in November 2026. A tenth above that something has come in that was not asked for: look with esbuild's
// `--analyze` for what it is.
test.each([
  ["core and training of convolutions", 56_000],
  ["the same with layers of wgrad/nn", 57_000],
  ["the whole library", 94_000],
] as const)("%s: at most %i bytes after gzip", async (name, most) => {
  expect(gzipped(await bundle(programs[name]))).toBeLessThanOrEqual(most);
});
