// Which temporaries share a buffer. WebGPU forbids one buffer to be read and written by the same dispatch, so storages
// share whole buffers, one after another, instead of lying side by side in one.

/** Bytes as text, in MiB. */
export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** Memory that is needed from one call of a program to another, both included; -1 is before the first. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface Assignment {
  /** The buffer of each lifetime, by number. */
  readonly bufferOf: readonly number[];
  /** Bytes of each buffer. */
  readonly capacities: readonly number[];
}

/**
 * Buffers for lifetimes, so that those which overlap never share one. The largest are placed first, each into the
 * smallest buffer that is free for its time, or into a new one. Source: Pisarchyk and Lee 2020, "Efficient Memory
 * Management for Deep Neural Net Inference", arXiv:2001.03288, greedy by size for shared objects.
 */
export function assignBuffers(lifetimes: readonly Lifetime[]): Assignment {
  const order = lifetimes.map((_, i) => i).sort((a, b) => lifetimes[b].bytes - lifetimes[a].bytes || a - b);
  const buffers: { capacity: number; members: Lifetime[] }[] = [];
  const bufferOf = new Array<number>(lifetimes.length);
  for (const i of order) {
    const life = lifetimes[i];
    // Capacities fall with the number, so the last that is free fits best.
    let at = buffers.findLastIndex(({ members }) => members.every((other) => !overlap(life, other)));
    if (at < 0) at = buffers.push({ capacity: life.bytes, members: [] }) - 1;
    buffers[at].members.push(life);
    bufferOf[i] = at;
  }
  return { bufferOf, capacities: buffers.map(({ capacity }) => capacity) };
}

function overlap(a: Lifetime, b: Lifetime): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** The most bytes alive at any one time: no assignment can need less. */
export function livenessBound(lifetimes: readonly Lifetime[]): number {
  const changes = lifetimes.flatMap(({ bytes, first, last }) => [
    { at: first, bytes },
    { at: last + 1, bytes: -bytes },
  ]);
  changes.sort((a, b) => a.at - b.at || a.bytes - b.bytes);
  let [alive, most] = [0, 0];
  for (const { bytes } of changes) most = Math.max(most, (alive += bytes));
  return most;
}
