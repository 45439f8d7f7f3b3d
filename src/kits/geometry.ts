// Where the voxels of a file lie in the patient, and how they are turned into axial slices.

/** Three numbers in the order of their axes. */
export type Triple = [number, number, number];

/** Voxel grid of one volume, in the file's own axis order and in axial order [S, H, W]. */
export interface Geometry {
  /** Voxels along the file's axes, fastest first. */
  dims: Triple;
  /** Rows of the 3x4 matrix from file indices to mm: x to the patient's right, y to anterior, z to superior. */
  affine: number[][];
  /** Which field of the header gave the matrix; "pixdim" means that the orientation is unknown. */
  affineSource: "sform" | "qform" | "pixdim";
  /** NIfTI codes of the two matrices, kept so that written files say what the source said. */
  sformCode: number;
  qformCode: number;
  /** File axis (0, 1 or 2) that is S, H and W. */
  axes: Triple;
  /** True where S, H or W runs against its file axis. */
  flips: [boolean, boolean, boolean];
  /** [S, H, W]: slices from superior to inferior, rows from anterior to posterior, columns to the patient's left. */
  shape: Triple;
  /** Spacing in mm, in the order S, H, W. */
  spacing: Triple;
}

/** File axes and directions that give [S, H, W]. */
export interface Orientation {
  axes: Triple;
  flips: [boolean, boolean, boolean];
}

/** Length of each column of the matrix: the spacing in mm along each file axis. */
export function columnLengths(affine: readonly (readonly number[])[]): Triple {
  const length = (c: number) => Math.hypot(affine[0][c], affine[1][c], affine[2][c]);
  return [length(0), length(1), length(2)];
}

/**
 * Axes and flips that show a volume as KiTS stores it: S to inferior, H to posterior, W to the patient's left.
 * Each patient axis takes the file axis that is closest to it; an oblique volume keeps its own planes.
 */
export function orientationOf(affine: readonly (readonly number[])[]): Orientation {
  const lengths = columnLengths(affine);
  const cosine = (row: number, axis: number) => affine[row][axis] / lengths[axis];
  let best: Triple = [2, 1, 0];
  let bestScore = -1;
  for (const axes of PERMUTATIONS) {
    const score = Math.abs(cosine(2, axes[0])) + Math.abs(cosine(1, axes[1])) + Math.abs(cosine(0, axes[2]));
    if (score > bestScore + 1e-9) [best, bestScore] = [axes, score];
  }
  // Superior, anterior and right are positive in the file's coordinates; all three run the other way here.
  return { axes: [...best], flips: [cosine(2, best[0]) > 0, cosine(1, best[1]) > 0, cosine(0, best[2]) > 0] };
}

/**
 * Axes of a volume without any matrix. The slice axis is the one whose spacing differs from the other two; failing
 * that, the one whose length differs; failing that, the last. Nothing is flipped, since the orientation is unknown.
 */
export function orientationFromSpacing(spacing: Triple, dims: Triple): Orientation {
  const slice = oddOneOut(spacing, 1e-3) ?? oddOneOut(dims, 0) ?? 2;
  const axes: Triple = slice === 0 ? [0, 1, 2] : slice === 1 ? [1, 2, 0] : [2, 1, 0];
  return { axes, flips: [false, false, false] };
}

const PERMUTATIONS: Triple[] = [
  [2, 1, 0],
  [0, 1, 2],
  [2, 0, 1],
  [1, 2, 0],
  [0, 2, 1],
  [1, 0, 2],
];

function oddOneOut(v: Triple, tolerance: number): number | undefined {
  const same = (i: number, j: number) => Math.abs(v[i] - v[j]) <= tolerance * Math.max(Math.abs(v[i]), Math.abs(v[j]));
  if (same(1, 2) && !same(0, 1)) return 0;
  if (same(0, 2) && !same(0, 1)) return 1;
  if (same(0, 1) && !same(0, 2)) return 2;
  return undefined;
}

/** Position in mm of a file index. */
export function positionOf(affine: readonly (readonly number[])[], index: Triple): Triple {
  const row = (r: number) => affine[r][0] * index[0] + affine[r][1] * index[1] + affine[r][2] * index[2] + affine[r][3];
  return [row(0), row(1), row(2)];
}

/** Largest distance in mm between the eight corner voxels of two grids that have the same dims. */
export function cornerDistance(a: Geometry, b: Geometry): number {
  let largest = 0;
  for (let corner = 0; corner < 8; corner++) {
    const at = (axis: number) => ((corner >> axis) & 1) * (a.dims[axis] - 1);
    const p = positionOf(a.affine, [at(0), at(1), at(2)]);
    const q = positionOf(b.affine, [at(0), at(1), at(2)]);
    largest = Math.max(largest, Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
  }
  return largest;
}

/**
 * Walk of the axial array [S, H, W] along the file's axes: array index = start + i0*step[0] + i1*step[1] + i2*step[2].
 */
export interface Walk {
  start: number;
  step: Triple;
}

/** Steps through [S, H, W] for each file axis. */
export function walkOf(geometry: Geometry): Walk {
  const [, H, W] = geometry.shape;
  const strides = [H * W, W, 1];
  const step: Triple = [0, 0, 0];
  let start = 0;
  for (let d = 0; d < 3; d++) {
    const axis = geometry.axes[d];
    step[axis] = geometry.flips[d] ? -strides[d] : strides[d];
    if (geometry.flips[d]) start += strides[d] * (geometry.shape[d] - 1);
  }
  return { start, step };
}

/**
 * A geometry as KiTS files have it: dims (slices, H, W) and -spacing on the anti-diagonal. Spacing in mm, order S, H,
 * W.
 */
export function kitsGeometry(shape: Triple, spacing: Triple): Geometry {
  return {
    dims: [...shape],
    affine: [
      [0, 0, -spacing[2], 0],
      [0, -spacing[1], 0, 0],
      [-spacing[0], 0, 0, 0],
    ],
    affineSource: "sform",
    sformCode: 1,
    qformCode: 0,
    axes: [0, 1, 2],
    flips: [false, false, false],
    shape: [...shape],
    spacing: [...spacing],
  };
}
