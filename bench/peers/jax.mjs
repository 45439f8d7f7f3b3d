// jax-js on WebGPU as a peer: node bench/peers/jax.mjs. Requests and answers as in shared.mjs. Each use of an array ends
// it unless it is taken as `.ref`.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { faults, open, watch } from "./gpu.mjs";
import { batchOf, keepStdoutForAnswers, sampler, serve, sizeOf, trained, uniform } from "./shared.mjs";

keepStdoutForAnswers();

// Its einsum maps an iterator, which Node can from version 22 on.
const iterator = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
iterator.map ??= function* (f) {
  let i = 0;
  for (const v of this) yield f(v, i++);
};
iterator.filter ??= function* (f) {
  let i = 0;
  for (const v of this) if (f(v, i++)) yield v;
};
iterator.toArray ??= function () {
  return [...this];
};

const adapter = await open();
const jax = await import("@jax-js/jax");
const { numpy: np, lax, nn, jit, vjp, valueAndGrad, blockUntilReady, devicePut } = jax;
await jax.init("webgpu");
jax.defaultDevice("webgpu");
const device = jax.getWebGPUDevice();
watch(device);

const put = (values, shape) => devicePut(np.array(values).reshape(shape), "webgpu");
const made = (name, shape) => put(uniform(name, sizeOf(shape)), shape);
const release = (outputs) => outputs.forEach((a) => a.dispose());

async function wait(outputs) {
  await blockUntilReady(outputs);
  await device.queue.onSubmittedWorkDone();
}

const conv = (x, w, padding = 1, dilation = 1) => {
  const pads = [padding, padding];
  return lax.convGeneralDilated(x, w, [1, 1], [pads, pads], { rhsDilation: [dilation, dilation] });
};

/** The gradient of one input; compiled, it does not compute the forward. */
async function convolution({ part, x: shape, cout, dilation }) {
  const [n, cin, ...size] = shape;
  const x = await made("x", shape);
  const w = await made("w", [cout, cin, 3, 3]);
  const dy = await made("dy", [n, cout, ...size]);
  const forward = (x, w) => conv(x, w, dilation, dilation);
  const pullBack = (f, at, dy) => {
    const [y, back] = vjp(f, [at]);
    y.dispose();
    const [gradient] = back(dy);
    back.dispose?.();
    return gradient;
  };
  if (part === "forward") return { run: jit((x, w) => [forward(x, w)]), inputs: [x, w] };
  const run =
    part === "dx"
      ? (dy, x, w) => [pullBack((x) => forward(x, w.ref), x, dy), w.dispose()].slice(0, 1)
      : (dy, x, w) => [pullBack((w) => forward(x.ref, w), w, dy), x.dispose()].slice(0, 1);
  return { run: jit(run), inputs: [dy, x, w] };
}

