// Layers pass their settings on, and blocks are the compositions they claim to be. The operations have tests of their
// own.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { Rng, backward, close, init, nn, noGrad, ones, step, tensor, type Tensor } from "../../src/index.ts";
import { checkThrows, download, expectClose, ulps } from "../check.ts";

beforeAll(() => init());
afterAll(() => close());

const draw = new Rng(8, "layers");
const random = (...shape: number[]) =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => draw.normal()),
    { shape },
  );
const rng = () => new Rng(2, "weights");
const image = [2, 4, 6, 8];
const volume = [1, 4, 4, 6, 4];
const pooling = { kernelSize: 2, stride: 2 };

// Layer, the operation it stands for, and the input.
const layers: [string, () => nn.Layer, (x: Tensor, layer: any) => Tensor, number[]][] = [
  [
    "Conv1d",
    () => new nn.Conv1d(4, 6, { kernelSize: 3, stride: 2, rng: rng() }),
    (x, l) => w.conv1d(x, l.weight, l.bias, { stride: 2 }),
    [2, 4, 9],
  ],
  [
    "Conv2d",
    () => new nn.Conv2d(4, 6, { kernelSize: [3, 1], padding: [1, 0], groups: 2, rng: rng() }),
    (x, l) => w.conv2d(x, l.weight, l.bias, { padding: [1, 0], groups: 2 }),
    image,
  ],
  [
    "Conv2d, dilated, without bias",
    () => new nn.Conv2d(4, 2, { kernelSize: 3, padding: 2, dilation: 2, bias: false, rng: rng() }),
    (x, l) => w.conv2d(x, l.weight, null, { padding: 2, dilation: 2 }),
    image,
  ],
  [
    "Conv3d",
    () => new nn.Conv3d(4, 2, { kernelSize: 3, padding: 1, rng: rng() }),
    (x, l) => w.conv3d(x, l.weight, l.bias, { padding: 1 }),
    volume,
  ],
  [
    "ConvTranspose2d",
    () => new nn.ConvTranspose2d(4, 2, { kernelSize: 3, stride: 2, padding: 1, outputPadding: 1, rng: rng() }),
    (x, l) => w.convTranspose2d(x, l.weight, l.bias, { stride: 2, padding: 1, outputPadding: 1 }),
    image,
  ],
  [
    "ConvTranspose3d",
    () => new nn.ConvTranspose3d(4, 2, { kernelSize: 2, stride: 2, rng: rng() }),
    (x, l) => w.convTranspose3d(x, l.weight, l.bias, { stride: 2 }),
    volume,
  ],
  ["Linear", () => new nn.Linear(8, 3, { rng: rng() }), (x, l) => w.linear(x, l.weight, l.bias), image],
  [
    "GroupNorm",
    () => new nn.GroupNorm(2, 4, { eps: 0.1 }),
    (x, l) => w.groupNorm(x, 2, l.weight, l.bias, { eps: 0.1 }),
    image,
  ],
  [
    "InstanceNorm",
    () => new nn.InstanceNorm2d(4, { eps: 0.1 }),
    (x) => w.instanceNorm(x, null, null, { eps: 0.1 }),
    image,
  ],
  [
    "LayerNorm",
    () => new nn.LayerNorm([6, 8], { eps: 0.1 }),
    (x, l) => w.layerNorm(x, [6, 8], l.weight, l.bias, { eps: 0.1 }),
    image,
  ],
  ["MaxPool2d", () => new nn.MaxPool2d(pooling), (x) => w.maxPool2d(x, pooling), image],
  ["MaxPool3d", () => new nn.MaxPool3d(pooling), (x) => w.maxPool3d(x, pooling), volume],
  ["AvgPool2d", () => new nn.AvgPool2d(pooling), (x) => w.avgPool2d(x, pooling), image],
  ["AvgPool3d", () => new nn.AvgPool3d(pooling), (x) => w.avgPool3d(x, pooling), volume],
  ["GlobalAvgPool", () => new nn.GlobalAvgPool(), (x) => w.globalAvgPool(x), image],
  [
    "Upsample",
    () => new nn.Upsample({ scale: 2, mode: "linear" }),
    (x) => w.interpolate(x, { scale: 2, mode: "linear" }),
    image,
  ],
  ["Flatten", () => new nn.Flatten(), (x) => w.reshape(x, [2, 192]), image],
  ["ReLU", () => new nn.ReLU(), (x) => w.relu(x), image],
  ["LeakyReLU", () => new nn.LeakyReLU({ slope: 0.2 }), (x) => w.leakyRelu(x, 0.2), image],
  ["PReLU", () => new nn.PReLU({ channels: 4, initial: 0.3 }), (x) => w.leakyRelu(x, 0.3), image],
  ["ELU", () => new nn.ELU({ alpha: 0.5 }), (x) => w.elu(x, 0.5), image],
  ["GELU", () => new nn.GELU({ approximate: "tanh" }), (x) => w.gelu(x, { approximate: "tanh" }), image],
  ["SiLU", () => new nn.SiLU(), (x) => w.silu(x), image],
  ["Sigmoid", () => new nn.Sigmoid(), (x) => w.sigmoid(x), image],
  ["Tanh", () => new nn.Tanh(), (x) => w.tanh(x), image],
  ["Softplus", () => new nn.Softplus(), (x) => w.softplus(x), image],
  ["Softmax", () => new nn.Softmax(), (x) => w.softmax(x, 1), image],
  ["Identity", () => new nn.Identity(), (x) => x, image],
  [
    "SqueezeExcitation",
    () => new nn.SqueezeExcitation(4, { reduction: 2, rng: rng() }),
    (x, { fc: [down, , up] }) => w.squeezeExcitation(x, down.weight, null, up.weight, null),
    image,
  ],
  ["Sequential", () => new nn.Sequential(new nn.ReLU(), new nn.Sigmoid()), (x) => w.sigmoid(w.relu(x)), image],
];

