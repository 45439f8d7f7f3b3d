// Models by onnxruntime and by wgrad, and what exportOnnx refuses.
import { afterAll, beforeAll, expect, test } from "vitest";
import * as w from "../../src/index.ts";
import { Rng, close, init, nn, tensor, type Tensor } from "../../src/index.ts";
import { exportOnnx } from "../../src/onnx/index.ts";
import { checkThrows } from "../check.ts";
import { parity, printParity, runOnnx, type Parity } from "./parity.ts";

beforeAll(() => init());
afterAll(() => close());

const rng = new Rng(5, "models");
const small = { inChannels: 2, classes: 3, width: 4, depth: 2, rng };
const image = [1, 2, 16, 12];

/** A model whose norms and running statistics are not at their start, in evaluation. */
function evaluated<T extends object>(model: T): T {
  for (const [name, t] of [...nn.namedParameters(model), ...nn.namedBuffers(model)]) {
    if (t.shape.length > 1) continue;
    const [low, high] = /running_var|weight/.test(name) ? [0.5, 1.5] : [-0.5, 0.5];
    w.assign(
      t,
      tensor(
        Float32Array.from({ length: t.size }, () => rng.range(low, high)),
        { shape: t.shape },
      ),
    );
  }
  nn.setTraining(model, false);
  return model;
}

interface Model {
  forward(...inputs: never[]): Tensor | Tensor[];
}

const models: [name: string, build: () => Model, shapes?: readonly (readonly number[])[]][] = [
  ["UNet", () => new nn.UNet(small)],
  ["UNet, nearest", () => new nn.UNet({ ...small, up: "nearest" })],
  ["ResUNet", () => new nn.ResUNet(small)],
  ["MSALDSUNet, all scales", () => new nn.MSALDSUNet(small)],
  ["MSALDSUNet, full resolution", () => nn.fullResolution(new nn.MSALDSUNet({ ...small, recompute: true }))],
  ["DeepResUNet", () => new nn.DeepResUNet(small)],
  ["Discriminator", () => new nn.Discriminator({ inChannels: 2, width: 4, depth: 2, rng })],
  ["AttentionGate", () => new nn.AttentionGate(2, 3, 4, { rng }), [image, [1, 3, 16, 12]]],
  [
    "layers in a row",
    () =>
      new nn.Sequential(
        new nn.Conv2d(2, 8, { kernelSize: 3, stride: 2, rng }),
        new nn.GroupNorm(2, 8),
        new nn.PReLU({ channels: 8 }),
        new nn.InstanceNorm(8, { affine: true }),
        new nn.SqueezeExcitation(8, { reduction: 4, bias: true, rng }),
        new nn.Dropout2d(0.5, { rng }),
        new nn.AvgPool2d({ kernelSize: 2 }),
        new nn.Upsample({ scale: 2, mode: "linear" }),
        new nn.GELU(),
        new nn.GlobalAvgPool(),
        new nn.Flatten(),
        new nn.LayerNorm(8),
        new nn.Linear(8, 4, { rng }),
        new nn.Softmax(),
      ),
  ],
  [
    "layers in a row, 3-D",
    () =>
      new nn.Sequential(
        new nn.Conv3d(2, 4, { kernelSize: 3, padding: 1, dilation: 1, groups: 2, rng }),
        new nn.BatchNorm3d(4),
        new nn.SiLU(),
        new nn.MaxPool3d({ kernelSize: 2 }),
        new nn.ConvTranspose3d(4, 2, { kernelSize: 2, stride: 2, rng }),
        new nn.Softplus(),
      ),
    [[1, 2, 4, 6, 8]],
  ],
];

const found: (Parity & { name: string })[] = [];

/**
 * Of the largest value: some 20 layers, each of which adds in another order and differs by a rounding or two, 2^-24; those
 * of different layers are independent and seldom add up.
 */
const TOLERANCE = 2e-6;

test.each(models.map((row) => [row[0], row] as const))("%s", async (name, [, build, shapes = [image]]) => {
  const model = evaluated(build());
  const forward = (...inputs: Tensor[]) => model.forward(...(inputs as never[]));
  const result = await parity({ name, forward, shapes, options: { weights: model } });
  found.push({ name, ...result });
  expect(result.largest).toBeGreaterThan(1e-3);
  expect(result.difference).toBeLessThanOrEqual(TOLERANCE * result.largest);
});

