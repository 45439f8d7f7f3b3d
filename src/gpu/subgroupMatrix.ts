// Which matrix products an adapter's matrix units can do: read from the adapter, never assumed.
// Dawn has them as an experimental feature, chromium-experimental-subgroup-matrix; gpuweb's proposal is subgroup-matrix.

/** One kind of product: [M, K] by [K, N] matrices of `componentType`, added up as `resultComponentType`. */
/** One product that matrix units compute: [M, K] times [K, N], with the types of its factors and of its result. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What an adapter's matrix units can do. */
export interface SubgroupMatrices {
  /** Most lanes of a subgroup; the threads of a workgroup must be a multiple of it. */
  readonly maxLanes: number;
  /** In the adapter's order, which puts what it prefers first. */
  readonly configs: readonly SubgroupMatrixConfig[];
}

/** The matrix units of an adapter, null where it has none or does not show them. */
export function readSubgroupMatrices(adapter: GPUAdapter): SubgroupMatrices | null {
  if (!adapter.features.has("chromium-experimental-subgroup-matrix")) return null;
  // Not in @webgpu/types yet; a browser may have the feature under this name with another way to list what it can do.
  const { subgroupMaxSize = 0, subgroupMatrixConfigs = [] } = adapter.info as {
    subgroupMaxSize?: number;
    subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[];
  };
  const plain = ({ componentType, resultComponentType, M, N, K }: SubgroupMatrixConfig) => {
    return { componentType, resultComponentType, M, N, K };
  };
  return { maxLanes: subgroupMaxSize, configs: [...subgroupMatrixConfigs].map(plain) };
}

/** Kernels split places into matrices, and Vulkan wants rows aligned, so sizes must be powers of two from 4 up. */
function isRegular({ M, N, K }: SubgroupMatrixConfig): boolean {
  return [M, N, K].every((n) => n >= 4 && Number.isInteger(Math.log2(n)));
}

/**
 * The configuration for f32 tensors: sums of f32 always; factors of f32 where there are any, else of f16 where `f16` is
 * true; of several the adapter's first. Null where there is none.
 */
export function chooseMatrixConfig(
  configs: readonly SubgroupMatrixConfig[],
  { f16 }: { f16: boolean },
): SubgroupMatrixConfig | null {
  const of = (type: string) =>
    configs.find((c) => c.componentType === type && c.resultComponentType === "f32" && isRegular(c));
  return of("f32") ?? (f16 ? of("f16") : undefined) ?? null;
}
