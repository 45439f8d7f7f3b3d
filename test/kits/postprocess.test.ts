import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../src/errors.ts";
import { connectedComponents, keepLargest } from "../../src/kits/postprocess.ts";
import type { Connectivity } from "../../src/kits/postprocess.ts";
import { Rng } from "../../src/random.ts";

/** The definition, voxel by voxel: flood fill over all neighbours that share a face, an edge or a corner. */
function floodFill(data: Uint8Array, [d, h, w]: number[], connectivity: Connectivity): number[] {
  const reach = connectivity === 6 ? 1 : connectivity === 18 ? 2 : 3;
  const seen = new Uint8Array(data.length);
  const sizes: number[] = [];
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || seen[start]) continue;
    const stack = [start];
    seen[start] = 1;
    let size = 0;
    while (stack.length > 0) {
      const i = stack.pop()!;
      size++;
      const [z, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
      for (let n = 0; n < 27; n++) {
        const [dz, dy, dx] = [Math.floor(n / 9) - 1, (Math.floor(n / 3) % 3) - 1, (n % 3) - 1];
        const far = Math.abs(dz) + Math.abs(dy) + Math.abs(dx) > reach;
        const [zz, yy, xx] = [z + dz, y + dy, x + dx];
        if (far || zz < 0 || yy < 0 || xx < 0 || zz >= d || yy >= h || xx >= w) continue;
        const j = (zz * h + yy) * w + xx;
        if (data[j] && !seen[j]) {
          seen[j] = 1;
          stack.push(j);
        }
      }
    }
    sizes.push(size);
  }
  return sizes.sort((a, b) => b - a);
}

describe("connectedComponents", () => {
  it("joins through faces, edges or corners as asked", () => {
    const at = (...indices: number[]) => Uint8Array.from({ length: 8 }, (_, i) => (indices.includes(i) ? 1 : 0));
    const count = (data: Uint8Array, connectivity: Connectivity) =>
      connectedComponents(data, [2, 2, 2], { connectivity }).components.length;
    expect([6, 18, 26].map((c) => count(at(0, 1), c as Connectivity))).toEqual([1, 1, 1]); // face
    expect([6, 18, 26].map((c) => count(at(0, 3), c as Connectivity))).toEqual([2, 1, 1]); // edge in the slice
    expect([6, 18, 26].map((c) => count(at(1, 4), c as Connectivity))).toEqual([2, 1, 1]); // edge across slices
    expect([6, 18, 26].map((c) => count(at(2, 4), c as Connectivity))).toEqual([2, 1, 1]); // the other way
    expect([6, 18, 26].map((c) => count(at(0, 7), c as Connectivity))).toEqual([2, 2, 1]); // corner
    expect([6, 18, 26].map((c) => count(at(3, 4), c as Connectivity))).toEqual([2, 2, 1]);
  });

  it("does not join across the ends of rows and slices", () => {
    const data = Uint8Array.from([0, 0, 1, 1, 0, 0]); // end of row 0, start of row 1
    expect(connectedComponents(data, [1, 2, 3]).components).toHaveLength(2);
    expect(connectedComponents(data, [2, 1, 3]).components).toHaveLength(2);
    const lastAndFirstRow = Uint8Array.from([0, 0, 0, /**/ 1, 0, 1]); // two slices of three rows of one
    expect(connectedComponents(lastAndFirstRow, [2, 3, 1]).components).toHaveLength(2);
    const lastRowThenNextSlice = Uint8Array.from([0, 0, 1, /**/ 1, 0, 0]);
    expect(connectedComponents(lastRowThenNextSlice, [2, 3, 1]).components).toHaveLength(2);
  });

  it.each([6, 18, 26] as Connectivity[])("equals flood fill on random volumes, connectivity %d", (connectivity) => {
    const rng = new Rng(7, "components");
    for (const shape of [
      [1, 1, 9],
      [1, 7, 9],
      [5, 6, 7],
      [4, 9, 3],
      [6, 1, 8],
    ]) {
      for (const density of [0.1, 0.3, 0.5, 0.8]) {
        const data = Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, () =>
          rng.uniform() < density ? 1 : 0,
        );
        const found = connectedComponents(data, shape, { connectivity });
        expect(found.components.map(({ voxels }) => voxels)).toEqual(floodFill(data, shape, connectivity));
      }
    }
  });

  it("joins arms that meet late (a U), and gives the box", () => {
    const data = Uint8Array.from([1, 0, 1, 1, 0, 1, 1, 1, 1]);
    const { components } = connectedComponents(data, [1, 3, 3], { connectivity: 6 });
    expect(components).toEqual([
      {
        voxels: 7,
        box: [
          [0, 1],
          [0, 3],
          [0, 3],
        ],
      },
    ]);
  });

  it("an empty volume has none", () =>
    expect(connectedComponents(new Uint8Array(8), [2, 2, 2]).components).toEqual([]));

  it("refuses wrong shapes and connectivities", () => {
    expect(() => connectedComponents([1, 1], [1, 1, 3])).toThrow(ShapeError);
    expect(() => connectedComponents([1, 1], [1, 1, 3])).toThrow(
      "data must fill shape [D, H, W], found 2 voxels for [1,1,3]",
    );
    expect(() => connectedComponents([1], [1, 1, 1], { connectivity: 8 as Connectivity })).toThrow(OptionError);
    expect(() => connectedComponents([1], [1, 1, 1], { connectivity: 8 as Connectivity })).toThrow(
      "must be 6, 18 or 26, found 8",
    );
  });
});

