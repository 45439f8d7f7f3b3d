// Distances between the surfaces of two masks, weighted by surface area: surface Dice, HD95, average surface distance.
//
// A surface element (surfel) sits between eight voxels that are not all alike. Its area depends on which of the eight
// are inside, a code from 0 to 255, and on the spacing: it is the area of the marching-cubes polygons of that code.
// The distance of a surfel is that to the nearest surfel of the other mask, from an exact distance transform. Two
// polygons can be triangulated in ways that differ in area; see `widestFan` for the one that counts.
// Source: Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy" (the surface-distance
// package), used by the KiTS challenge.

import { OptionError, ShapeError } from "../errors.ts";
import { squaredDistances } from "./distance.ts";
import type { Labels } from "./metrics.ts";

/** Surfels of two masks: their areas in mm2, and in mm the distance of each to the other mask's surface. */
export interface SurfaceDistances {
  referenceAreas: Float64Array;
  predictionAreas: Float64Array;
  /** Infinity if the other mask is empty. */
  referenceDistances: Float64Array;
  predictionDistances: Float64Array;
}

/** The labels that make a mask, and the grid of the volumes: `shape` [D, H, W], `spacing` in mm in the same order. */
export interface SurfaceOptions {
  labels: readonly number[];
  shape: readonly number[];
  spacing: readonly number[];
}

type Box = [low: [number, number, number], high: [number, number, number]];

/** Border points of one mask on the cropped grid: flat index and area. */
interface Surfels {
  points: Int32Array;
  areas: Float64Array;
}

/**
 * Surfels of the voxels whose label is in `labels`, in both volumes, and their distances to each other.
 * `reference`, `prediction`: [D, H, W]. Only the joint bounding box is worked on; voxels outside a volume count as
 * outside the mask, so a mask that reaches the volume's edge has a surface there.
 * Takes about 10 bytes per voxel of that box: tens of megabytes for two kidneys of a common scan, far more for a
 * prediction that is scattered over a large one.
 * Throws ShapeError if a volume does not fill `shape`, OptionError if the spacing is not positive.
 */
export function surfaceDistances(
  reference: Labels,
  prediction: Labels,
  { labels, shape, spacing }: SurfaceOptions,
): SurfaceDistances {
  const voxels = shape.reduce((a, b) => a * b, 1);
  if (shape.length !== 3 || reference.length !== voxels || prediction.length !== voxels) {
    throw new ShapeError(
      `surfaceDistances: reference and prediction must fill shape [D, H, W], found ${reference.length} and ` +
        `${prediction.length} voxels for [${shape}]`,
    );
  }
  const areas = surfelAreas(spacing);
  const inside = new Uint8Array(65536);
  for (const label of labels) inside[label] = 1;
  const box = jointBox(reference, prediction, inside, shape);
  if (!box) return noSurfels();
  const grid = box[0].map((low, axis) => box[1][axis] - low + 1); // one more surfel than voxels along each axis
  const r = findSurfels(reference, inside, shape, box, areas);
  const p = findSurfels(prediction, inside, shape, box, areas);
  return {
    referenceAreas: r.areas,
    predictionAreas: p.areas,
    referenceDistances: distancesTo(p.points, r.points, grid, spacing),
    predictionDistances: distancesTo(r.points, p.points, grid, spacing),
  };
}

/** Share of both surfaces at most `tolerance` mm from the other, by area. NaN if both masks are empty, 0 if one is. */
export function surfaceDice(distances: SurfaceDistances, tolerance: number): number {
  if (!(tolerance >= 0)) {
    throw new OptionError(`surfaceDice: tolerance must be a length in mm from 0, found ${tolerance}`);
  }
  const { referenceAreas, predictionAreas, referenceDistances, predictionDistances } = distances;
  const near =
    areaWithin(referenceAreas, referenceDistances, tolerance) +
    areaWithin(predictionAreas, predictionDistances, tolerance);
  return near / (sum(referenceAreas) + sum(predictionAreas));
}

/**
 * Robust Hausdorff distance in mm: the larger of the two directed distances at `percent` of the surface area; 95 gives
 * HD95. null if a mask is empty. As in the surface-distance package, no interpolation between surfels.
 */
export function robustHausdorff(distances: SurfaceDistances, percent = 95): number | null {
  if (!(percent >= 0 && percent <= 100)) {
    throw new OptionError(`robustHausdorff: percent must be from 0 to 100, found ${percent}; 95 gives HD95`);
  }
  if (isEmpty(distances)) return null;
  return Math.max(
    percentile(distances.referenceAreas, distances.referenceDistances, percent),
    percentile(distances.predictionAreas, distances.predictionDistances, percent),
  );
}

