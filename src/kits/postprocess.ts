// 3-D connected components, and the rule that keeps the large ones. A patient has two kidneys: keep two, not one.
//
// Voxels are first joined into runs along W (the fastest axis), then touching runs of neighbouring rows are joined with
// union-find. Memory follows the number of runs, not voxels: a 278-million-voxel case needs a few megabytes.

import { DataError, OptionError, ShapeError } from "../errors.ts";
import type { Labels } from "./metrics.ts";

/** Which voxels touch: those that share a face (6), also an edge (18), also a corner (26). */
export type Connectivity = 6 | 18 | 26;

/** One connected component: its number of voxels, and its bounding box as [first, last + 1] per axis (D, H, W). */
export interface Component {
  voxels: number;
  box: [[number, number], [number, number], [number, number]];
}

/** Components, largest first (ties: the one met first in D, H, W order), and the runs that belong to them. */
export interface Components {
  components: Component[];
  /** Per run: first voxel as a flat index, length, and the index of its component. */
  runStart: Float64Array;
  runLength: Int32Array;
  runComponent: Int32Array;
}

/** What belongs together in a volume. */
export interface ComponentOptions {
  /** The labels that count as foreground; every label above 0 if left out. */
  labels?: readonly number[];
  /** Default 26. */
  connectivity?: Connectivity;
}

/** Which components of a volume stay. */
export interface KeepLargestOptions extends ComponentOptions {
  /** How many components stay; default 2, one per kidney. */
  keep?: number;
  /** Another volume of the shape: components rank by their voxels where it is above 0, then by size. */
  support?: Labels;
  /** Components below this many voxels go, even if they are among the largest; default 0. */
  minVoxels?: number;
  /** The same limit in millilitres; needs `spacing` in mm. */
  minMl?: number;
  spacing?: readonly number[];
  /** The label that removed voxels get; default 0, background. */
  replaceWith?: number;
}

/** The volume with the components that stay, and the voxels of all. */
export interface KeepLargestResult {
  data: Uint8Array<ArrayBuffer>;
  /** Voxels per component, largest first. */
  kept: number[];
  removed: number[];
}

// Earlier neighbour rows [dz, dy, reach]: runs [a0, a1) and [b0, b1) touch if a0 < b1 + reach and b0 < a1 + reach.
const neighbourRows: Record<Connectivity, readonly (readonly [number, number, number])[]> = {
  6: [
    [0, -1, 0],
    [-1, 0, 0],
  ],
  18: [
    [0, -1, 1],
    [-1, 0, 1],
    [-1, -1, 0],
    [-1, 1, 0],
  ],
  26: [
    [0, -1, 1],
    [-1, 0, 1],
    [-1, -1, 1],
    [-1, 1, 1],
  ],
};

interface Runs {
  x0: number[];
  x1: number[];
  row: number[]; // z * H + y
  first: Int32Array; // [D * H + 1] index of the first run of each row
}

/**
 * Finds the connected components of a label volume. `data`: [D, H, W] with `shape` = [D, H, W]; a 2-D mask is D = 1.
 * Throws ShapeError if `data` and `shape` differ, OptionError on an unknown connectivity.
 */
export function connectedComponents(
  data: Labels,
  shape: readonly number[],
  { labels, connectivity = 26 }: ComponentOptions = {},
): Components {
  const [d, h, w] = shape;
  if (shape.length !== 3 || d * h * w !== data.length) {
    throw new ShapeError(
      `connectedComponents: data must fill shape [D, H, W], found ${data.length} voxels for [${shape}]`,
    );
  }
  const neighbours = neighbourRows[connectivity];
  if (!neighbours) {
    throw new OptionError(`connectedComponents: connectivity must be 6, 18 or 26, found ${connectivity as number}`);
  }
  const runs = findRuns(data, d * h, w, labels);
  const parent = joinRuns(runs, d, h, neighbours);
  return collect(runs, parent, h, w);
}

/**
 * Keeps the largest components of `labels` and replaces the others. `data`: [D, H, W]. Returns a new volume and the
 * sizes of what was kept and removed, largest first. Components are those of the union of `labels`, so a tumour stays with the kidney
 * that it touches.
 * Throws OptionError if `keep` is negative, or if `minMl` is given without `spacing`; ShapeError if `support` differs in
 * size.
 */
export function keepLargest(
  data: Labels,
  shape: readonly number[],
  options: KeepLargestOptions = {},
): KeepLargestResult {
  const { keep = 2, replaceWith = 0 } = options;
  if (!Number.isInteger(keep) || keep < 0) {
    throw new OptionError(`keepLargest: keep must be a whole number from 0, found ${keep}; 2 keeps both kidneys`);
  }
  const least = Math.max(options.minVoxels ?? 0, minimumVoxels(options));
  const found = connectedComponents(data, shape, options);
  const ranks = options.support ? ranksBySupport(found, data, options.support) : found.components.map((_, i) => i);
  const stays = found.components.map((component, i) => ranks[i] < keep && component.voxels >= least);
  const out = new Uint8Array(data);
  for (let i = 0; i < found.runStart.length; i++) {
    if (stays[found.runComponent[i]]) continue;
    out.fill(replaceWith, found.runStart[i], found.runStart[i] + found.runLength[i]);
  }
  const sizes = found.components.map((component) => component.voxels);
  return { data: out, kept: sizes.filter((_, i) => stays[i]), removed: sizes.filter((_, i) => !stays[i]) };
}

