// Workgroup counts. One axis takes at most 65,535 workgroups, so long lines fold into the second.

/** Workgroups along x, y and z. */
export type Grid = readonly [number, number, number];

/** What every WebGPU adapter takes along one axis. */
export const MAX_WORKGROUPS = 65535;

/**
 * The grid for `items` handled `perGroup` at a time in one line. The kernel finds its place with
 * `id.y * (groups.x * WG) + id.x` and must guard the end.
 */
export function linearGrid(items: number, perGroup: number): Grid {
  const groups = Math.max(1, Math.ceil(items / perGroup));
  if (groups <= MAX_WORKGROUPS) return [groups, 1, 1];
  const y = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / y), y, 1];
}
