// Counter-based random numbers: a draw is a pure function of (seed, stream, counter), so that runs repeat and resume
// bit by bit and no state is shared between users. wgsl/random.wgsl and wgsl/dropout.wgsl hold the same function.

/**
 * The pcg4d hash of four 32-bit words. Source: Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", JCGT 9(3).
 */
export function pcg4d(x: number, y: number, z: number, w: number): [number, number, number, number] {
  x = (Math.imul(x, 1664525) + 1013904223) | 0;
  y = (Math.imul(y, 1664525) + 1013904223) | 0;
  z = (Math.imul(z, 1664525) + 1013904223) | 0;
  w = (Math.imul(w, 1664525) + 1013904223) | 0;
  x = (x + Math.imul(y, w)) | 0;
  y = (y + Math.imul(z, x)) | 0;
  z = (z + Math.imul(x, y)) | 0;
  w = (w + Math.imul(y, z)) | 0;
  x ^= x >>> 16;
  y ^= y >>> 16;
  z ^= z >>> 16;
  w ^= w >>> 16;
  x = (x + Math.imul(y, w)) | 0;
  y = (y + Math.imul(z, x)) | 0;
  z = (z + Math.imul(x, y)) | 0;
  w = (w + Math.imul(y, z)) | 0;
  return [x >>> 0, y >>> 0, z >>> 0, w >>> 0];
}

/** A 32-bit hash of a string (FNV-1a), to name a random stream. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * A repeatable sequence of random numbers on the host. `seed` and `stream` choose the sequence; `counter` is the
 * position in it and is all the state there is: save it, set it again, and the sequence goes on where it was.
 */
export class Rng {
  readonly seed: number;
  readonly stream: number;
  counter: number;

  constructor(seed: number, stream: number | string = 0, counter = 0) {
    this.seed = seed >>> 0;
    this.stream = typeof stream === "string" ? hashString(stream) : stream >>> 0;
    this.counter = counter;
  }

  /** An independent sequence named by `stream`, starting at 0. */
  fork(stream: number | string): Rng {
    const word = typeof stream === "string" ? hashString(stream) : stream >>> 0;
    return new Rng(this.seed, pcg4d(this.seed, this.stream, word, 0x9e3779b9)[0]);
  }

  /** A uniform 32-bit unsigned integer. */
  uint32(): number {
    const c = this.counter++;
    return pcg4d(this.seed, this.stream, c >>> 0, Math.floor(c / 0x100000000))[0];
  }

  /** Uniform in [0, 1), 24 bits. */
  uniform(): number {
    return (this.uint32() >>> 8) / 0x1000000;
  }

  /** Uniform in [low, high). */
  range(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** A uniform integer in [0, n), n at most 2^24. */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** A standard normal number (Box-Muller, two draws). */
  normal(): number {
    const u = ((this.uint32() >>> 8) + 1) / 0x1000000; // in (0, 1]
    const v = this.uniform();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  /** A shuffled copy of `items` (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = items.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}
