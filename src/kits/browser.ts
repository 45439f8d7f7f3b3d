// The part of the kidney application that needs no Node: what `wgrad/kits` is in a browser.

export * from "./nifti_bytes.ts";
export * from "./options.ts";
export * from "./phantom_case.ts";
export * from "./segment.ts";
export * from "./stages.ts";
export * from "./volumes.ts";
export { kitsGeometry, type Geometry, type Orientation, type Triple } from "./geometry.ts";