test.each(layers)("%s", async (name, build, op, shape) => {
  const layer = build();
  const x = random(...shape);
  const [y, expected] = await step(() => [layer.forward(x), op(x, layer)]);
  expectClose(name, await download(y), await download(expected), ulps(2)); // the same kernels, but PReLU and leakyRelu
});

test("BatchNorm follows the batch in training and its running statistics after", async () => {
  const layer = new nn.BatchNorm2d(4, { momentum: 0.5 });
  const x = w.add(random(...image), 3);
  const trained = await step(() => layer.forward(x, "relu"));
  const [mean, variance] = await step(() => [
    w.mean(x, { dims: [0, 2, 3] }),
    w.variance(x, { dims: [0, 2, 3], correction: 0 }),
  ]);
  const [rm, rv, m, v] = await Promise.all([layer.runningMean, layer.runningVar, mean, variance].map((t) => t.read()));
  const unbiased = 96 / 95; // the running variance divides by n - 1
  expectClose("running mean", { shape: [4], data: rm }, { shape: [4], data: m.map((value) => 0.5 * value) }, ulps(8));
  expectClose(
    "running variance",
    { shape: [4], data: rv },
    { shape: [4], data: v.map((value) => 0.5 + 0.5 * value * unbiased) },
    ulps(8),
  );
  expect(Math.min(...(await trained.read()))).toBe(0);
  nn.setTraining(layer, false);
  const evaluated = await step(() => layer.forward(x));
  const expected = await step(() =>
    w.batchNorm(x, layer.weight, layer.bias, {
      runningMean: layer.runningMean,
      runningVar: layer.runningVar,
      training: false,
    }),
  );
  expectClose("evaluation", await download(evaluated), await download(expected), ulps(0));
});

test("Dropout acts in training only, Dropout2d and Dropout3d on whole channels", async () => {
  const x = ones([4, 8, 3, 5]);
  const layer = new nn.Dropout2d(0.5, { rng: rng() });
  const y = await layer.forward(x).read();
  const planes = Array.from({ length: 32 }, (_, k) => new Set(y.slice(15 * k, 15 * k + 15)));
  expect(planes.every((plane) => plane.size === 1)).toBe(true);
  expect(new Set(planes.map((plane) => [...plane][0]))).toEqual(new Set([0, 2]));
  nn.setTraining(layer, false);
  expect(layer.forward(x)).toBe(x);
  const volumes = await new nn.Dropout3d(0.5, { rng: rng() }).forward(ones([4, 8, 3, 1, 5])).read();
  expect(volumes).toEqual(y);
  const shared = rng();
  const [a, b] = [new nn.Dropout(0.5, { rng: shared }), new nn.Dropout(0.5, { rng: shared })];
  expect(await a.forward(x).read()).not.toEqual(await b.forward(x).read()); // each has a sequence of its own
});

