// The only way of the core to files: bundles for browsers hold filesBrowser.ts in its place (the field "browser" of
// package.json).

/** Node's functions for files. */
export const files = () => import("node:fs/promises");
