// The folds that nnU-Net draws by itself: scikit-learn's KFold, shuffled by NumPy's Mersenne Twister, so that scores of
// both can be compared case by case.

import { OptionError } from "../../errors.ts";
import type { Fold } from "../folds.ts";

/** nnU-Net's own. */
export const NNUNET_SEED = 12345;

/**
 * Splits cases into `count` folds as nnU-Net does where it finds no splits_final.json: each case validates in one fold.
 * Throws OptionError for fewer cases than folds, fewer than two folds, or a seed that is no 32-bit number.
 */
export function nnunetFolds(ids: readonly string[], count = 5, seed = NNUNET_SEED): Fold[] {
  if (!(count >= 2 && count <= ids.length))
    throw new OptionError(`folds must be from 2 to the number of cases, ${ids.length}, found ${count}`);
  if (!(Number.isInteger(seed) && seed >= 0 && seed <= 0xffffffff))
    throw new OptionError(`the seed of folds must be a whole number from 0 to 4294967295, found ${seed}`);
  const sorted = [...ids].sort();
  const shuffled = shuffle(sorted.length, seed);
  let at = 0;
  return Array.from({ length: count }, (_, k) => {
    const size = Math.floor(ids.length / count) + (k < ids.length % count ? 1 : 0);
    const val = new Set(shuffled.slice(at, at + size));
    at += size;
    return { train: sorted.filter((_, i) => !val.has(i)), val: sorted.filter((_, i) => val.has(i)) };
  });
}

/** numpy.random.RandomState(seed).shuffle(numpy.arange(count)). */
function shuffle(count: number, seed: number): number[] {
  const next = mersenneTwister(seed);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const mask = 2 ** (32 - Math.clz32(i)) - 1;
    let j = (next() & mask) >>> 0;
    while (j > i) j = (next() & mask) >>> 0;
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** MT19937 (Matsumoto and Nishimura 1998): 32 random bits at each call. */
function mersenneTwister(seed: number): () => number {
  const [n, m] = [624, 397];
  const state = new Uint32Array(n);
  state[0] = seed;
  for (let i = 1; i < n; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = n;
  const refill = () => {
    for (let i = 0; i < n; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % n] & 0x7fffffff);
      state[i] = state[(i + m) % n] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === n) refill();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}
