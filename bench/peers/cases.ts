// What is compared: the shapes of the cases, and the network of the training step. Requests carry them to the peers, so
// that they stand only here.

/** One case. x: [N, CIN, H, W], f32; convolutions are 3x3, stride 1, zero-padded to the same size. */
export interface PeerCase {
  readonly name: string;
  readonly kind: "conv" | "batch norm";
  readonly part: "forward" | "dx" | "dw" | "forward+backward";
  readonly x: readonly [n: number, channels: number, height: number, width: number];
  readonly cout: number;
  readonly dilation: number;
}

/** A tensor of the network in PyTorch's layout; its values are `value` plus uniform noise within `bound`. */
export interface PeerParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly value: number;
  readonly bound: number;
}

/** The network and the step: Adam on binary cross entropy plus Dice per sample. */
export interface PeerTraining {
  /** Poolings. */
  readonly levels: number;
  readonly channels: readonly number[];
  readonly batch: number;
  /** Pixels of a side. */
  readonly size: number;
  readonly lr: number;
  /** Added to numerator and denominator of the Dice. */
  readonly smooth: number;
  readonly parameters: readonly PeerParameter[];
}

const CONVOLUTIONS = [
  { name: "c2", x: [2, 32, 128, 128], cout: 32, dilation: 1 },
  { name: "c3", x: [2, 64, 64, 64], cout: 64, dilation: 1 },
  { name: "c4", x: [2, 128, 32, 32], cout: 128, dilation: 1 },
  { name: "c5", x: [2, 256, 16, 16], cout: 256, dilation: 1 },
  { name: "c6", x: [2, 256, 16, 16], cout: 256, dilation: 2 },
] as const;

/** All cases, in the order in which they run. */
export const CASES: readonly PeerCase[] = [
  ...CONVOLUTIONS.flatMap(({ name, ...shape }) =>
    (["forward", "dx", "dw"] as const).map((part): PeerCase => ({
      name: `conv ${name} ${part}`,
      kind: "conv",
      part,
      ...shape,
    })),
  ),
  ...(["forward", "forward+backward"] as const).map((part): PeerCase => ({
    ...{ name: `batch norm ${part}`, kind: "batch norm", part },
    ...{ x: [2, 32, 128, 128], cout: 32, dilation: 1 },
  })),
];

/** The Res-UNet of 2.03 M parameters: 128 x 128 x 1 -> 1, five resolutions, 16 to 256 channels. */
export const TRAINING: PeerTraining = training({ base: 16, levels: 4, batch: 2, size: 128, lr: 1e-4, smooth: 1 });

interface TrainingSettings extends Omit<PeerTraining, "channels" | "parameters"> {
  /** Channels of the first level; each further level doubles them. */
  readonly base: number;
}

/** The training step of a network of any size. */
export function training({ base, ...settings }: TrainingSettings): PeerTraining {
  const channels = Array.from({ length: settings.levels + 1 }, (_, i) => base * 2 ** i);
  const rising = channels.slice(0, -1).map((_, i) => settings.levels - 1 - i); // levels of the decoder, coarse first
  const parameters = [
    ...channels.flatMap((c, i) => block(`encoder.${i}`, i === 0 ? 1 : channels[i - 1], c)),
    ...rising.flatMap((level, i) => biased(`up.${i}`, [channels[level + 1], channels[level], 2, 2], channels[level])),
    ...rising.flatMap((level, i) => block(`decoder.${i}`, 2 * channels[level], channels[level])),
    ...biased("head", [1, base, 1, 1], 1),
  ];
  return { ...settings, channels, parameters };
}

/** The tensors of one residual block, named as those of nn.ResidualBlock. */
function block(name: string, cin: number, cout: number): PeerParameter[] {
  return [
    weight(`${name}.conv1.weight`, [cout, cin, 3, 3]),
    ...norm(`${name}.bn1`, cout),
    weight(`${name}.conv2.weight`, [cout, cout, 3, 3]),
    ...norm(`${name}.bn2`, cout),
    weight(`${name}.shortcut.0.weight`, [cout, cin, 1, 1]),
    ...norm(`${name}.shortcut.1`, cout),
  ];
}

function biased(name: string, shape: readonly number[], cout: number): PeerParameter[] {
  return [weight(`${name}.weight`, shape), { name: `${name}.bias`, shape: [cout], value: 0, bound: bound(shape) }];
}

function norm(name: string, channels: number): PeerParameter[] {
  return [
    { name: `${name}.weight`, shape: [channels], value: 1, bound: 0 },
    { name: `${name}.bias`, shape: [channels], value: 0, bound: 0 },
  ];
}

function weight(name: string, shape: readonly number[]): PeerParameter {
  return { name, shape, value: 0, bound: bound(shape) };
}

/** PyTorch's default: 1 / sqrt(fan in). */
function bound([, ...fan]: readonly number[]): number {
  return 1 / Math.sqrt(fan.reduce((a, b) => a * b));
}
