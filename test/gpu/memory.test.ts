// Which temporaries share a buffer: no two that live at once, and little more memory than is alive.
import { describe, expect, test } from "vitest";
import { assignBuffers, livenessBound, type Lifetime } from "../../src/gpu/memory.ts";
import { Rng } from "../../src/random.ts";

const life = (bytes: number, first: number, last: number): Lifetime => ({ bytes, first, last });

/** A chain of calls, each reading the value before it, and now and then a long-lived one, as in a U-Net. */
function network(rng: Rng, calls: number): Lifetime[] {
  return Array.from({ length: calls }, (_, i) => {
    const skip = rng.uniform() < 0.2;
    const last = skip ? 2 * calls - i : i + 1 + rng.integer(3);
    return life(256 * (1 + rng.integer(40)), i, last);
  });
}

describe("livenessBound", () => {
  test("adds what is alive at once, ends included", () => {
    expect(livenessBound([])).toBe(0);
    expect(livenessBound([life(256, 0, 1), life(512, 1, 2), life(256, 2, 3)])).toBe(768);
    expect(livenessBound([life(256, -1, 5), life(512, 0, 0), life(512, 1, 1)])).toBe(768);
  });
});

describe("assignBuffers", () => {
  test("one after another share, together do not", () => {
    const { bufferOf, capacities } = assignBuffers([life(256, 0, 1), life(1024, 2, 3), life(512, 1, 2)]);
    expect(bufferOf[0]).toBe(bufferOf[1]);
    expect(bufferOf[2]).not.toBe(bufferOf[1]);
    expect(capacities.reduce((a, b) => a + b)).toBe(1536);
  });

  test("a small one takes the smallest buffer that is free", () => {
    const { bufferOf, capacities } = assignBuffers([life(1024, 0, 1), life(512, 0, 1), life(256, 2, 3)]);
    expect(capacities[bufferOf[2]]).toBe(512);
  });

  test("random programs: large enough, never two at once, at most 1.3 times the bound", () => {
    for (let seed = 0; seed < 20; seed++) {
      const lives = network(new Rng(seed, "lives"), 150);
      const { bufferOf, capacities } = assignBuffers(lives);
      lives.forEach((a, i) => {
        expect(capacities[bufferOf[i]]).toBeGreaterThanOrEqual(a.bytes);
        for (let j = 0; j < i; j++) {
          if (bufferOf[i] === bufferOf[j]) expect(a.first > lives[j].last || lives[j].first > a.last).toBe(true);
        }
      });
      const total = capacities.reduce((a, b) => a + b);
      expect(total).toBeGreaterThanOrEqual(livenessBound(lives));
      expect(total).toBeLessThan(1.3 * livenessBound(lives));
    }
  });
});
