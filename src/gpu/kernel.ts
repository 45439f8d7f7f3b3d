// From a kernel's WGSL text to a compiled pipeline: specialise by rewriting `const`
// lines, lay out by the bindings written there.

import type { AdapterInfo } from "./adapter.ts";
import { kernels } from "./kernels.gen.ts";
import { KernelError } from "../errors.ts";
import { debugLog } from "../debug.ts";
import { storeAsHalf } from "./half.ts";
import { unroll } from "./unroll.ts";

export type KernelName = keyof typeof kernels;
export type ConstName<K extends KernelName> = keyof (typeof kernels)[K]["consts"] & string;
export type BufferName<K extends KernelName> = (typeof kernels)[K]["bindings"][number]["name"];
export type ImmediateName<K extends KernelName> = (typeof kernels)[K]["immediates"][number];
export type Consts = Readonly<Record<string, number | boolean | string>>;

export interface Binding {
  readonly name: string;
  readonly access: "read" | "read_write";
  readonly element: string;
}

/** A kernel's text with the names that are in it. */
export interface Source {
  readonly code: string;
  readonly consts: Readonly<Record<string, string>>;
  readonly bindings: readonly Binding[];
  readonly immediates: readonly string[];
}

/** Those that users have defined, by name: see defineKernel(). */
export const ownKernels = new Map<string, Source>();

function source(kernel: KernelName): Source {
  return ownKernels.get(kernel) ?? kernels[kernel];
}

export function bindingsOf(kernel: KernelName): readonly Binding[] {
  return source(kernel).bindings;
}

/** Names of the numbers that a call of this kernel brings with it, in order. */
export function immediatesOf(kernel: KernelName): readonly string[] {
  return source(kernel).immediates;
}

/** The kernel's WGSL as it stands in its file. */
export function kernelText(kernel: KernelName): string {
  return source(kernel).code;
}

export function kernelNames(): KernelName[] {
  return Object.keys(kernels) as KernelName[];
}

/** A value as WGSL writes it for a const of type `type`. */
function literal(kernel: string, name: string, type: string, value: number | boolean | string): string {
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) throw new KernelError(`${kernel}.wgsl: const ${name} must be finite, got ${value}`);
  if (type === "f32" || type === "f16") {
    const text = String(value);
    return /[.e]/.test(text) ? text : `${text}.0`;
  }
  if (!Number.isInteger(value) || (type === "u32" && value < 0))
    throw new KernelError(`${kernel}.wgsl: const ${name} is ${type}, got ${value}`);
  return String(value);
}

const IMMEDIATE = /^var<immediate>\s+(\w+)\s*:\s*(\w+);/m;

/**
 * The kernel's text with the values of the named consts replaced and its marked loops unrolled (compilers give up on large
 * ones); everything else, line numbers included, stays. Immediates given as a const of that name (where the adapter has
 * none) become a const struct; the buffers named in HALF hold f16.
 */
export function specialise(kernel: KernelName, consts: Consts): string {
  const { code, consts: known } = source(kernel);
  let text: string = code;
  for (const [name, value] of Object.entries(consts)) {
    if (name === IMMEDIATES) {
      text = text.replace(
        IMMEDIATE,
        (_, variable: string, struct: string) => `const ${variable} = ${struct}(${value});`,
      );
      continue;
    }
    if (name === HALF) continue;
    const type = known[name];
    if (type === undefined)
      throw new KernelError(`${kernel}.wgsl has no const ${name}; it has ${Object.keys(known).join(", ")}`);
    const line = new RegExp(`^((?:const|alias)\\s+${name}\\s*(?::\\s*\\w+)?\\s*=\\s*)[^;]+;`, "m");
    text = text.replace(line, (_, head: string) => `${head}${literal(kernel, name, type, value)};`);
  }
  const half = String(consts[HALF] ?? "").split(",");
  const stored = storeAsHalf(
    kernel,
    text,
    bindingsOf(kernel).filter(({ name }) => half.includes(name)),
  );
  return unroll(enableF16(stored));
}

/** With `enable f16;` just where the code needs it: adapters without f16 refuse the directive. */
function enableF16(text: string): string {
  const without = text.replace(/^enable f16;/m, "");
  return /\bf16\b/.test(without.replace(/\/\/.*/g, "")) ? `enable f16; ${without}` : without;
}

/** The name under which the consts of a call carry its immediates where the adapter takes none. */
export const IMMEDIATES = "immediates";

/** The name under which they carry the names of the buffers that hold f16, joined by commas. */
export const HALF = "half";

export function pipelineKey(kernel: string, consts: Consts): string {
  let key = kernel;
  for (const name in consts) key += `|${name}=${consts[name]}`;
  return key;
}

interface Layout {
  readonly group: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
}

/** Compiles each (kernel, consts) once. */
export class PipelineCache {
  private readonly device: GPUDevice;
  private readonly immediates: boolean;
  private readonly layouts = new Map<KernelName, Layout>();
  private readonly ready = new Map<string, GPUComputePipeline>();
  private readonly pending = new Map<string, Promise<void>>();
  compiledCount = 0;

  constructor(device: GPUDevice, { immediates }: Pick<AdapterInfo, "immediates">) {
    this.device = device;
    this.immediates = immediates;
  }

  get(key: string): GPUComputePipeline | undefined {
    return this.ready.get(key);
  }

  layout(kernel: KernelName): Layout {
    let layout = this.layouts.get(kernel);
    if (!layout) {
      const entries = bindingsOf(kernel).map((b, binding) => ({
        binding,
        visibility: 4, // GPUShaderStage.COMPUTE
        buffer: { type: b.access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
      }));
      const group = this.device.createBindGroupLayout({ label: kernel, entries });
      const immediateSize = this.immediates ? 4 * immediatesOf(kernel).length : 0;
      layout = {
        group,
        pipeline: this.device.createPipelineLayout({ label: kernel, bindGroupLayouts: [group], immediateSize }),
      };
      this.layouts.set(kernel, layout);
    }
    return layout;
  }

  /** Starts compiling unless done or under way; resolves when the pipeline can be had from `get`. */
  compile(kernel: KernelName, consts: Consts, key: string): Promise<void> {
    if (this.ready.has(key)) return Promise.resolve();
    let promise = this.pending.get(key);
    if (!promise) {
      promise = this.build(kernel, consts, key).finally(() => this.pending.delete(key));
      this.pending.set(key, promise);
    }
    return promise;
  }

  private async build(kernel: KernelName, consts: Consts, key: string): Promise<void> {
    const code = specialise(kernel, consts);
    debugLog(4, `// ${key}\n${code}`);
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ label: kernel, code });
    const scope = this.device.popErrorScope();
    const pipeline = this.device.createComputePipelineAsync({
      label: kernel,
      layout: this.layout(kernel).pipeline,
      compute: { module, entryPoint: "main" },
    });
    const [invalid, result] = await Promise.all([scope, pipeline.catch((error: unknown) => error as Error)]);
    if (invalid || result instanceof Error) {
      const info = await module.getCompilationInfo();
      const lines = info.messages.map((m) => `wgsl/${kernel}.wgsl:${m.lineNum}:${m.linePos} ${m.type}: ${m.message}`);
      const reason = lines.join("\n") || (result as Error).message || invalid?.message;
      throw new KernelError(`${kernel}.wgsl does not compile (${key})\n${reason}`);
    }
    this.compiledCount++;
    this.ready.set(key, result);
  }
}
