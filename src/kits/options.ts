// The settings of a run as plain data, and the rules that each must keep. Named sets of them are in presets.ts.

import { OptionError } from "../errors.ts";
import { amount, flag, listOf, oneOf, real, shown, that, whole, type Check } from "../structure.ts";
import type { AugmentOptions } from "./augment.ts";

/** The networks of the cascade in running order. */
export const stageNames = ["coarse", "kidney", "masses", "tumor"] as const;
/** The name of a network of the cascade. */
export type StageName = (typeof stageNames)[number];

/** What the training of every network has. */
export interface TrainOptions {
  /** Rows and columns of the network's input; a multiple of 2^depth. */
  size: number;
  /** Input channels: the grey slice, repeated. The paper's networks take 3. */
  channels: number;
  /** Channels of the first level; each of the `depth` poolings doubles them. */
  width: number;
  depth: number;
  /** Probability of dropping a channel inside blocks. */
  dropout: number;
  /** "pytorch": its layers' defaults; "normal": convolutions from N(0, 0.02), as the paper's code. */
  init: "pytorch" | "normal";
  /** Start with the classes' frequencies in the training slices as the prediction: many fewer steps to the first kidney. */
  prior: boolean;
  epochs: number;
  batch: number;
  /** Learning rate of Adam in the first epoch. */
  lr: number;
  /**
   * "step" multiplies the rate by `gamma` each epoch; "cosine" falls to 0 at the end; "restarts" falls to 0 and starts
   * again every `restartEvery` epochs; "constant" keeps it.
   */
  schedule: "step" | "cosine" | "restarts" | "constant";
  gamma: number;
  restartEvery: number;
  /**
   * Training slices of an epoch: a number, drawn anew each epoch; "all", each once; "organ", each that shows what the
   * network looks for once, and others so that the share `foreground` holds.
   */
  slicesPerEpoch: number | "all" | "organ";
  /** Share of the slices of an epoch that show what the network looks for, unless all are taken. */
  foreground: number;
  /** Largest number of validation slices, half of them with what the network looks for; 0 takes all. */
  validationSlices: number;
  /**
   * How activations and their gradients are stored: "f16" takes half the memory. Kernels compute with f32, weights stay f32,
   * and the loss is scaled so that small gradients survive.
   */
  precision: "f32" | "f16";
  /** Compute blocks again for the gradient instead of keeping what is inside them: less GPU memory, more work. */
  recompute: boolean;
  /** Epochs between periodic checkpoints. The best and the last are always kept. */
  checkpointEvery: number;
  augment: AugmentOptions;
}

/** The coarse network: background, kidney and mass on whole slices. */
export interface CoarseOptions extends TrainOptions {
  model: "resunet" | "deep-resunet" | "unet";
}

/** One MSALDS-UNet with its discriminators; it tells its target from everything else in a region of interest. */
export interface FineOptions extends TrainOptions {
  /** Outputs that are trained, from full resolution down; at most `depth`. */
  scales: number;
  /** Which outputs have a discriminator: each trained one, that of full resolution, or none. */
  discriminators: "all" | "last" | "none";
  discriminatorWidth: number;
  discriminatorDepth: number;
  discriminatorDropout: number;
  discriminatorLr: number;
  /** Weigh the cross entropy by the difficulty lambda = (1 - M)^power + |1 - M| (equation 2). */
  difficulty: boolean;
  power: number;
  /** Stop gradients at lambda. False lets them reach the network through the discriminator, as the authors' code. */
  detachDifficulty: boolean;
  /** The mean of lambda times the mean of the cross entropy, as the authors' code, not pixel by pixel. */
  legacyScalarCE: boolean;
  /** Weight of the adversarial term (lambda 1 of equation 3). */
  adversarialWeight: number;
  /** What of a prediction the discriminators see while they learn; the authors' code shows them raw logits. */
  discriminatorInput: "softmax" | "logits";
  /** "fresh": a second forward pass for the network's part; coarse outputs' Dice and cross entropy keep the first. */
  forward: "shared" | "fresh";
  /** Judge the coarsest output by the discriminator of the one before, as the authors' code does. */
  sharedLastDiscriminator: boolean;
  /** Chance that a training region comes from the coarse prediction and not from the reference. */
  predictedRois: number;
  /**
   * "fresh": weights of its own. "before": those of the network that its regions come from, wherever names and shapes
   * agree; what is left (squeeze and excitation, outputs) is fresh.
   */
  start: "fresh" | "before";
}

