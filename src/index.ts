// The public names of the library, nothing else.

export { init, close, type InitOptions } from "./gpu/device.ts";
export type { AdapterInfo } from "./gpu/adapter.ts";
export type { SubgroupMatrices, SubgroupMatrixConfig } from "./gpu/subgroupMatrix.ts";
export { step, keep, flush } from "./scope.ts";
export { compile, type CompiledStep, type CompileOptions, type StepInputs } from "./compile.ts";
export type { PlanMemory } from "./gpu/plan.ts";
export { defineKernel, type KernelCallOptions, type OwnKernel } from "./gpu/defineKernel.ts";
export { linearGrid, type Grid } from "./gpu/grid.ts";
export { tune, type TuneOptions, type TuneResult } from "./tune.ts";
export { Tensor, tensor, hostTensor, empty, full, zeros, ones, arange, hasF16 } from "./tensor.ts";
export type { Dtype, HostTensor, NestedNumbers, TensorOptions } from "./tensor.ts";
export type { HostData } from "./gpu/program.ts";
export type { Shape } from "./shape.ts";
export { record, backward, noGrad, type Backward, type Node } from "./autograd.ts";
export { checkpoint } from "./checkpoint.ts";
export { Rng } from "./random.ts";
export { setDebug } from "./debug.ts";
export * from "./errors.ts";
export * from "./kernels/index.ts";
export * as nn from "./nn/index.ts";
export * as optim from "./nn/optim.ts";
export * as schedule from "./nn/schedule.ts";
