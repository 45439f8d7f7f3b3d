// WebGPU in Node: Dawn from the npm package `webgpu`. Only loaded in Node.

import { describe, type FoundAdapter } from "./adapter.ts";
import { useSwiftShader } from "./swiftshader.ts";

// allow_unsafe_apis and the f16 toggle give NVIDIA's f16 and subgroup matrices;
// unquantised timestamps give profiles in ns. Fresh buffers need no zeros: kernels write all that is read, as they must in
// buffers that are used again.
const TOGGLES = [
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model",
  "disable-dawn-features=timestamp_quantization,lazy_clear_resource_on_first_use",
];

/**
 * Dawn must not collect its instance while a device lives, and must not keep one
 * for ever: it is held here until release.
 */
const held = new Set<GPU>();

export async function findInNode(name?: string): Promise<FoundAdapter | null> {
  const wanted = name?.toLowerCase();
  if (wanted === "null") return request([...TOGGLES, "backend=null"]);
  if (wanted === "swiftshader") return (await useSwiftShader()) ? request(TOGGLES) : null;
  const device = wanted === "lavapipe" ? "llvmpipe" : name;
  const found = await request(device ? [...TOGGLES, `adapter=${device}`] : TOGGLES);
  if (found || device) return found;
  return (await useSwiftShader()) ? request(TOGGLES) : null;
}

async function request(flags: string[]): Promise<FoundAdapter | null> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  try {
    const gpu = create(flags);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return null;
    held.add(gpu);
    return { adapter, info: describe(adapter, gpu), release: () => held.delete(gpu) };
  } catch {
    return null; // Dawn throws when `adapter=` matches nothing
  }
}