/** How regions of interest are made; lengths are shares of the slice's side. */
export interface RoiSettings {
  /** "none" gives the kidney and masses networks whole slices: the paper's "without coarse segmentation". */
  from: "coarse" | "none";
  /** Added on each side of the box. The paper's code dilates by 10 pixels of 128. */
  margin: number;
  /** An empty slice takes the union of the boxes this many slices up and down, before that of the whole case. */
  neighbours: number;
  /** Predicted specks smaller than this share of the slice's area do not count. */
  minArea: number;
  /** Training regions move by up to this share of their side, and their side changes by -1 to +2 times it. */
  jitter: number;
}

/** The settings of one run. */
export interface RunOptions {
  /** Weights of train, val and test, by case. */
  fractions: [number, number, number];
  /** Seed of the split: runs that differ in `seed` alone train and test on the same cases. */
  splitSeed: number;
  /** Train, validate and test on the same cases: a check that the networks can learn, not a score. */
  overfit: boolean;
  /** Seed of weights, sampling and augmentation. */
  seed: number;
  /** Rows and columns of the cached slices that regions of interest are cut from. */
  sourceSize: number;
  /** Width and middle of the CT window in HU, for all networks: what it shows becomes 0 to 255, the rest is clipped. */
  window: number;
  level: number;
  /** Connected components kept in a prediction, largest first (see coarseMasks); 0 keeps all. */
  keepLargest: number;
  /**
   * What the coarse masks are for: "regions" of interest alone, as in the paper; or to "join" those of the kidney and
   * masses networks as well, so that a voxel counts which either of the two has found, and the components
   * stay of which the coarse network found most.
   */
  coarseMasks: "regions" | "join";
  /**
   * What is tumor in the masses: the "voxels" that the tumor network finds, as in the paper; or all of every "lesion",
   * a connected mass, in which it finds any, since a lesion is of one kind.
   */
  tumorRule: "voxels" | "lesions";
  roi: RoiSettings;
  coarse: CoarseOptions;
  kidney: FineOptions;
  masses: FineOptions;
  tumor: FineOptions;
}

const share = real(0, 1);

/** What each setting must be, by its last name; the same name means the same everywhere. */
const rules: Readonly<Record<string, Check>> = {
  size: whole(16, 1024),
  sourceSize: whole(16, 1024),
  window: real(1, 4096),
  level: real(-1024, 3071),
  channels: whole(1, 16),
  width: whole(1, 256),
  depth: whole(1, 6),
  dropout: real(0, 0.95),
  init: oneOf("pytorch", "normal"),
  prior: flag,
  epochs: whole(1, 100_000),
  batch: whole(1, 1024),
  lr: real(1e-9, 10),
  schedule: oneOf("step", "cosine", "restarts", "constant"),
  gamma: real(1e-3, 1),
  restartEvery: whole(1, 100_000),
  slicesPerEpoch: that(
    "all, organ or a number above 0",
    (v) => v === "all" || v === "organ" || whole(1, 10_000_000)(v) === null,
  ),
  foreground: share,
  validationSlices: whole(0, 10_000_000),
  precision: oneOf("f32", "f16"),
  recompute: flag,
  checkpointEvery: whole(1, 100_000),
  model: oneOf("resunet", "deep-resunet", "unet"),
  scales: whole(1, 6),
  discriminators: oneOf("all", "last", "none"),
  discriminatorWidth: whole(1, 256),
  discriminatorDepth: whole(1, 6),
  discriminatorDropout: real(0, 0.95),
  discriminatorLr: real(1e-9, 10),
  difficulty: flag,
  power: real(1, 16),
  detachDifficulty: flag,
  legacyScalarCE: flag,
  adversarialWeight: real(0, 1000),
  discriminatorInput: oneOf("softmax", "logits"),
  forward: oneOf("shared", "fresh"),
  sharedLastDiscriminator: flag,
  predictedRois: share,
  start: oneOf("fresh", "before"),
  from: oneOf("coarse", "none"),
  margin: real(0, 1),
  neighbours: whole(0, 1000),
  minArea: share,
  jitter: real(0, 0.5),
  fractions: listOf(amount, 3),
  overfit: flag,
  splitSeed: whole(0, 0xffffffff),
  seed: whole(0, 0xffffffff),
  keepLargest: whole(0, 1000),
  coarseMasks: oneOf("regions", "join"),
  tumorRule: oneOf("voxels", "lesions"),
};

