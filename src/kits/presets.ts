// Named settings of a run, as data. Every field can be changed on the command line; run.json records what was used.

import { OptionError } from "../errors.ts";
import { augmentDefaults, augmentNone, type AugmentOptions } from "./augment.ts";

/** The settings of one run of the coarse stage. */
export interface RunOptions {
  /** Rows and columns of a slice; a multiple of 2^depth. */
  size: number;
  /** Weights of train, val and test, by case. */
  fractions: [number, number, number];
  /** Train, validate and test on the same cases: a check that the network can learn, not a score. */
  overfit: boolean;
  model: "resunet" | "deep-resunet" | "unet";
  /** Channels of the first stage; each of the `depth` poolings doubles them. */
  width: number;
  depth: number;
  /** Probability of dropping a channel inside residual blocks. */
  dropout: number;
  /** "pytorch": its layers' defaults; "normal": convolutions from N(0, 0.02), as the paper's code. */
  init: "pytorch" | "normal";
  /** Start with the classes' frequencies in the training slices as the prediction: many fewer steps to the first kidney. */
  prior: boolean;
  epochs: number;
  batch: number;
  /** Learning rate of Adam in the first epoch. */
  lr: number;
  /** "step" multiplies the rate by `gamma` each epoch; "cosine" falls to 0 at the end; "constant" keeps it. */
  schedule: "step" | "cosine" | "constant";
  gamma: number;
  /** Training slices drawn per epoch; 0 takes all. */
  slicesPerEpoch: number;
  /** Share of the drawn slices that show a labelled organ, when slices are drawn; the rest are any slices. */
  foreground: number;
  /** Largest number of validation slices; 0 takes all. */
  validationSlices: number;
  augment: AugmentOptions;
  seed: number;
  /** Epochs between periodic checkpoints. The best and the last are always kept. */
  checkpointEvery: number;
  /** Connected components kept in a prediction, largest first; 0 keeps all. */
  keepLargest: number;
}

const paper: RunOptions = {
  size: 128,
  fractions: [8, 1, 1],
  overfit: false,
  model: "resunet",
  width: 64,
  depth: 4,
  dropout: 0.3,
  init: "normal",
  prior: false,
  epochs: 200,
  batch: 16,
  lr: 1e-4,
  schedule: "step",
  gamma: 0.96,
  slicesPerEpoch: 0,
  foreground: 0.5,
  validationSlices: 0,
  augment: augmentDefaults,
  seed: 0,
  checkpointEvery: 50,
  keepLargest: 2,
};

const mirrorOnly: AugmentOptions = { ...augmentDefaults, mirrorVertical: 0 };

/** A preset: its settings, and what it is for. */
export interface Preset {
  readonly about: string;
  readonly options: RunOptions;
}

/** What lets a small network learn in a few hundred steps: PyTorch's initialisation, the prior, a high rate that falls to 0. */
const quick: RunOptions = {
  ...paper,
  width: 8,
  dropout: 0,
  init: "pytorch",
  prior: true,
  batch: 4,
  lr: 1e-2,
  schedule: "cosine",
  augment: mirrorOnly,
  checkpointEvery: 5,
};

export const presets: Readonly<Record<string, Preset>> = {
  phantom: {
    about: "the built-in synthetic phantom with a network small enough for a CPU; minutes",
    options: { ...quick, size: 64, depth: 3, epochs: 5, slicesPerEpoch: 120, fractions: [8, 2, 2] },
  },
  demo: {
    about: "a small network on real data; under ten minutes on four CPU cores",
    options: { ...quick, epochs: 8, slicesPerEpoch: 400, validationSlices: 64 },
  },
  overfit: {
    about: "trains and scores on the same cases: shows that the network learns, says nothing about new patients",
    options: { ...quick, overfit: true, epochs: 30, batch: 3, augment: augmentNone, checkpointEvery: 50 },
  },
  paper: {
    about: "the coarse Res-UNet at the paper's size and length; needs a GPU",
    options: paper,
  },
};

/** The settings of a preset. Throws OptionError for an unknown name. */
export function presetOptions(name: string): RunOptions {
  const preset = presets[name];
  if (!preset) throw new OptionError(`--preset must be one of ${Object.keys(presets).join(", ")}; got ${name}`);
  return structuredClone(preset.options);
}

/** Throws OptionError naming the first setting out of its range. */
export function checkOptions(o: RunOptions): void {
  const whole = (name: keyof RunOptions, low: number, high: number) => {
    const value = o[name] as number;
    if (!Number.isInteger(value) || value < low || value > high)
      throw new OptionError(`--${dashed(name)} must be a whole number from ${low} to ${high}, got ${value}`);
  };
  const real = (name: keyof RunOptions, low: number, high: number) => {
    const value = o[name] as number;
    if (!(value >= low && value <= high))
      throw new OptionError(`--${dashed(name)} must be from ${low} to ${high}, got ${value}`);
  };
  whole("size", 16, 1024);
  whole("width", 1, 256);
  whole("depth", 1, 6);
  if (o.size % 2 ** o.depth !== 0)
    throw new OptionError(`--size must be a multiple of ${2 ** o.depth} for --depth ${o.depth}, got ${o.size}`);
  real("dropout", 0, 0.95);
  whole("epochs", 1, 100_000);
  whole("batch", 1, 1024);
  real("lr", 1e-9, 10);
  real("gamma", 1e-3, 1);
  whole("slicesPerEpoch", 0, 10_000_000);
  real("foreground", 0, 1);
  whole("validationSlices", 0, 10_000_000);
  whole("seed", 0, 0xffffffff);
  whole("checkpointEvery", 1, 100_000);
  whole("keepLargest", 0, 1000);
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}