describe("keepLargest", () => {
  const row = Uint8Array.from([1, 1, 2, 0, 1, 0, 1, 1, 0, 3]); // components of 3, 1, 2 and 1 voxels
  const shape = [1, 1, 10];

  it("keeps both kidneys by default, tumour included, and leaves the input alone", () => {
    const before = row.slice();
    const { data, kept, removed } = keepLargest(row, shape);
    expect([...data]).toEqual([1, 1, 2, 0, 0, 0, 1, 1, 0, 0]);
    expect([kept, removed]).toEqual([
      [3, 2],
      [1, 1],
    ]);
    expect(row).toEqual(before);
  });

  it("keeps one, or none", () => {
    expect([...keepLargest(row, shape, { keep: 1 }).data]).toEqual([1, 1, 2, 0, 0, 0, 0, 0, 0, 0]);
    expect(keepLargest(row, shape, { keep: 0 }).kept).toEqual([]);
  });

  it("breaks ties by position", () => {
    expect([...keepLargest([1, 0, 1, 0, 1], [1, 1, 5]).data]).toEqual([1, 0, 1, 0, 0]);
  });

  it("looks only at the labels asked for and can put another label in their place", () => {
    const data = Uint8Array.from([1, 2, 1, 2, 2, 1]);
    const result = keepLargest(data, [1, 1, 6], { labels: [2], keep: 1, replaceWith: 1 });
    expect([...result.data]).toEqual([1, 1, 1, 2, 2, 1]);
  });

  it("drops components below a minimum in voxels or millilitres", () => {
    expect(keepLargest(row, shape, { keep: 9, minVoxels: 2 }).kept).toEqual([3, 2]);
    // 0.25 ml is 250 mm3; a voxel of 5 x 5 x 5 mm has 125, so two voxels are just enough.
    expect(keepLargest(row, shape, { keep: 9, minMl: 0.25, spacing: [5, 5, 5] }).kept).toEqual([3, 2]);
    expect(keepLargest(row, shape, { keep: 9, minMl: 0.26, spacing: [5, 5, 5] }).kept).toEqual([3]);
  });

  it("ranks by what another volume supports, then by size, and lists what stays by size", () => {
    const labels = [1, 1, 1, 0, 2, 2, 0, 1, 0, 1];
    const support = [0, 0, 0, 0, 0, 9, 0, 1, 0, 0];
    const two = keepLargest(labels, [1, 1, 10], { support });
    expect([...two.data]).toEqual([0, 0, 0, 0, 2, 2, 0, 1, 0, 0]);
    expect([two.kept, two.removed]).toEqual([
      [2, 1],
      [3, 1],
    ]);
    expect(keepLargest(labels, [1, 1, 10], { support, keep: 3 }).kept).toEqual([3, 2, 1]);
    expect(() => keepLargest(labels, [1, 1, 10], { support: [1] })).toThrow(
      "keepLargest: support must have 10 voxels like the data, found 1",
    );
  });

  it("refuses options that cannot be meant", () => {
    expect(() => keepLargest(row, shape, { keep: -1 })).toThrow(
      "keepLargest: keep must be a whole number from 0, found -1",
    );
    expect(() => keepLargest(row, shape, { minMl: 1 })).toThrow("keepLargest: minMl needs spacing, found none");
    expect(() => keepLargest(row, shape, { minMl: 1, spacing: [0, 1, 1] })).toThrow(
      "spacing must be positive, found [0,1,1]",
    );
  });
});