/** Each component's place when they are ordered by voxels where `support` is above 0, then by size. */
function ranksBySupport({ components, runStart, runLength, runComponent }: Components, data: Labels, support: Labels) {
  if (support.length !== data.length)
    throw new ShapeError(`keepLargest: support must have ${data.length} voxels like the data, found ${support.length}`);
  const supported = components.map(() => 0);
  for (let i = 0; i < runStart.length; i++)
    for (let v = runStart[i]; v < runStart[i] + runLength[i]; v++) supported[runComponent[i]] += Number(support[v] > 0);
  const ranks = components.map(() => 0);
  const order = components.map((_, i) => i).sort((a, b) => supported[b] - supported[a] || a - b);
  order.forEach((component, rank) => (ranks[component] = rank));
  return ranks;
}

function minimumVoxels({ minMl = 0, spacing }: KeepLargestOptions): number {
  if (minMl === 0) return 0;
  if (!spacing)
    throw new OptionError("keepLargest: minMl needs spacing, found none; pass the spacing in mm or use minVoxels");
  const voxel = spacing.reduce((a, b) => a * b, 1);
  if (!(voxel > 0))
    throw new DataError(`keepLargest: spacing must be positive, found [${spacing}] mm; check the header`);
  return (minMl * 1000) / voxel;
}

function findRuns(data: Labels, rows: number, w: number, labels?: readonly number[]): Runs {
  const inside = foregroundTable(labels);
  const runs: Runs = { x0: [], x1: [], row: [], first: new Int32Array(rows + 1) };
  for (let row = 0; row < rows; row++) {
    const base = row * w;
    let x = 0;
    while (x < w) {
      while (x < w && inside[data[base + x]] !== 1) x++;
      if (x === w) break;
      runs.x0.push(x);
      while (x < w && inside[data[base + x]] === 1) x++;
      runs.x1.push(x);
      runs.row.push(row);
    }
    runs.first[row + 1] = runs.x0.length;
  }
  return runs;
}

/** 1 for foreground labels; labels are small whole numbers, so a table beats a set in the inner loop. */
function foregroundTable(labels?: readonly number[]): Uint8Array {
  const table = new Uint8Array(65536);
  if (!labels) return table.fill(1, 1);
  for (const label of labels) table[label] = 1;
  return table;
}

function joinRuns(
  runs: Runs,
  d: number,
  h: number,
  neighbours: readonly (readonly [number, number, number])[],
): Int32Array {
  const parent = Int32Array.from({ length: runs.x0.length }, (_, i) => i);
  for (let z = 0; z < d; z++) {
    for (let y = 0; y < h; y++) {
      const row = z * h + y;
      if (runs.first[row] === runs.first[row + 1]) continue;
      for (const [dz, dy, reach] of neighbours) {
        if (z + dz < 0 || y + dy < 0 || y + dy >= h) continue;
        joinRows(runs, parent, row, (z + dz) * h + y + dy, reach);
      }
    }
  }
  return parent;
}

/** Joins the touching runs of two rows; both are sorted, so one sweep over the two finds every touching pair. */
function joinRows(runs: Runs, parent: Int32Array, rowA: number, rowB: number, reach: number): void {
  const { x0, x1, first } = runs;
  let a = first[rowA];
  let b = first[rowB];
  while (a < first[rowA + 1] && b < first[rowB + 1]) {
    if (x0[a] < x1[b] + reach && x0[b] < x1[a] + reach) join(parent, a, b);
    if (x1[a] < x1[b]) a++;
    else b++;
  }
}

/** The smaller index becomes the root: a root is the run met first, which makes ties repeatable. */
function join(parent: Int32Array, a: number, b: number): void {
  const rootA = find(parent, a);
  const rootB = find(parent, b);
  if (rootA < rootB) parent[rootB] = rootA;
  else parent[rootA] = rootB;
}

function find(parent: Int32Array, i: number): number {
  while (parent[i] !== i) {
    parent[i] = parent[parent[i]]; // halve the path for the next search
    i = parent[i];
  }
  return i;
}

function collect(runs: Runs, parent: Int32Array, h: number, w: number): Components {
  const count = runs.x0.length;
  const byRoot = new Map<number, Component>();
  for (let i = 0; i < count; i++) {
    const root = find(parent, i);
    const z = Math.floor(runs.row[i] / h);
    const y = runs.row[i] % h;
    const component = byRoot.get(root);
    if (!component) {
      byRoot.set(root, {
        voxels: runs.x1[i] - runs.x0[i],
        box: [
          [z, z + 1],
          [y, y + 1],
          [runs.x0[i], runs.x1[i]],
        ],
      });
      continue;
    }
    component.voxels += runs.x1[i] - runs.x0[i];
    extend(component.box[0], z, z + 1);
    extend(component.box[1], y, y + 1);
    extend(component.box[2], runs.x0[i], runs.x1[i]);
  }
  const order = [...byRoot.entries()].sort((a, b) => b[1].voxels - a[1].voxels || a[0] - b[0]);
  const rank = new Map(order.map(([root], index) => [root, index]));
  return {
    components: order.map(([, component]) => component),
    runStart: Float64Array.from(runs.row, (row, i) => row * w + runs.x0[i]),
    runLength: Int32Array.from(runs.x0, (x0, i) => runs.x1[i] - x0),
    runComponent: Int32Array.from({ length: count }, (_, i) => rank.get(find(parent, i))!),
  };
}

function extend(range: [number, number], low: number, high: number): void {
  if (low < range[0]) range[0] = low;
  if (high > range[1]) range[1] = high;
}
