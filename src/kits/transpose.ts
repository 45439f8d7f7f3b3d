// Moves voxels between the file's axis order and axial slices [S, H, W], a few file planes at a time.
//
// In KiTS files the slice index is the fastest axis and W the slowest, so one axial row is spread over the whole file.
// Copying voxel by voxel touches a new cache line each time; blocks of planes keep both sides in cache.
import type { Geometry } from "./geometry.ts";
import { walkOf } from "./geometry.ts";

/** Arrays that hold voxels. */
export type VoxelArray = Uint8Array | Int8Array | Int16Array | Uint16Array | Int32Array | Float32Array | Float64Array;

const BLOCK = 32; // voxels per side of a block along the first two file axes
const TILE_VOXELS = 1 << 23; // at most 8 M voxels wait for their place
const TILE_PLANES = 32;

/** Planes of the first two file axes that are moved together. */
export function planesPerTile(geometry: Geometry): number {
  const plane = geometry.dims[0] * geometry.dims[1];
  return Math.max(1, Math.min(TILE_PLANES, geometry.dims[2], Math.floor(TILE_VOXELS / plane)));
}

/** Copies file planes `first` to `first + count` (in `tile`, file order) to their places in `axial` [S, H, W]. */
export function tileToAxial(
  tile: VoxelArray,
  axial: VoxelArray,
  geometry: Geometry,
  first: number,
  count: number,
): void {
  forEachBlock(geometry, first, count, (loops, inTile, inAxial) => {
    const [a, b, c] = loops;
    for (let i = 0; i < a.size; i++) {
      for (let j = 0; j < b.size; j++) {
        let from = inTile + i * a.tile + j * b.tile;
        let to = inAxial + i * a.axial + j * b.axial;
        for (let k = 0; k < c.size; k++, from += c.tile, to += c.axial) axial[to] = tile[from];
      }
    }
  });
}

/** The reverse of tileToAxial: fills `tile` with file planes `first` to `first + count`. */
export function axialToTile(
  axial: VoxelArray,
  tile: VoxelArray,
  geometry: Geometry,
  first: number,
  count: number,
): void {
  forEachBlock(geometry, first, count, (loops, inTile, inAxial) => {
    const [a, b, c] = loops;
    for (let i = 0; i < a.size; i++) {
      for (let j = 0; j < b.size; j++) {
        let to = inTile + i * a.tile + j * b.tile;
        let from = inAxial + i * a.axial + j * b.axial;
        for (let k = 0; k < c.size; k++, to += c.tile, from += c.axial) tile[to] = axial[from];
      }
    }
  });
}

/** One loop over a block: its length, and the step in each array. */
interface Loop {
  size: number;
  tile: number;
  axial: number;
}

function forEachBlock(
  geometry: Geometry,
  first: number,
  count: number,
  copy: (loops: Loop[], inTile: number, inAxial: number) => void,
): void {
  const [d0, d1] = geometry.dims;
  const { start, step } = walkOf(geometry);
  for (let i1 = 0; i1 < d1; i1 += BLOCK) {
    for (let i0 = 0; i0 < d0; i0 += BLOCK) {
      const loops: Loop[] = [
        { size: Math.min(BLOCK, d0 - i0), tile: 1, axial: step[0] },
        { size: Math.min(BLOCK, d1 - i1), tile: d0, axial: step[1] },
        { size: count, tile: d0 * d1, axial: step[2] },
      ];
      // The innermost loop runs along W, whatever file axis that is.
      loops.sort((x, y) => Math.abs(y.axial) - Math.abs(x.axial));
      copy(loops, i1 * d0 + i0, start + i0 * step[0] + i1 * step[1] + first * step[2]);
    }
  }
}
