// A storage is the memory behind one or more tensors. It has no GPU buffer until the program that first writes it runs.

import type { BufferPool } from "./pool.ts";

/** A GPU buffer of a pool. */
export interface Buffer {
  readonly gpu: GPUBuffer;
  readonly id: number;
  /** Bytes allocated; at least the bytes of any storage that uses it. */
  readonly capacity: number;
  /** Takes it back: release(). */
  readonly pool: BufferPool;
  /** True where it is handed out again after its release; else it is destroyed then. */
  readonly recycled: boolean;
  /** Bind groups of which it is the newest buffer: they end with it. */
  readonly groups: Map<string, GPUBindGroup>;
}

/** Memory of `bytes` bytes, with or without a buffer behind it. */
export class Storage {
  readonly bytes: number;
  buffer: Buffer | null = null;
  /** It outlives its step, but ends with a later one and not as garbage: its buffer may be a recycled one. */
  recycled = false;
  /** What tells the garbage collector of its size, where it outlives its step. */
  burden: ArrayBuffer | null = null;
  /** The storage ended with its step; reading it is an error. */
  released = false;
  /** It holds f16; kernels compute with f32 all the same (half.ts). */
  readonly half: boolean;

  constructor(bytes: number, half = false) {
    this.bytes = bytes;
    this.half = half;
  }
}