/** Settings that are checked where they are used. */
const elsewhere = new Set(["fractions", "augment"]);

/** What a setting of this name must be, wherever it stands; undefined for those of augmentation. */
export function settingRule(name: string): Check | undefined {
  return Object.hasOwn(rules, name) ? rules[name] : undefined;
}

/** Throws OptionError naming the first setting out of its range. */
export function checkOptions(options: RunOptions): void {
  for (const [path, value] of settingsOf(options)) checkSetting(path, value);
  // A page may have loaded a run from before the window was a setting.
  for (const name of ["window", "level"] as const) checkSetting(name, options[name]);
  for (const name of stageNames) checkSize(name, options[name]);
}

function checkSetting(path: string, value: unknown): void {
  const fault = settingRule(path.split(".").at(-1)!)?.(value);
  if (fault) throw new OptionError(`${path} must be ${fault.must}, got ${shown(value)}`);
}

function checkSize(name: StageName, options: CoarseOptions | FineOptions): void {
  const { size, depth } = options;
  const deepest = "discriminatorDepth" in options ? Math.max(depth, options.discriminatorDepth) : depth;
  if (size % 2 ** deepest !== 0)
    throw new OptionError(`${name}.size must be a multiple of ${2 ** deepest} for depth ${deepest}, got ${size}`);
  if ("scales" in options && options.scales > depth)
    throw new OptionError(`${name}.scales must be at most the depth ${depth}, got ${options.scales}`);
}

/** All settings with rules, by path: "kidney.width". */
function settingsOf(options: object, prefix = ""): [string, unknown][] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (elsewhere.has(name)) return [];
    const path = prefix + name;
    return typeof value === "object" && value !== null ? settingsOf(value as object, `${path}.`) : [[path, value]];
  });
}

/**
 * Changes one setting by its path, such as "masses.epochs" or "masses.augment.rotate"; `text` as typed. Throws OptionError for
 * a path that is not a setting or a text of another kind.
 */
export function setOption(options: RunOptions, path: string, text: string): void {
  const names = path.split(".");
  const last = names.pop()!;
  let at: Record<string, unknown> | undefined = options as unknown as Record<string, unknown>;
  for (const name of names) at = at && Object.hasOwn(at, name) ? (at[name] as Record<string, unknown>) : undefined;
  const old = at && typeof at === "object" && Object.hasOwn(at, last) ? at[last] : undefined;
  if (!at || old === undefined || typeof old === "object")
    throw new OptionError(
      `--set ${path}: must name a setting such as kidney.width or roi.margin; see run.json for all`,
    );
  at[last] = parse(path, text, old);
  checkSetting(path, at[last]);
}

function parse(path: string, text: string, old: unknown): unknown {
  if (typeof old === "boolean") {
    if (text !== "true" && text !== "false") throw new OptionError(`--set ${path} must be true or false, got ${text}`);
    return text === "true";
  }
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  if (typeof old === "number" && !path.endsWith("slicesPerEpoch"))
    throw new OptionError(`--set ${path} must be a number, got ${text}`);
  return text;
}
