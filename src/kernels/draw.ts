// A random generator's place in its sequence, as data for a kernel.

import { once } from "../checkpoint.ts";
import type { Rng } from "../random.ts";
import { hostTensor, type Tensor } from "../tensor.ts";

/**
 * Reserves `count` draws and returns [seed, stream, counter's low word, its high word, threshold, bits of `factor`] as
 * u32: uniform() < p is the same as uint32() >> 8 < threshold. When the program is run again, the next draws are
 * reserved. A block that a checkpoint computes again draws nothing anew.
 */
export function draw(rng: Rng, count: number, p = 0, factor = 1): Tensor {
  return once(() => drawn(rng, count, p, factor));
}

function drawn(rng: Rng, count: number, p: number, factor: number): Tensor {
  const threshold = Math.ceil(p * 2 ** 24);
  const bits = new Uint32Array(Float32Array.of(factor).buffer)[0];
  let reserved: number | null = reserve(rng, count);
  return hostTensor([6], "u32", () => {
    const start = reserved ?? reserve(rng, count);
    reserved = null;
    return Uint32Array.of(rng.seed, rng.stream, start % 2 ** 32, Math.floor(start / 2 ** 32), threshold, bits);
  });
}

function reserve(rng: Rng, count: number): number {
  const start = rng.counter;
  rng.counter += count;
  return start;
}
