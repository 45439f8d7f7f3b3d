// What surrounds an exported network, as data made of the run's settings: every step from the scan to the network's input and
// from its output to labels. docs/weights.md says what each step does.

import { coarseLabels, stageBefore } from "./cascadeRules.ts";
import type { RunOptions, StageName } from "./options.ts";
import { windowRange } from "./slices.ts";
import { coarseStage, fineStages, stageNames, type FineStage } from "./stages.ts";

/** One step: its name and the numbers it takes. Steps are done in order. */
export interface Step {
  readonly step: string;
  readonly [setting: string]: unknown;
}

/** The JSON beside an exported network. */
export interface NetworkSpec {
  readonly kind: "wgrad kits network";
  readonly version: 1;
  readonly stage: StageName;
  readonly model: string;
  readonly file: string;
  /** Of the checkpoint that was exported. */
  readonly weights: Readonly<Record<string, string>>;
  readonly input: object;
  readonly output: object;
  readonly preprocessing: readonly Step[];
  readonly postprocessing: readonly Step[];
}

export const INPUT = "image";
export const OUTPUT = "probabilities";

/** The steps around the network of a stage. `file`: its ONNX file; `weights`: what its checkpoint says of itself. */
export function networkSpec(
  stage: StageName,
  options: RunOptions,
  file: string,
  weights: Readonly<Record<string, string>>,
): NetworkSpec {
  const { size, channels } = options[stage];
  const fine = fineStages.find(({ name }) => name === stage);
  const { classes } = fine ?? coarseStage;
  return {
    ...{ kind: "wgrad kits network", version: 1, stage, file, weights },
    model: stage === "coarse" ? options.coarse.model : "msalds-unet",
    input: {
      ...{ name: INPUT, dtype: "float32", layout: "NCHW", shape: ["batch", 1, size, size] },
      values: [0, 1],
      repeatedInGraph: channels, // the network's own channels
    },
    output: {
      ...{ name: OUTPUT, dtype: "float32", layout: "NCHW", shape: ["batch", classes.length, size, size], classes },
      activation: { name: "softmax", axis: 1, inGraph: true },
    },
    preprocessing: [
      ...sliceSteps(stage === "coarse" ? size : options.sourceSize, options),
      ...(fine ? [regionStep(fine, options), cropStep(size)] : []),
      { step: "scale", divideBy: 255 },
    ],
    postprocessing: fine ? maskSteps() : labelSteps(options),
  };
}

/** From the scan to slices of bytes. */
function sliceSteps(size: number, options: RunOptions): Step[] {
  const [low, high] = windowRange(options);
  return [
    { step: "read", unit: "HU", round: "nearest", dtype: "int16", nonFinite: -1024 },
    { step: "orient", axes: ["slice", "row", "column"], towards: ["inferior", "posterior", "left"] },
    { step: "clip", low, high },
    {
      step: "resize",
      size: [size, size],
      filter: "triangle",
      antialias: true,
      align: "pixel centres",
      edges: "inside only",
    },
    { step: "window", from: [low, high], to: [0, 255], round: "nearest" },
  ];
}

const cropStep = (size: number): Step => ({
  ...{ step: "crop", size: [size, size], filter: "triangle", antialias: true, align: "pixel centres" },
  ...{ outside: 0, round: null },
});

/** Which square of each slice the network sees: the rule of rois() in cascade.ts. */
function regionStep({ name, roiLabels }: FineStage, options: RunOptions): Step {
  const { margin, neighbours, minArea } = options.roi;
  const from = stageBefore(name, options);
  if (from === null) return { step: "region", from: "whole slices" };
  const joins = options.coarseMasks === "join" && options.roi.from === "coarse";
  const shared = { step: "region", from, margin, unit: "shares of the slice", shape: "square about the box" };
  if (from !== "coarse") {
    const joined = joins ? { stage: "coarse", labels: coarseLabels[from] } : null;
    return { ...shared, labels: [1], joined, minArea: 0, emptySlices: "left out" };
  }
  const unions = [{ union: "neighbours", slices: neighbours }, { union: "case" }];
  const kidneys = [{ union: "slice" }, ...unions].map((union) => ({ ...union, labels: fineStages[0].roiLabels }));
  return {
    ...{ ...shared, labels: roiLabels, minArea, connectivity: 8 },
    emptySlices: [...unions, ...(name === "masses" ? kidneys : []), { region: "whole slice" }],
  };
}

function labelSteps({ keepLargest }: RunOptions): Step[] {
  return [
    {
      step: "resize",
      size: "of the slice",
      filter: "bilinear",
      antialias: false,
      align: "pixel centres",
      edges: "repeat",
    },
    { step: "argmax", axis: 1, tie: "lowest" },
    ...keepSteps(keepLargest),
    { step: "restore", orientation: "of the file" },
  ];
}

function maskSteps(): Step[] {
  return [
    { step: "select", channel: 1 },
    {
      ...{ step: "paste", size: "of the slice", into: "region", filter: "bilinear", antialias: false },
      ...{ align: "pixel centres", edges: "repeat", outside: 0 },
    },
    { step: "threshold", atLeast: 0.5 },
    { step: "restore", orientation: "of the file" },
  ];
}

const keepSteps = (components: number, rank = ["voxels"]): Step[] =>
  components > 0 ? [{ step: "keep largest", components, connectivity: 26, of: "all labels above 0", rank }] : [];

/** The JSON that says how the networks of a run work together. `files`: their specifications, by stage. */
export function cascadeSpec(options: RunOptions, files: Readonly<Partial<Record<StageName, string>>>): object {
  const joins = options.coarseMasks === "join" && options.roi.from === "coarse";
  const used = stageNames.filter((name) => name !== "coarse" || options.roi.from === "coarse");
  return {
    ...{ kind: "wgrad kits cascade", version: 1 },
    networks: used.map((stage) => ({ stage, file: files[stage] ?? null, after: stageBefore(stage, options) })),
    postprocessing: [
      ...(joins ? [{ step: "join", masks: coarseLabels, with: "coarse" }] : []),
      {
        step: "compose",
        labels: [
          { label: 1, in: ["kidney"], outside: ["masses"] },
          { label: 2, in: ["masses", "tumor"], outside: [] },
          { label: 3, in: ["masses"], outside: ["tumor"] },
        ],
      },
      ...keepSteps(options.keepLargest, joins ? ["coarse", "voxels"] : undefined),
      ...(options.tumorRule === "lesions"
        ? [{ step: "whole lesions", of: [2, 3], with: 2, become: 2, connectivity: 26 }]
        : []),
      { step: "restore", orientation: "of the file" },
    ],
    labels: { 0: "background", 1: "kidney", 2: "tumor", 3: "cyst" },
  };
}
