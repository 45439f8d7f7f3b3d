// Waiting for the GPU. Dawn's Node binding spins the event loop while a promise of its is pending, and on a CPU adapter
// that spin takes a core away from the shaders: there we sleep a little in each turn of the loop ("polite wait").

const SLEEP_MS = 0.2;

let cell: Int32Array | null = null;
let waiting = 0;
let turning = false; // one chain of turns at a time, however many wait

function turn(): void {
  if (waiting === 0) {
    turning = false;
    return;
  }
  cell ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(cell, 0, 0, SLEEP_MS);
  setImmediate(turn);
}

/** Awaits `promise`; where `polite`, the event loop sleeps 0.2 ms a turn meanwhile. */
export async function waitFor<T>(promise: Promise<T>, polite: boolean): Promise<T> {
  if (!polite || typeof setImmediate === "undefined") return promise;
  waiting++;
  if (!turning) {
    turning = true;
    setImmediate(turn);
  }
  try {
    return await promise;
  } finally {
    waiting--;
  }
}