/** Mean distance in mm over both surfaces, by area (symmetric average surface distance). null if a mask is empty. */
export function averageSurfaceDistance(distances: SurfaceDistances): number | null {
  if (isEmpty(distances)) return null;
  const { referenceAreas, predictionAreas, referenceDistances, predictionDistances } = distances;
  const weighted = dot(referenceAreas, referenceDistances) + dot(predictionAreas, predictionDistances);
  return weighted / (sum(referenceAreas) + sum(predictionAreas));
}

/**
 * Area in mm2 of a surfel for each of the 256 codes. Bit 4a + 2b + c of a code is the corner (a, b, c) along D, H, W.
 * `spacing`: mm along D, H, W. Throws OptionError if it is not positive.
 */
export function surfelAreas(spacing: readonly number[]): Float64Array {
  if (spacing.length !== 3 || !spacing.every((mm) => mm > 0 && Number.isFinite(mm))) {
    throw new OptionError(`surfelAreas: spacing must be three positive lengths in mm, found [${spacing}]`);
  }
  trianglesOfCode ??= Array.from({ length: 256 }, (_, code) => codeTriangles(code));
  return Float64Array.from(trianglesOfCode, (triangles) => totalArea(triangles, spacing));
}

type Point = readonly [number, number, number];
type Triangle = readonly [Point, Point, Point];

let trianglesOfCode: Triangle[][] | undefined;

/** Corners of the six faces of the cube in cyclic order, as corner numbers 4a + 2b + c. */
const faces = [
  [0, 1, 3, 2],
  [4, 5, 7, 6],
  [0, 1, 5, 4],
  [2, 3, 7, 6],
  [0, 2, 6, 4],
  [1, 3, 7, 5],
];

/** The polygons that cut the inside corners of one code off, as triangles in voxel units. */
function codeTriangles(code: number): Triangle[] {
  const corners = (set: number): number => [...faces[0], ...faces[1]].filter((corner) => (set >> corner) & 1).length;
  // The fewer corners are the inside. A code and its complement then share one surface, and where a face has two
  // inside corners across from each other, they are cut off one by one.
  const inside = corners(code) <= 4 ? code : 255 - code;
  return loops(faces.flatMap((face) => faceSegments(face, inside))).flatMap(widestFan);
}

/** Per run of inside corners around a face: the two cube edges where it starts and ends, as "corner-corner". */
function faceSegments(face: readonly number[], inside: number): [string, string][] {
  const isIn = (i: number): boolean => ((inside >> face[(i + 4) % 4]) & 1) === 1;
  const edge = (i: number): string => [face[(i + 4) % 4], face[(i + 5) % 4]].sort().join("-");
  const segments: [string, string][] = [];
  for (let i = 0; i < 4; i++) {
    if (!isIn(i) || isIn(i - 1)) continue;
    let end = i;
    while (isIn(end + 1)) end++;
    segments.push([edge(i - 1), edge(end)]);
  }
  return segments;
}

/** Links segments into closed polygons through the middles of the cube edges. Every edge has exactly two segments. */
function loops(segments: [string, string][]): Point[][] {
  const open = [...segments];
  const polygons: Point[][] = [];
  while (open.length > 0) {
    const [first, second] = open.pop()!;
    const names = [first];
    for (let at = second; at !== first; ) {
      names.push(at);
      const next = open.findIndex((segment) => segment.includes(at));
      const [a, b] = open.splice(next, 1)[0];
      at = a === at ? b : a;
    }
    polygons.push(names.map(edgeMiddle));
  }
  return polygons;
}

function edgeMiddle(name: string): Point {
  const [p, q] = name.split("-").map(Number);
  const middle = (bit: number): number => (((p >> bit) & 1) + ((q >> bit) & 1)) / 2;
  return [middle(2), middle(1), middle(0)];
}

/**
 * Triangles of a polygon from the vertex whose fan has the largest area at unit spacing. Only two polygons are not
 * flat: the pentagon around an L of three corners and the hexagon around an S of four. For both this gives the areas of
 * the surface-distance package (1.1495 and 1.5731), and fans of equal area here have equal area at any spacing.
 */
function widestFan(polygon: readonly Point[]): Triangle[] {
  let widest: Triangle[] = [];
  for (let apex = 0; apex < polygon.length; apex++) {
    const at = (i: number): Point => polygon[(apex + i) % polygon.length];
    const fan = Array.from({ length: polygon.length - 2 }, (_, i): Triangle => [at(0), at(i + 1), at(i + 2)]);
    if (totalArea(fan, [1, 1, 1]) > totalArea(widest, [1, 1, 1]) + 1e-9) widest = fan;
  }
  return widest;
}

function totalArea(triangles: readonly Triangle[], spacing: readonly number[]): number {
  let total = 0;
  for (const [p, q, r] of triangles) {
    const u = spacing.map((mm, axis) => (q[axis] - p[axis]) * mm);
    const v = spacing.map((mm, axis) => (r[axis] - p[axis]) * mm);
    total += Math.hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]) / 2;
  }
  return total;
}

