// Recycles the GPU buffers of temporaries. WebGPU keeps submits in order, so a buffer may be handed out again as soon as
// its last use is submitted. What outlives a step has buffers of its own: when those end is up to the garbage collector,
// and which buffers a step finds free must not be.

import type { Buffer } from "./storage.ts";
import { OutOfMemoryError } from "../errors.ts";
import { mib } from "./memory.ts";

const USAGE = 0x80 | 0x8 | 0x4; // STORAGE | COPY_DST | COPY_SRC

/** Bytes of the smallest buffer that is waited for: steps return losses, and asking about each would stop them. */
const CHECKED = 2 ** 16;

/** Sizes are rounded up to eighths of a power of two, at least 256 bytes: at most 12 % is wasted and sizes repeat. */
export function roundSize(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = Math.max(256, 2 ** Math.floor(Math.log2(bytes)) / 8);
  return Math.ceil(bytes / step) * step;
}

/** The buffers of one device, free and in use. */
export class BufferPool {
  private readonly device: GPUDevice;
  private readonly free: Buffer[] = []; // sorted by capacity, then id: the same requests get the same buffers
  private nextId = 1;
  /** Whether buffers made lately are there: the GPU tells a little later. */
  private unchecked: Promise<void>[] = [];
  /** Buffers without memory. */
  private readonly refused = new Set<Buffer>();
  /** The first of them that nobody has been told of. */
  private shortage: OutOfMemoryError | null = null;
  /** Bytes of all buffers made and not destroyed, and the most that has been. */
  allocatedBytes = 0;
  peakBytes = 0;
  /** Bytes handed out at present. */
  usedBytes = 0;
  bufferCount = 0;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** A buffer of at least `bytes`; see check(). Throws OutOfMemoryError beyond the adapter's largest buffer. */
  acquire(bytes: number): Buffer {
    const size = roundSize(bytes);
    const at = this.lowerBound(size, 0);
    // A buffer up to twice the size is taken rather than making another one.
    const fits = at < this.free.length && this.free[at].capacity <= 2 * size;
    const buffer = fits ? this.free.splice(at, 1)[0] : this.create(size, true);
    this.usedBytes += buffer.capacity;
    return buffer;
  }

  /** A buffer of just `bytes`, in whole vectors of four, that is never recycled. */
  reserve(bytes: number): Buffer {
    const buffer = this.create(Math.ceil(bytes / 16) * 16, false);
    this.usedBytes += buffer.capacity;
    return buffer;
  }

  /** Takes a buffer back: its contents are lost. */
  release(buffer: Buffer): void {
    this.usedBytes -= buffer.capacity;
    if (buffer.recycled && !this.refused.has(buffer))
      this.free.splice(this.lowerBound(buffer.capacity, buffer.id), 0, buffer);
    else this.dispose(buffer);
  }

  /** Frees all memory that is not handed out. */
  trim(): void {
    for (const buffer of this.free.splice(0)) this.dispose(buffer);
  }

  /** True where buffers were made that check() has not been asked about. */
  get unsure(): boolean {
    return this.unchecked.length > 0;
  }

  /** Resolves when all buffers are known to be there. Throws OutOfMemoryError for the first that is not. */
  async check(): Promise<void> {
    await Promise.all(this.unchecked.splice(0));
    const { shortage } = this;
    this.shortage = null;
    if (shortage) throw shortage;
  }

  private refuse(buffer: Buffer): void {
    this.allocatedBytes -= buffer.capacity;
    this.bufferCount--;
    this.shortage ??= new OutOfMemoryError(
      `out of GPU memory: ${mib(buffer.capacity)} were asked for, beside ${mib(this.allocatedBytes)} that are held`,
    );
    this.refused.add(buffer);
    const at = this.free.indexOf(buffer);
    if (at >= 0) this.dispose(this.free.splice(at, 1)[0]);
  }

  private dispose(buffer: Buffer): void {
    if (this.refused.delete(buffer)) return;
    buffer.gpu.destroy();
    this.allocatedBytes -= buffer.capacity;
    this.bufferCount--;
  }

  private create(size: number, recycled: boolean): Buffer {
    const limit = this.device.limits.maxBufferSize;
    if (size > limit)
      throw new OutOfMemoryError(`a buffer of ${mib(size)} is more than this adapter's largest, ${mib(limit)}`);
    if (size >= CHECKED) this.device.pushErrorScope("out-of-memory");
    const gpu = this.device.createBuffer({ size, usage: USAGE });
    const buffer: Buffer = { gpu, id: this.nextId++, capacity: size, pool: this, recycled, groups: new Map() };
    if (size >= CHECKED)
      this.unchecked.push(this.device.popErrorScope().then((error) => void (error && this.refuse(buffer))));
    this.allocatedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.allocatedBytes);
    this.bufferCount++;
    return buffer;
  }

  /** First place in the free list not before (capacity, id). */
  private lowerBound(capacity: number, id: number): number {
    let low = 0;
    let high = this.free.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      const b = this.free[mid];
      if (b.capacity < capacity || (b.capacity === capacity && b.id < id)) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
