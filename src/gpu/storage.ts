// A storage is the memory behind one or more tensors. It has no GPU buffer until the program that first writes it runs.

/** A GPU buffer of the pool. */
export interface Buffer {
  readonly gpu: GPUBuffer;
  readonly id: number;
  /** Bytes allocated; at least the bytes of any storage that uses it. */
  readonly capacity: number;
}

/** Memory of `bytes` bytes, with or without a buffer behind it. */
export class Storage {
  readonly bytes: number;
  buffer: Buffer | null = null;
  /** The storage ended with its step; reading it is an error. */
  released = false;

  constructor(bytes: number) {
    this.bytes = bytes;
  }
}