afterAll(() => printParity(found));

test("weights have their names of the state, once each, and the file says what it is", async () => {
  const model = evaluated(new nn.ResUNet({ ...small, depth: 1 }));
  const bytes = await exportOnnx(model, { image: { shape: image } }, { metadata: { license: "MIT" } });
  const text = Buffer.from(bytes).toString("latin1");
  for (const name of Object.keys(await nn.stateDict(model))) expect(text.includes(name), name).toBe(true);
  for (const word of ["wgrad", "license", "batch", "image", "output"]) expect(text.includes(word), word).toBe(true);
  const again = await exportOnnx(model, { image: { shape: image } }, { metadata: { license: "MIT" } });
  expect(Buffer.compare(again, bytes)).toBe(0);
});

test("a model as it is, with an input size that stays", async () => {
  const model = evaluated(new nn.MSALDSUNet(small));
  const bytes = await exportOnnx(model, { image: { shape: image } }, { dynamicBatch: false });
  const { output0, output1 } = await runOnnx(bytes, {
    image: { shape: image, dtype: "f32", data: new Float32Array(2 * 16 * 12) },
  });
  expect([output0.shape, output1.shape]).toEqual([
    [1, 3, 16, 12],
    [1, 3, 16, 12],
  ]);
});

test("exporting changes nothing", async () => {
  const model = evaluated(new nn.UNet(small));
  const before = await nn.stateDict(model);
  await exportOnnx(model, { x: { shape: image } });
  expect(await nn.stateDict(model)).toEqual(before);
});

test("what has no ONNX form is named", async () => {
  const shape = [2, 3, 4, 5];
  const refused = (forward: (x: Tensor) => Tensor, message: string | RegExp) =>
    checkThrows(() => exportOnnx(forward, { x: { shape } }), message);
  const without = "has no ONNX form; leave it out of what is exported";
  await refused((x) => w.add(x, w.rand([5], new Rng(1))), `exportOnnx: random ${without}`);
  await refused(
    (x) => w.crossEntropy(x, w.zeros([x.shape[0], 4, 5], { dtype: "i32" })),
    /^exportOnnx: .* has no ONNX form/,
  );
  await refused(
    (x) => w.mul(x, 1 / x.shape[0]),
    "exportOnnx: constant depends on the size of the batch; export with dynamicBatch: false",
  );
  await refused(
    (x) => w.variance(x, { dims: 0 }),
    "exportOnnx: variance depends on the size of the batch; export with dynamicBatch: false",
  );
  await refused(
    (x) => w.add(x, w.ones(x.shape)),
    "exportOnnx: a constant has a size of the batch; export with dynamicBatch: false",
  );
  await refused((x) => {
    w.assign(x, w.relu(x));
    return x;
  }, "exportOnnx: assign changes a tensor in place, which ONNX cannot");
});

test("a model in training mode, f16 and inputs without names are refused", async () => {
  const model = new nn.UNet(small);
  const training = "is in training mode; call nn.setTraining(model, false) first";
  await checkThrows(() => exportOnnx(model, { x: { shape: image } }), `exportOnnx: encoder.0.bn1 ${training}`);
  await checkThrows(
    () => exportOnnx(model, {}),
    "exportOnnx: inputs must name at least one, such as { image: { shape: [1, 3, 128, 128] } }",
  );
  await checkThrows(
    () => exportOnnx((x) => x, { x: { shape: [2], dtype: "f16" } }),
    "exportOnnx: x must be f32; networks are exported in f32",
  );
  await checkThrows(
    () => exportOnnx((x) => w.batchNorm(x, null, null, { training: true }), { x: { shape: image } }),
    "exportOnnx: batchNorm is in training mode; call nn.setTraining(model, false), or pass training: false",
  );
});

test("sizes that the batch changes are exported as they are where it is fixed", async () => {
  const forward = (x: Tensor) => w.mul(w.add(x, w.ones(x.shape)), 1 / x.shape[0]);
  const result = await parity({ name: "fixed", forward, shapes: [[3, 4]], options: { dynamicBatch: false } });
  expect(result.difference).toBeLessThanOrEqual(1e-6);
});
