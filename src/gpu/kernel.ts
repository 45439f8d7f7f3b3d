// From a kernel's WGSL text to a compiled pipeline: specialise by rewriting `const`
// lines, lay out by the bindings written there.

import type { AdapterInfo } from "./adapter.ts";
import { KernelError } from "../errors.ts";
import { debugLog } from "../debug.ts";
import { storeAsHalf } from "./half.ts";
import { unroll } from "./unroll.ts";

export type Consts = Readonly<Record<string, number | boolean | string>>;

export interface Binding {
  readonly name: string;
  readonly access: "read" | "read_write";
  readonly element: string;
}

/** A kernel's text and the names in it: a file of wgsl/, as scripts/gen.mjs reads it, or a user's (defineKernel). */
export interface Kernel {
  readonly name: string;
  /** The text; that of a file without its comments, on the same lines. */
  readonly code: string;
  /** Names and types of the consts whose values may be replaced. */
  readonly consts: Readonly<Record<string, string>>;
  readonly bindings: readonly Binding[];
  /** Names of the numbers that a call of this kernel brings with it, in order. */
  readonly immediates: readonly string[];
}

export type ConstName<K extends Kernel> = keyof K["consts"] & string;
export type BufferName<K extends Kernel> = K["bindings"][number]["name"];
export type ImmediateName<K extends Kernel> = K["immediates"][number];

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
export function specialise({ name: kernel, code, consts: known, bindings }: Kernel, consts: Consts): string {
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
    bindings.filter(({ name }) => half.includes(name)),
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
  private readonly layouts = new Map<string, Layout>();
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

  layout({ name, bindings, immediates }: Kernel): Layout {
    let layout = this.layouts.get(name);
    if (!layout) {
      const entries = bindings.map((b, binding) => ({
        binding,
        visibility: 4, // GPUShaderStage.COMPUTE
        buffer: { type: b.access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
      }));
      const group = this.device.createBindGroupLayout({ label: name, entries });
      const immediateSize = this.immediates ? 4 * immediates.length : 0;
      layout = {
        group,
        pipeline: this.device.createPipelineLayout({ label: name, bindGroupLayouts: [group], immediateSize }),
      };
      this.layouts.set(name, layout);
    }
    return layout;
  }

  /** Starts compiling unless done or under way; resolves when the pipeline can be had from `get`. */
  compile(kernel: Kernel, consts: Consts, key: string): Promise<void> {
    if (this.ready.has(key)) return Promise.resolve();
    let promise = this.pending.get(key);
    if (!promise) {
      promise = this.build(kernel, consts, key).finally(() => this.pending.delete(key));
      this.pending.set(key, promise);
    }
    return promise;
  }

  private async build(kernel: Kernel, consts: Consts, key: string): Promise<void> {
    const { name } = kernel;
    const code = specialise(kernel, consts);
    debugLog(4, `// ${key}\n${code}`);
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ label: name, code });
    const scope = this.device.popErrorScope();
    const pipeline = this.device.createComputePipelineAsync({
      label: name,
      layout: this.layout(kernel).pipeline,
      compute: { module, entryPoint: "main" },
    });
    const [invalid, result] = await Promise.all([scope, pipeline.catch((error: unknown) => error as Error)]);
    if (invalid || result instanceof Error) {
      const info = await module.getCompilationInfo();
      const lines = info.messages.map((m) => `wgsl/${name}.wgsl:${m.lineNum}:${m.linePos} ${m.type}: ${m.message}`);
      const reason = lines.join("\n") || (result as Error).message || invalid?.message;
      throw new KernelError(`${name}.wgsl does not compile (${key})\n${reason}`);
    }
    this.compiledCount++;
    this.ready.set(key, result);
  }
}
