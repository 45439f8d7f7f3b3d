import { expect, test } from "vitest";
import { composeLabels } from "../../src/kits/compose.ts";

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
