// The kidney application as a library: datasets, NIfTI, slices, training, prediction, scores.

export * from "./augment.ts";
export * from "./cache.ts";
export * from "./datasets/open.ts";
export * from "./distance.ts";
export * from "./evaluate.ts";
export * from "./metrics.ts";
export * from "./nifti.ts";
export * from "./overlay.ts";
export * from "./phantom.ts";
export * from "./postprocess.ts";
export * from "./predict.ts";
export * from "./preprocess.ts";
export * from "./presets.ts";
export * from "./resample.ts";
export * from "./split.ts";
export * from "./surface.ts";
export * from "./train.ts";
