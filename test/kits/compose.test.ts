import { expect, test } from "vitest";
import { composeLabels, wholeLesions } from "../../src/kits/compose.ts";

test("tumor needs masses, masses need no kidney, cyst is what the tumor leaves", () => {
  // every combination of the three masks, kidney as the first bit
  const bit = (k: number) => Uint8Array.from({ length: 8 }, (_, i) => (i >> k) & 1);
  const labels = composeLabels({ kidney: bit(0), masses: bit(1), tumor: bit(2) });
  expect([...labels]).toEqual([0, 1, 3, 3, 0, 1, 2, 2]);
});

test("masks of different sizes are refused", () => {
  const [a, b] = [new Uint8Array(4), new Uint8Array(5)];
  expect(() => composeLabels({ kidney: a, masses: b, tumor: a })).toThrow(
    "composeLabels: kidney, masses, tumor and out must have one size, found 4, 5, 4 and 4",
  );
});

test("a mass with any tumor in it becomes tumor as a whole, others and the kidney stay", () => {
  const labels = Uint8Array.from([1, 3, 3, 2, 1, 0, 3, 1, 3, 0, 0, 2]);
  wholeLesions(labels, [1, 2, 6]);
  expect([...labels]).toEqual([1, 2, 2, 2, 1, 0, 2, 1, 2, 0, 0, 2]);
  const apart = Uint8Array.from([3, 3, 1, 2, 3, 0]);
  wholeLesions(apart, [1, 1, 6]);
  expect([...apart]).toEqual([3, 3, 1, 2, 2, 0]);
});
