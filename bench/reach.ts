// From times to ratios, and whether they reach what the project is to reach. Pure functions.

import type { PeerName } from "./peer.ts";

/** How many times longer a peer takes than wgrad: the median of the rounds, and their range. */
export interface Ratio {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Per round; null where there is no valid time. */
export type Times = readonly (number | null)[];

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of the times that are there; null for none. */
export function medianTime(times: Times): number | null {
  const present = times.filter((t) => t !== null);
  return present.length > 0 ? median(present) : null;
}

/** Divides round by round, so that a drift of the machine hits both sides alike. Null without a common round. */
export function ratioOf(peer: Times, ours: Times): Ratio | null {
  const ratios = peer.flatMap((t, round) => {
    const own = ours[round] ?? null;
    return t !== null && own !== null ? [t / own] : [];
  });
  if (ratios.length === 0) return null;
  return { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}

/** A peer's ratio by case. */
export type Ratios = Readonly<Record<string, Readonly<Partial<Record<PeerName, Ratio | null>>>>>;

export const TRAINING_STEP = "training step";

interface Goal {
  readonly what: string;
  readonly cases: RegExp;
  readonly factors: Readonly<Partial<Record<PeerName, number>>>;
}

const GOALS: readonly Goal[] = [
  { what: "convolution forward", cases: /^conv .* forward$/, factors: { tfjs: 5, jax: 5 } },
  { what: "convolution input gradient", cases: /^conv .* dx$/, factors: { tfjs: 5, jax: 5 } },
  { what: "convolution weight gradient", cases: /^conv .* dw$/, factors: { tfjs: 20, jax: 5 } },
  { what: "batch norm forward, backward", cases: /^batch norm /, factors: { tfjs: 10, jax: 2 } },
  { what: TRAINING_STEP, cases: /^training step$/, factors: { tfjs: 8, jax: 4, "tfjs-wasm": 2.5 } },
];

/** Whether one goal is reached against one peer: in every case compared, by the medians. */
export interface Reach {
  readonly what: string;
  readonly peer: PeerName;
  readonly factor: number;
  readonly lowest: number;
  /** The case of the lowest ratio. */
  readonly at: string;
  readonly geometricMean: number;
  readonly cases: number;
  readonly met: boolean;
}

/** One entry for each goal and peer that was compared. */
export function reachOf(ratios: Ratios): Reach[] {
  return GOALS.flatMap(({ what, cases, factors }) =>
    (Object.entries(factors) as [PeerName, number][]).flatMap(([peer, factor]) => {
      const compared = Object.entries(ratios).flatMap(([name, row]) => {
        const ratio = cases.test(name) ? row[peer] : null;
        return ratio ? [{ name, value: ratio.median }] : [];
      });
      return compared.length > 0 ? [reach(what, peer, factor, compared)] : [];
    }),
  );
}

function reach(what: string, peer: PeerName, factor: number, compared: { name: string; value: number }[]): Reach {
  const lowest = compared.reduce((a, b) => (b.value < a.value ? b : a));
  const logs = compared.reduce((sum, { value }) => sum + Math.log(value), 0);
  return {
    ...{ what, peer, factor, lowest: lowest.value, at: lowest.name },
    ...{ geometricMean: Math.exp(logs / compared.length), cases: compared.length, met: lowest.value >= factor },
  };
}

/** Largest difference of `values` from `expected`, relative to the latter; Infinity for other lengths or NaN. */
export function relativeDifference(values: readonly number[], expected: readonly number[]): number {
  if (values.length !== expected.length) return Infinity;
  const differences = values.map((v, i) => Math.abs(v - expected[i]) / Math.abs(expected[i]));
  return differences.some(Number.isNaN) ? Infinity : Math.max(0, ...differences);
}
