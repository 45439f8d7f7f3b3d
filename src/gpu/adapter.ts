// Which adapter is used: hardware first, then an installed software driver
// (lavapipe), then the SwiftShader that npm carries.

import { AdapterError } from "../errors.ts";
import { debugLog } from "../debug.ts";
import { findAdapterHere, inNode } from "./host.ts";
import { readSubgroupMatrices, type SubgroupMatrices } from "./subgroupMatrix.ts";

/** The adapter in use, as init() tells it. */
export interface AdapterInfo {
  /** As the driver calls it, for example "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly name: string;
  readonly vendor: string;
  readonly driver: string;
  /** True where the CPU does the work: correct, but slow. */
  readonly software: boolean;
  /** Lanes of a subgroup where that number is fixed, else 0. */
  readonly subgroupSize: number;
  /** True where calls can bring numbers with them (WGSL's immediate address space). */
  readonly immediates: boolean;
  /** What the matrix units can multiply; null where there are none. */
  readonly subgroupMatrix: SubgroupMatrices | null;
}

export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly info: AdapterInfo;
  /** Lets go of the GPU library, so that the process can end. */
  readonly release: () => void;
}

const HELP =
  "Install a GPU driver with Vulkan support, or a software one (Debian/Ubuntu: mesa-vulkan-drivers 23 or later), " +
  "or reinstall without --omit=optional so that the SwiftShader in @sparticuz/chromium is there.";

/** What there is to know about an adapter of `gpu`. */
export function describe(adapter: GPUAdapter, gpu: GPU): AdapterInfo {
  const i = adapter.info;
  const { subgroupMinSize = 0, subgroupMaxSize = 0 } = i as { subgroupMinSize?: number; subgroupMaxSize?: number };
  const text = `${i.vendor} ${i.architecture} ${i.device} ${i.description}`;
  return {
    name: i.device || i.description || i.architecture || "unknown adapter",
    vendor: i.vendor,
    driver: i.description,
    software: Boolean(i.isFallbackAdapter) || /llvmpipe|lavapipe|swiftshader|software|basic render/i.test(text),
    subgroupSize: adapter.features.has("subgroups") && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
    immediates: gpu.wgslLanguageFeatures.has("immediate_address_space") && (adapter.limits.maxImmediateSize ?? 0) >= 64,
    subgroupMatrix: readSubgroupMatrices(adapter),
  };
}

/**
 * Finds an adapter. `name` chooses by hand: "swiftshader", "lavapipe", "null" (compiles shaders, computes nothing), or
 * a part of a device's name; default the best there is. Throws AdapterError when there is none, saying what to install.
 */
export async function findAdapter(name?: string): Promise<FoundAdapter> {
  const found = await findAdapterHere(name);
  if (!found) {
    const wanted = name ? `no adapter matches "${name}"` : "no WebGPU adapter found";
    throw new AdapterError(
      `init: ${wanted}. ${inNode() ? HELP : "This browser has no WebGPU, or it is switched off."}`,
    );
  }
  debugLog(
    1,
    `adapter ${found.info.name} (${found.info.vendor}; ${found.info.driver})${found.info.software ? ", software" : ""}`,
  );
  return found;
}
