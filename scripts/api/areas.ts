// The pages of the API reference and what stands on each, by the file that declares it.

export interface Area {
  /** The page's file in docs/api. */
  readonly page: string;
  readonly title: string;
  readonly about: string;
  /** Paths from src/, the first area that matches takes a name. */
  readonly files: RegExp;
}

export const areas: readonly Area[] = [
  {
    page: "tensor.md",
    title: "Tensors, gradients and random numbers",
    about: "What a tensor is, how gradients are found, and where random numbers come from.",
    files: /^(tensor|shape|autograd|checkpoint|random)\.ts$/,
  },
  {
    page: "runtime.md",
    title: "The GPU, steps and errors",
    about: "Opening the GPU, the scope that owns memory, compiled steps, tuning, kernels of your own, errors.",
    files: /^(gpu\/.*|scope|compile|tune|errors|debug|kernels\/(precision|convTiles))(\.ts)?$/,
  },
  {
    page: "losses.md",
    title: "Losses",
    about: "Functions of a prediction and a target.",
    files: /^kernels\/loss\//,
  },
  {
    page: "operations.md",
    title: "Operations",
    about: "Functions of tensors. Each gives a new tensor; what needs a gradient gets one.",
    files: /^kernels\//,
  },
  {
    page: "models.md",
    title: "Models, blocks and adversarial losses",
    about: "In the namespace `nn`: networks, what they are built of, and the losses of MSALDS-UNet.",
    files: /^nn\/(models\/.*|adversarial|attentionGate|doubleConv|.*[rR]esidualBlock|squeezeExcitation)(\.ts)?$/,
  },
  {
    page: "modules.md",
    title: "Parameters, states, files and initial values",
    about: "In the namespace `nn`: what works on every model.",
    files: /^nn\/(module|checkpoint|frozen|init|initNormal|initPrior)\.ts$/,
  },
  {
    page: "optim.md",
    title: "Optimisers, gradient scaling and clipping",
    about: "In the namespace `optim`.",
    files: /^nn\/(optim\/.*|optim|gradScaler)(\.ts)?$/,
  },
  {
    page: "schedule.md",
    title: "Learning rates",
    about: "In the namespace `schedule`: functions of the epoch.",
    files: /^nn\/schedule\.ts$/,
  },
  {
    page: "exchange.md",
    title: "ONNX and TensorBoard",
    about: "From `wgrad/onnx` and `wgrad/tensorboard`: models as ONNX files, and event files.",
    files: /^(onnx|tensorboard)\//,
  },
  {
    page: "layers.md",
    title: "Layers",
    about: "In the namespace `nn`. A layer is any object with `forward`.",
    files: /^nn\//,
  },
  {
    page: "kits-scores.md",
    title: "Kidney application: scores and reports",
    about: "From `wgrad/kits`: agreement with the reference, distances, pictures, the report.",
    files: /^kits\/(metrics|surface|distance|evaluate|overlay|report)\.ts$/,
  },
  {
    page: "kits-data.md",
    title: "Kidney application: data",
    about: "From `wgrad/kits`: datasets, NIfTI, slices, sampling and augmentation.",
    files:
      /^kits\/(datasets\/.*|augment|batch|cache|cacheIndex|doctor|geometry|nifti.*|phantom|preprocess|resample|sample|split)(\.ts)?$/,
  },
  {
    page: "kits-method.md",
    title: "Kidney application: the cascade",
    about: "From `wgrad/kits`: settings, networks, training, prediction, and the run as a whole.",
    files: /^kits\//,
  },
];
