// Copies a storage back to the host through a recycled staging buffer. Reading is always asynchronous.

import { gpu, throwFault } from "./device.ts";
import { roundSize } from "./pool.ts";
import type { Storage } from "./storage.ts";
import { waitFor } from "./wait.ts";

const USAGE = 0x1 | 0x8; // MAP_READ | COPY_DST

const staging = new WeakMap<GPUDevice, GPUBuffer[]>();

/** The bytes of `storage`, which must have run. */
export async function readStorage(storage: Storage): Promise<ArrayBuffer> {
  const g = gpu();
  const size = roundSize(storage.bytes);
  const free = staging.get(g.device) ?? [];
  staging.set(g.device, free);
  const at = free.findIndex((b) => b.size >= size && b.size <= 4 * size);
  const buffer = at >= 0 ? free.splice(at, 1)[0] : g.device.createBuffer({ size, usage: USAGE });
  const encoder = g.device.createCommandEncoder();
  encoder.copyBufferToBuffer(storage.buffer!.gpu, 0, buffer, 0, Math.ceil(storage.bytes / 4) * 4);
  g.device.queue.submit([encoder.finish()]);
  await waitFor(
    buffer.mapAsync(1).catch(async (error: Error) => {
      // A lost device is known a little later than what it did not do.
      await Promise.race([g.device.lost, new Promise((resolve) => setTimeout(resolve, 100))]);
      throwFault();
      throw error;
    }),
    g.info.software,
  );
  const bytes = buffer.getMappedRange(0, Math.ceil(storage.bytes / 8) * 8).slice(0, storage.bytes);
  buffer.unmap();
  if (free.length < 4) free.push(buffer);
  else buffer.destroy();
  await g.lastCheck;
  throwFault();
  return bytes;
}