/** Smallest box [low, high) that holds both masks. */
function jointBox(a: Labels, b: Labels, inside: Uint8Array, [d, h, w]: readonly number[]): Box | undefined {
  const low: Box[0] = [d, h, w];
  const high: Box[1] = [0, 0, 0];
  for (let z = 0; z < d; z++) {
    for (let y = 0; y < h; y++) {
      const row = (z * h + y) * w;
      const first = firstInside(a, b, inside, row, w);
      if (first === w) continue;
      let last = w - 1;
      while (inside[a[row + last]] !== 1 && inside[b[row + last]] !== 1) last--;
      low[0] = Math.min(low[0], z);
      low[1] = Math.min(low[1], y);
      low[2] = Math.min(low[2], first);
      high[0] = z + 1;
      high[1] = Math.max(high[1], y + 1);
      high[2] = Math.max(high[2], last + 1);
    }
  }
  return high[0] === 0 ? undefined : [low, high];
}

function firstInside(a: Labels, b: Labels, inside: Uint8Array, row: number, w: number): number {
  let x = 0;
  while (x < w && inside[a[row + x]] !== 1 && inside[b[row + x]] !== 1) x++;
  return x;
}

/** Surfels of one mask on the grid of the box: point (z, y, x) lies between the voxels z - 1, z; y - 1, y; x - 1, x. */
function findSurfels(
  data: Labels,
  inside: Uint8Array,
  [, h, w]: readonly number[],
  [low, high]: Box,
  areas: Float64Array,
): Surfels {
  const [gd, gh, gw] = low.map((first, axis) => high[axis] - first + 1);
  const codes = new Uint8Array(gd * gh * gw);
  for (let z = low[0]; z < high[0]; z++) {
    for (let y = low[1]; y < high[1]; y++) {
      const row = (z * h + y) * w;
      const out = ((z - low[0]) * gh + (y - low[1])) * gw - low[2];
      for (let x = low[2]; x < high[2]; x++) {
        if (inside[data[row + x]] === 1) markVoxel(codes, out + x, gw, gh * gw);
      }
    }
  }
  let count = 0;
  for (let i = 0; i < codes.length; i++) if (codes[i] !== 0 && codes[i] !== 255) count++;
  const surfels = { points: new Int32Array(count), areas: new Float64Array(count) };
  for (let i = 0, n = 0; i < codes.length; i++) {
    if (codes[i] === 0 || codes[i] === 255) continue;
    surfels.points[n] = i;
    surfels.areas[n++] = areas[codes[i]];
  }
  return surfels;
}

/** A voxel is the far corner (7) of the grid point at its low end, and the near corner (0) of that at its high end. */
function markVoxel(codes: Uint8Array, at: number, row: number, plane: number): void {
  codes[at] |= 1 << 7;
  codes[at + 1] |= 1 << 6;
  codes[at + row] |= 1 << 5;
  codes[at + row + 1] |= 1 << 4;
  codes[at + plane] |= 1 << 3;
  codes[at + plane + 1] |= 1 << 2;
  codes[at + plane + row] |= 1 << 1;
  codes[at + plane + row + 1] |= 1;
}

/** Distance in mm from each of `from` to the nearest of `to`. */
function distancesTo(
  to: Int32Array,
  from: Int32Array,
  grid: readonly number[],
  spacing: readonly number[],
): Float64Array {
  if (to.length === 0 || from.length === 0) return new Float64Array(from.length).fill(Infinity);
  const squared = squaredDistances(to, grid, spacing, from);
  return Float64Array.from(from, (point) => Math.sqrt(squared[point]));
}

function noSurfels(): SurfaceDistances {
  const none = new Float64Array(0);
  return { referenceAreas: none, predictionAreas: none, referenceDistances: none, predictionDistances: none };
}

function isEmpty({ referenceAreas, predictionAreas }: SurfaceDistances): boolean {
  return referenceAreas.length === 0 || predictionAreas.length === 0;
}

function areaWithin(areas: Float64Array, distances: Float64Array, tolerance: number): number {
  let area = 0;
  for (let i = 0; i < areas.length; i++) if (distances[i] <= tolerance) area += areas[i];
  return area;
}

/** The smallest of the distances within which `percent` of the area lies, by bisection over the sorted distances. */
function percentile(areas: Float64Array, distances: Float64Array, percent: number): number {
  const target = (percent / 100) * sum(areas);
  const sorted = distances.slice().sort();
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (areaWithin(areas, distances, sorted[middle]) >= target) high = middle;
    else low = middle + 1;
  }
  return sorted[low];
}

function sum(values: Float64Array): number {
  return values.reduce((a, b) => a + b, 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((total, value, i) => total + value * b[i], 0);
}