describe("blocks are their compositions", () => {
  /** Batch normalisation by the batch, without running statistics. */
  const norm = (x: Tensor, bn: nn.BatchNorm) => w.batchNorm(x, bn.weight, bn.bias, { training: true });
  const conv = (x: Tensor, c: nn.Conv2d) => w.conv2d(x, c.weight, c.bias, c.settings);
  const through = (x: Tensor, s: nn.Sequential) => norm(conv(x, s.layers[0] as nn.Conv2d), s.layers[1] as nn.BatchNorm);
  const g = random(...image);

  const blocks: [string, () => nn.Layer, (x: Tensor, block: any) => Tensor][] = [
    [
      "DoubleConv",
      () => new nn.DoubleConv(4, 6, { rng: rng() }),
      (x, b) => w.relu(norm(conv(w.relu(norm(conv(x, b.conv1), b.bn1)), b.conv2), b.bn2)),
    ],
    [
      "ResidualBlock",
      () => new nn.ResidualBlock(4, 6, { rng: rng() }),
      (x, b) =>
        w.relu(w.add(norm(conv(w.relu(norm(conv(x, b.conv1), b.bn1)), b.conv2), b.bn2), through(x, b.shortcut))),
    ],
    [
      "ResidualBlock with dropout, dilation and squeeze-excitation",
      () => new nn.ResidualBlock(4, 4, { dropout: 0.3, dilation: [2, 3], squeeze: 2, rng: rng() }),
      (x, b) => {
        const dropped = w.dropout2d(norm(conv(x, b.conv1), b.bn1), {
          p: 0.3,
          rng: new Rng(b.dropout.rng.seed, b.dropout.rng.stream),
        });
        return w.relu(w.add(b.se.forward(norm(conv(w.relu(dropped), b.conv2), b.bn2)), x));
      },
    ],
    [
      "PreActResidualBlock",
      () => new nn.PreActResidualBlock(4, 6, { stride: 2, rng: rng() }),
      (x, b) =>
        w.add(conv(w.relu(norm(conv(w.relu(norm(x, b.bn1)), b.conv1), b.bn2)), b.conv2), through(x, b.shortcut)),
    ],
    [
      "AttentionGate",
      () => {
        const gate = new nn.AttentionGate(4, 4, 3, { rng: rng() });
        return { gate, forward: (x: Tensor) => gate.forward(g, x) } as nn.Layer;
      },
      (x, { gate }) =>
        w.mul(x, w.sigmoid(through(w.relu(w.add(through(g, gate.W_g), through(x, gate.W_x))), gate.psi))),
    ],
  ];

  test.each(blocks)("%s", async (name, build, op) => {
    const block = build();
    const x = random(...image);
    const y = await step(() => {
      const out = block.forward(x);
      backward(w.sum(w.mul(out, out)));
      return out;
    });
    const expected = await step(() => noGrad(() => op(x, block)));
    // Fused and separate passes may round differently.
    expectClose(name, await download(y), await download(expected), ulps(8));
    for (const [parameter, t] of nn.namedParameters(block))
      expect(t.grad, `${name}: gradient of ${parameter}`).not.toBeNull();
  });
});

test("messages", () => {
  checkThrows(
    () => new nn.Conv2d(4, 6, { kernelSize: 3, groups: 4, rng: rng() }),
    "Conv2d: groups must divide the channels, got 4 to 6 channels in 4 groups",
  );
  checkThrows(
    () => new nn.Conv2d(0, 6, { kernelSize: 3, rng: rng() }),
    "Conv2d: groups must divide the channels, got 0 to 6 channels in 1 groups",
  );
  checkThrows(
    () => new nn.Conv2d(4, 6, { kernelSize: [3, 3, 3], rng: rng() }),
    "Conv2d: kernelSize must be one whole number of at least 1, or 2 of them, got [3, 3, 3]",
  );
});
