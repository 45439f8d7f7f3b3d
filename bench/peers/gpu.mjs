// Dawn as the browser's navigator.gpu, for libraries made for browsers, on the adapter and with the wait that wgrad has.
// Dawn is the project's own (resolved upwards), so that all run on the same one. Await open() before loading a library.

import { create, globals } from "webgpu";

const SLEEP_MS = 0.2; // as in src/gpu/wait.ts

/** Messages of uncaptured errors, oldest first. */
export const faults = [];

/** Sets the globals up. WGRAD_ADAPTER chooses the adapter as for wgrad. Returns the adapter's name. */
export async function open() {
  Object.assign(globalThis, globals);
  const name = process.env.WGRAD_ADAPTER?.replace(/^lavapipe$/i, "llvmpipe").replace(/^swiftshader$/i, "");
  const gpu = create(name ? [`adapter=${name}`] : []);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("no WebGPU adapter found");
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const text = `${vendor} ${architecture} ${device} ${description}`;
  if (isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|basic render/i.test(text)) waitPolitely();
  const navigator = { gpu, userAgent: "node", platform: process.platform, hardwareConcurrency: 4 };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  return device || description || architecture;
}

/** Counts what goes wrong on `device`. */
export function watch(device) {
  device.addEventListener("uncapturederror", (event) => faults.push(event.error.message));
}

/**
 * Lets the event loop sleep while it waits for the GPU: Dawn's binding spins it, which on a CPU adapter takes a core
 * from the shaders. wgrad waits like this; without it the peers would be slower by up to a third.
 */
function waitPolitely() {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let pending = 0;
  let turning = false;
  const turn = () => {
    turning = pending > 0;
    if (!turning) return;
    Atomics.wait(cell, 0, 0, SLEEP_MS);
    setImmediate(turn);
  };
  const wrap = (prototype, method) => {
    const original = prototype[method];
    const value = function (...given) {
      const promise = original.apply(this, given);
      const done = () => void pending--;
      pending++;
      promise.then(done, done);
      if (!turning) setImmediate(turn);
      turning = true;
      return promise;
    };
    Object.defineProperty(prototype, method, { value, configurable: true, writable: true });
  };
  wrap(GPUQueue.prototype, "onSubmittedWorkDone");
  wrap(GPUBuffer.prototype, "mapAsync");
}
