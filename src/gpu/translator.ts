// A process that runs shaders on nothing, so that the driver translates them and keeps their code on disk. Its parent
// sends one after another, each when told that the one before is done (see precompile.ts).

import { close, gpu, init } from "./device.ts";
import type { Consts, Kernel } from "./kernel.ts";
import { waitFor } from "./wait.ts";

/** What names a shader. */
export interface Shader {
  readonly kernel: Kernel;
  readonly key: string;
  readonly consts: Consts;
  /** How many a call brings. */
  readonly immediates: number;
}

const BYTES = 4096;
const STORAGE = 0x80; // GPUBufferUsage.STORAGE
const INDIRECT = 0x100; // GPUBufferUsage.INDIRECT

/** Runs a shader with a grid of no workgroups. */
async function runOnNothing({ kernel, key, consts, immediates }: Shader): Promise<void> {
  const { device, pipelines } = gpu();
  await pipelines.compile(kernel, consts, key);
  const entries = kernel.bindings.map((_, binding) => ({
    ...{ binding, resource: { buffer: device.createBuffer({ size: BYTES, usage: STORAGE }) } },
  }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipelines.get(key)!);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipelines.layout(kernel).group, entries }));
  if (immediates > 0) pass.setImmediates(0, new Uint32Array(immediates));
  pass.dispatchWorkgroupsIndirect(device.createBuffer({ size: 12, usage: INDIRECT }), 0); // a direct one would be left out
  pass.end();
  device.queue.submit([encoder.finish()]);
  await waitFor(device.queue.onSubmittedWorkDone(), true);
}

process.on("disconnect", () => {
  close();
  process.exit(0);
});
process.on("message", async (shader: Shader) => {
  await runOnNothing(shader);
  process.send!("done");
});
await init();
process.send!("ready");
