// Named settings of a run, as data. Every field can be changed on the command line; run.json records what was used.

import { OptionError } from "../errors.ts";
import { augmentDefaults, augmentNone, augmentRelease, type AugmentOptions } from "./augment.ts";
import type { CoarseOptions, FineOptions, RoiSettings, RunOptions, StageName, TrainOptions } from "./options.ts";
import { sliceDefaults } from "./slices.ts";

/** A preset: its settings, and what it is for. */
export interface Preset {
  readonly about: string;
  readonly options: RunOptions;
}

/** The paper's training of every network (section 3.3); epochs go over the slices that show the organ, and as many others. */
const training: TrainOptions = {
  size: 128,
  channels: 3,
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
  restartEvery: 20,
  slicesPerEpoch: "organ",
  foreground: 0.75,
  validationSlices: 0,
  precision: "f32",
  recompute: false,
  checkpointEvery: 50,
  augment: augmentDefaults,
};

const coarse: CoarseOptions = { ...training, model: "resunet" };

const fine: FineOptions = {
  ...training,
  scales: 4,
  discriminators: "all",
  discriminatorWidth: 32,
  discriminatorDepth: 4,
  discriminatorDropout: 0.3,
  discriminatorLr: 1e-4,
  difficulty: true,
  power: 2,
  detachDifficulty: true,
  legacyScalarCE: false,
  adversarialWeight: 0.05,
  discriminatorInput: "softmax",
  forward: "shared",
  sharedLastDiscriminator: false,
  predictedRois: 0.5,
  start: "fresh",
};

/** What the authors' published code does where it differs from their text. */
const release: Partial<FineOptions> = {
  power: 4,
  detachDifficulty: false,
  legacyScalarCE: true,
  discriminatorInput: "logits",
  forward: "fresh",
  sharedLastDiscriminator: true,
};

const roi: RoiSettings = { from: "coarse", margin: 10 / 128, neighbours: 2, minArea: 0, jitter: 0.1 };

interface Changes {
  run?: Partial<Omit<RunOptions, StageName | "roi">>;
  roi?: Partial<RoiSettings>;
  every?: Partial<TrainOptions>;
  coarse?: Partial<CoarseOptions>;
  fine?: Partial<FineOptions>;
  kidney?: Partial<FineOptions>;
  masses?: Partial<FineOptions>;
  tumor?: Partial<FineOptions>;
}

/** The paper's settings with changes to the run, to every network, to the coarse one and to the fine ones. */
function settings({ run = {}, roi: r = {}, every = {}, coarse: c = {}, fine: f = {}, ...stages }: Changes): RunOptions {
  const stage = { ...fine, ...every, ...f };
  return {
    fractions: [8, 1, 1],
    splitSeed: 0,
    overfit: false,
    seed: 0,
    sourceSize: 256,
    window: sliceDefaults.window,
    level: sliceDefaults.level,
    keepLargest: 2,
    coarseMasks: "regions",
    tumorRule: "voxels",
    ...run,
    roi: { ...roi, ...r },
    coarse: { ...coarse, ...every, ...c },
    kidney: { ...stage, ...stages.kidney },
    masses: { ...stage, ...stages.masses },
    // The tumor is looked for in regions of the masses network, which come closer to the reference than coarse ones.
    tumor: { ...stage, predictedRois: 0, ...stages.tumor },
  };
}

/** Bodies do not lie upside down in whole slices and kidney regions; a mass in its region may lie in any way. */
const upright: AugmentOptions = { ...augmentDefaults, mirrorVertical: 0 };
const anyWay: AugmentOptions = { ...augmentDefaults, rotate: 1 };

/** What lets small networks learn in a few hundred steps: PyTorch's initialisation, the prior, a high rate that falls to 0. */
const quick: Partial<TrainOptions> = {
  channels: 1,
  width: 8,
  dropout: 0,
  init: "pytorch",
  prior: true,
  batch: 4,
  lr: 5e-3,
  schedule: "cosine",
  foreground: 0.75,
  augment: upright,
};

/** Small networks overlook whole masses, two of them seldom the same, and the tumor network finds parts of lesions. */
const joined: Partial<RunOptions> = { coarseMasks: "join", tumorRule: "lesions" };

const quickFine: Partial<FineOptions> = {
  start: "before",
  discriminatorWidth: 4,
  discriminatorDepth: 3,
  discriminatorDropout: 0,
  discriminatorLr: 1e-3,
};

/** The presets by name. */
export const presets: Readonly<Record<string, Preset>> = {
  phantom: {
    about: "the built-in synthetic phantom with networks small enough for a CPU; minutes",
    options: settings({
      run: { ...joined, sourceSize: 128, fractions: [8, 2, 2] },
      every: { ...quick, size: 64, depth: 3, epochs: 7, slicesPerEpoch: 120, validationSlices: 64 },
      fine: { ...quickFine, size: 32, scales: 2, discriminatorDepth: 2 },
      kidney: { size: 48, epochs: 4 },
      masses: { epochs: 16, augment: anyWay },
      tumor: { epochs: 8, augment: anyWay },
    }),
  },
  demo: {
    about: "the whole cascade with small networks on real data; under twenty minutes on four CPU cores",
    options: settings({
      run: joined,
      every: { ...quick, epochs: 8, slicesPerEpoch: 250, validationSlices: 64 },
      coarse: { epochs: 9, slicesPerEpoch: 400 },
      fine: { ...quickFine, size: 64 },
      kidney: { size: 96, epochs: 4, slicesPerEpoch: 200 },
      masses: { augment: anyWay },
      tumor: { epochs: 4, augment: anyWay },
    }),
  },
  fast: {
    about: "the whole cascade, trained longer; under ninety minutes on four CPU cores",
    options: settings({
      run: joined,
      every: { ...quick, epochs: 8, slicesPerEpoch: 500, validationSlices: 128 },
      coarse: { epochs: 10 },
      fine: { ...quickFine, size: 64 },
      kidney: { size: 96, epochs: 6, slicesPerEpoch: 400 },
      masses: { augment: anyWay },
      tumor: { epochs: 5, slicesPerEpoch: 400, augment: anyWay },
    }),
  },
  overfit: {
    about: "trains and scores on the same cases: shows that the networks learn, says nothing about new patients",
    options: settings({
      run: { overfit: true },
      every: { ...quick, lr: 1e-2, slicesPerEpoch: "all", epochs: 30, batch: 3, augment: augmentNone },
      fine: { ...quickFine, size: 96 },
    }),
  },
  msalds: {
    about: "the paper's method at full size by the defended reading of its text; needs a GPU",
    options: settings({}),
  },
  "msalds-paper": {
    about: "the paper to the letter: a tenth of the learning rate after every epoch, which ends training early",
    options: settings({ every: { gamma: 0.1 } }),
  },
  "msalds-release": {
    about: "as the authors' published code: power 4, scalar cross entropy, raw logits for the discriminators",
    options: settings({ every: { augment: augmentRelease }, fine: release }),
  },
};

/** The settings of a preset. Throws OptionError for an unknown name. */
export function presetOptions(name: string): RunOptions {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (!preset) throw new OptionError(`--preset must be one of ${Object.keys(presets).join(", ")}; got ${name}`);
  return structuredClone(preset.options);
}
