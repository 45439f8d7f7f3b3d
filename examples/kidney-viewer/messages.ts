// What the page and its worker tell each other, and what the page says of errors.

/** To the worker: the bytes of a NIfTI file to segment. */
export interface Request {
  readonly bytes: ArrayBuffer;
  readonly name: string;
}

/** What the worker found. */
export interface Result {
  /** The label map as the bytes of a gzipped NIfTI file, on the scan's own grid. */
  readonly labels: ArrayBuffer;
  /** By label, background first. */
  readonly classes: readonly string[];
  readonly millilitres: readonly number[];
  /** Where to look first, in mm of the scan's coordinates; null where nothing was found. */
  readonly centre: readonly number[] | null;
  readonly seconds: number;
}

/** The model as the page tells of it. */
export interface ModelFacts {
  readonly preset: string;
  readonly note: string;
  readonly bytes: number;
}

/** From the worker. */
export type Answer =
  | { readonly kind: "ready"; readonly adapter: string; readonly software: boolean }
  | { readonly kind: "model"; readonly facts: ModelFacts }
  | { readonly kind: "progress"; readonly stage: string; readonly done: number; readonly total: number }
  | { readonly kind: "result"; readonly result: Result }
  | { readonly kind: "error"; readonly name: string; readonly message: string };

/** What to say where a page has no WebGPU. */
export const NO_WEBGPU = {
  title: "This browser has no WebGPU",
  text:
    "The scan is segmented on your own GPU, through WebGPU. Browsers that have it: Chrome and Edge 113 or later (Windows, macOS, " +
    "ChromeOS; Android 121; on Linux switch on chrome://flags/#enable-unsafe-webgpu), Safari 26, Firefox 141 on Windows and 145 on Macs. " +
    "A scan can still be looked at.",
};

/** Titles and advice by the error's class; others are shown as they are. */
const advice: Readonly<Record<string, readonly [title: string, text: string]>> = {
  OutOfMemoryError: [
    "The GPU's memory is too small for this",
    "Close other pages and programs that use the GPU, or use a smaller model, then try again.",
  ],
  DeviceLostError: [
    "The GPU went away",
    "Its driver was restarted, or the system took it back. The scan is still here: open it again to go on.",
  ],
  DataError: [
    "This file cannot be used",
    "It must be one CT volume in NIfTI format (.nii or .nii.gz), in Hounsfield units.",
  ],
};

/** What to say of an error. */
export function explain(name: string, message: string): { title: string; text: string; raw: string } {
  const [title, text] = advice[name] ?? ["Something went wrong", "The scan is still here; try again."];
  return { title, text, raw: `${name}: ${message}` };
}
