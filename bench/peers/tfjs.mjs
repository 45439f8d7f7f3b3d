// TensorFlow.js as a peer: node bench/peers/tfjs.mjs webgpu|wasm. Requests and answers as in shared.mjs. Axes are in
// tf.js' own order, NHWC.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { faults, open, watch } from "./gpu.mjs";
import { batchOf, keepStdoutForAnswers, permute, sampler, serve, sizeOf, trained, uniform } from "./shared.mjs";

keepStdoutForAnswers();
const require = createRequire(import.meta.url);
const backend = process.argv[2] ?? "webgpu";
const onGpu = backend === "webgpu";

const adapter = onGpu ? await open() : "cpu, 1 thread"; // Node's threads are off in tf.js
const tf = require("@tensorflow/tfjs");
if (onGpu) require("@tensorflow/tfjs-backend-webgpu");
else {
  const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
  const main = require.resolve("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(join(dirname(dirname(main)), "wasm-out") + "/");
}
await tf.setBackend(backend);
await tf.ready();
if (tf.getBackend() !== backend) throw new Error(`the backend is ${tf.getBackend()}, not ${backend}`);
if (onGpu) watch(tf.backend().device);

/** Resolves when the GPU is done. Kernels of Wasm end with their call. */
async function wait() {
  if (!onGpu) return;
  const b = tf.backend();
  if (b.commandEncoder) {
    b.endComputePassEncoder(); // submitting with a pass open is refused
    b.submitQueue();
  }
  await b.device.queue.onSubmittedWorkDone();
}

/** A tensor of numbers in NHWC order from a name and its NCHW shape; filters, OIHW, become HWIO. */
function made(name, shape, order) {
  const values = uniform(name, sizeOf(shape));
  if (!order) return tf.tensor(values, shape);
  return tf.tensor(
    permute(values, shape, order),
    order.map((axis) => shape[axis]),
  );
}
const NHWC = [0, 2, 3, 1];
const HWIO = [2, 3, 1, 0];

function convolution({ part, x: shape, cout, dilation }) {
  const [n, cin, ...size] = shape;
  const x = made("x", shape, NHWC);
  const w = made("w", [cout, cin, 3, 3], HWIO);
  const dy = made("dy", [n, cout, ...size], NHWC);
  const attributes = { strides: [1, 1], pad: "same", dataFormat: "NHWC" };
  const kernel = (name, inputs, more) => tf.engine().runKernel(name, inputs, { ...attributes, ...more });
  const forward = (x, w) => tf.conv2d(x, w, 1, "same", "NHWC", dilation);
  if (part === "forward") return () => [forward(x, w)];
  // tf.js has no gradient of dilated convolutions: tf.grad says so.
  if (dilation > 1)
    return () => [part === "dx" ? tf.grad((x) => forward(x, w))(x, dy) : tf.grad((w) => forward(x, w))(w, dy)];
  return part === "dx"
    ? () => [kernel("Conv2DBackpropInput", { dy, filter: w }, { inputShape: x.shape })]
    : () => [kernel("Conv2DBackpropFilter", { x, dy }, { filterShape: w.shape })];
}

function batchNorm(x, scale, offset) {
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  return tf.batchNorm(x, mean, variance, offset, scale, 1e-5);
}

function normalisation({ part, x: shape }) {
  const inputs = [made("x", shape, NHWC), made("gamma", [shape[1]]), made("beta", [shape[1]])];
  const dy = made("dy", shape, NHWC);
  if (part === "forward") return () => [batchNorm(...inputs)];
  return () => {
    const { value, grads } = tf.valueAndGrads(batchNorm)(inputs, dy);
    return [value, ...grads];
  };
}

function prepare(request) {
  const run = request.kind === "conv" ? convolution(request) : normalisation(request);
  const compute = () => tf.tidy(run);
  const release = (outputs) => tf.dispose(outputs);
  const outputs = async () => {
    const made = compute();
    const values = [];
    for (const t of made) values.push(await t.data());
    release(made);
    return values;
  };
  // Wasm has worked when the call ends, and its heap is small: nothing is held there.
  const computed = onGpu ? compute : () => (release(compute()), []);
  return { sample: sampler({ compute: computed, wait, release }), outputs };
}

/** A 1x1 or 3x3 convolution whose gradients are convolutions themselves: the Wasm backend has no kernel for dw. */
const convWithGradients = tf.customGrad((x, w, save) => {
  save([x, w]);
  const backward = (dy, [x, w]) => {
    const flipped = tf.transpose(w.shape[0] > 1 ? tf.reverse(w, [0, 1]) : w, [0, 1, 3, 2]);
    return [tf.conv2d(dy, flipped, 1, "same"), filterGradient(x, dy, w.shape)];
  };
  return { value: tf.conv2d(x, w, 1, "same"), gradFunc: backward };
});

function filterGradient(x, dy, shape) {
  const [k, , cin, cout] = shape;
  if (k === 1) return tf.matMul(x.reshape([-1, cin]), dy.reshape([-1, cout]), true, false).reshape(shape);
  const half = k >> 1;
  const padded = tf.pad(tf.transpose(x, [3, 1, 2, 0]), [
    [0, 0],
    [half, half],
    [half, half],
    [0, 0],
  ]);
  return tf.transpose(tf.conv2d(padded, tf.transpose(dy, [1, 2, 0, 3]), 1, "valid"), [1, 2, 0, 3]);
}

/** 2x2, stride 2, as a product of matrices: its gradients are products too. */
function upsampleByMatrices(x, w) {
  const [n, height, width, cin] = x.shape;
  const cout = w.shape[2];
  const matrix = tf.transpose(w, [3, 0, 1, 2]).reshape([cin, 4 * cout]);
  return tf
    .matMul(x.reshape([-1, cin]), matrix)
    .reshape([n, height, width, 2, 2, cout])
    .transpose([0, 1, 3, 2, 4, 5])
    .reshape([n, 2 * height, 2 * width, cout]);
}

function upsampleNatively(x, w) {
  const [n, height, width] = x.shape;
  return tf.conv2dTranspose(x, w, [n, 2 * height, 2 * width, w.shape[2]], 2, "same");
}

const conv = onGpu ? (x, w) => tf.conv2d(x, w, 1, "same") : convWithGradients;
const upsample = onGpu ? upsampleNatively : upsampleByMatrices;

/** The Res-UNet of cases.ts; `p` holds its variables by name. */
function forward(p, x, levels) {
  const norm = (x, name) => batchNorm(x, p[`${name}.weight`], p[`${name}.bias`]);
  const block = (x, name) => {
    const h = tf.relu(norm(conv(x, p[`${name}.conv1.weight`]), `${name}.bn1`));
    const y = norm(conv(h, p[`${name}.conv2.weight`]), `${name}.bn2`);
    return tf.relu(y.add(norm(conv(x, p[`${name}.shortcut.0.weight`]), `${name}.shortcut.1`)));
  };
  const skips = [];
  let y = block(x, "encoder.0");
  for (let i = 1; i <= levels; i++) {
    skips.push(y);
    y = block(tf.maxPool(y, 2, 2, "valid"), `encoder.${i}`);
  }
  for (let i = 0; i < levels; i++) {
    const up = upsample(y, p[`up.${i}.weight`]).add(p[`up.${i}.bias`]);
    y = block(tf.concat([up, skips.pop()], 3), `decoder.${i}`);
  }
  return conv(y, p["head.weight"]).add(p["head.bias"]);
}

function bceAndDice(logits, t, smooth) {
  const p = logits.sigmoid();
  const bce = logits.relu().sub(logits.mul(t)).add(logits.abs().neg().exp().log1p()).mean();
  const overlap = p.mul(t).sum([1, 2, 3]);
  const total = p.sum([1, 2, 3]).add(t.sum([1, 2, 3]));
  return bce.add(tf.sub(1, overlap.mul(2).add(smooth).div(total.add(smooth)).mean()));
}

async function train({ steps, model }) {
  const p = {};
  for (const { name, shape, bound, value } of model.parameters) {
    const values = uniform(name, sizeOf(shape), bound, value);
    p[name] =
      shape.length === 4 // OIHW -> HWIO; IOHW of the transposed convolution -> HWOI
        ? tf.variable(
            tf.tensor(
              permute(values, shape, HWIO),
              HWIO.map((axis) => shape[axis]),
            ),
          )
        : tf.variable(tf.tensor(values, shape));
  }
  const { x, t } = batchOf(model); // one channel: NCHW is NHWC
  const images = tf.tensor(x, [model.batch, model.size, model.size, 1]);
  const labels = tf.tensor(t, images.shape);
  const adam = tf.train.adam(model.lr, 0.9, 0.999, 1e-8);
  const result = await trained(steps, async () => {
    const loss = adam.minimize(() => bceAndDice(forward(p, images, model.levels), labels, model.smooth), true);
    const [value] = await loss.data();
    loss.dispose();
    await wait();
    return value;
  });
  adam.dispose();
  tf.dispose([p, images, labels]);
  return result;
}

serve({ info: { version: `tf.js ${tf.version.tfjs}`, adapter }, prepare, train, faults });