function batchNorm(x, gamma, beta) {
  const shape = [1, x.shape[1], 1, 1];
  const centred = x.ref.sub(np.mean(x, [0, 2, 3], { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), [0, 2, 3], { keepdims: true });
  return centred
    .div(np.sqrt(variance.add(1e-5)))
    .mul(gamma.reshape(shape))
    .add(beta.reshape(shape));
}

async function normalisation({ part, x: shape }) {
  const inputs = [await made("x", shape), await made("gamma", [shape[1]]), await made("beta", [shape[1]])];
  if (part === "forward") return { run: jit((...given) => [batchNorm(...given)]), inputs };
  const both = (dy, ...given) => {
    const [y, back] = vjp(batchNorm, given);
    return [y, ...back(dy)];
  };
  return { run: jit(both), inputs: [await made("dy", shape), ...inputs] };
}

async function prepare(request) {
  const { run, inputs } = await (request.kind === "conv" ? convolution(request) : normalisation(request));
  const compute = () => run(...inputs.map((a) => a.ref));
  const outputs = async () => {
    const values = [];
    for (const a of compute()) values.push(await a.data());
    return values;
  };
  return { sample: sampler({ compute, wait, release }), outputs };
}

function maxPool(x) {
  const [n, c, height, width] = x.shape;
  return np.max(x.reshape([n, c, height / 2, 2, width / 2, 2]), [3, 5]);
}

/** As a product: lax.convTranspose gives wrong values on this device in the version compared. */
function upsample(x, w, bias) {
  const [n, , height, width] = x.shape;
  const cout = w.shape[1];
  const y = np.einsum("nchw,coij->nohiwj", x, w).reshape([n, cout, 2 * height, 2 * width]);
  return y.add(bias.reshape([1, -1, 1, 1]));
}

/** The Res-UNet of cases.ts; every array of `p` is used once. */
function forward(p, x, levels) {
  const norm = (x, name) => batchNorm(x, p[`${name}.weight`], p[`${name}.bias`]);
  const block = (x, name) => {
    const h = nn.relu(norm(conv(x.ref, p[`${name}.conv1.weight`]), `${name}.bn1`));
    const y = norm(conv(h, p[`${name}.conv2.weight`]), `${name}.bn2`);
    return nn.relu(y.add(norm(conv(x, p[`${name}.shortcut.0.weight`], 0), `${name}.shortcut.1`)));
  };
  const skips = [];
  let y = block(x, "encoder.0");
  for (let i = 1; i <= levels; i++) {
    skips.push(y.ref);
    y = block(maxPool(y), `encoder.${i}`);
  }
  for (let i = 0; i < levels; i++) {
    const up = upsample(y, p[`up.${i}.weight`], p[`up.${i}.bias`]);
    y = block(np.concatenate([up, skips.pop()], 1), `decoder.${i}`);
  }
  return conv(y, p["head.weight"], 0).add(p["head.bias"].reshape([1, -1, 1, 1]));
}

function bceAndDice(logits, t, smooth) {
  const p = nn.sigmoid(logits.ref);
  const bce = np.mean(nn.softplus(logits.ref).sub(logits.mul(t.ref)));
  const overlap = np.sum(p.ref.mul(t.ref), [1, 2, 3]);
  const total = np.sum(p, [1, 2, 3]).add(np.sum(t, [1, 2, 3]));
  return bce.add(np.mean(overlap.mul(-2).sub(smooth).div(total.add(smooth))).add(1));
}

/** Forward, gradient and Adam in one compiled function: jax-js' fastest form. m, s: averages of gradients and squares. */
function compiledStep({ levels, lr, smooth, parameters }) {
  const lossAndGradient = valueAndGrad((p, x, t) => bceAndDice(forward(p, x, levels), t, smooth));
  return jit((p, m, s, correctM, correctS, x, t) => {
    const old = Object.fromEntries(parameters.map(({ name }) => [name, p[name].ref]));
    const [loss, gradients] = lossAndGradient(p, x, t);
    const next = { p: {}, m: {}, s: {} };
    for (const { name } of parameters) {
      const g = gradients[name];
      const mean = m[name].mul(0.9).add(g.ref.mul(0.1));
      const square = s[name].mul(0.999).add(np.square(g).mul(0.001));
      next.m[name] = mean.ref;
      next.s[name] = square.ref;
      const root = np.sqrt(square.mul(correctS.ref)).add(1e-8);
      next.p[name] = old[name].sub(mean.mul(correctM.ref).div(root).mul(lr));
    }
    correctM.dispose();
    correctS.dispose();
    return [loss, next.p, next.m, next.s];
  });
}

async function train({ steps, model }) {
  let [p, m, s] = [{}, {}, {}];
  for (const { name, shape, bound, value } of model.parameters) {
    p[name] = await put(uniform(name, sizeOf(shape), bound, value), shape);
    m[name] = await devicePut(np.zeros(shape), "webgpu");
    s[name] = await devicePut(np.zeros(shape), "webgpu");
  }
  const batch = batchOf(model);
  const shape = [model.batch, 1, model.size, model.size];
  const [x, t] = [await put(batch.x, shape), await put(batch.t, shape)];
  const step = compiledStep(model);
  const result = await trained(steps, async (i) => {
    const correctM = await put(new Float32Array([1 / (1 - 0.9 ** (i + 1))]), []);
    const correctS = await put(new Float32Array([1 / (1 - 0.999 ** (i + 1))]), []);
    let loss;
    [loss, p, m, s] = step(p, m, s, correctM, correctS, x.ref, t.ref);
    const [value] = await loss.data();
    await device.queue.onSubmittedWorkDone();
    return value;
  });
  release([x, t, ...[p, m, s].flatMap((group) => Object.values(group))]);
  return result;
}

const entry = createRequire(import.meta.url).resolve("@jax-js/jax");
const { version } = JSON.parse(readFileSync(join(dirname(dirname(entry)), "package.json"), "utf8"));
serve({ info: { version: `jax-js ${version}`, adapter }, prepare, train, faults });
