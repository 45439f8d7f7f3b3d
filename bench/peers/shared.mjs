// What the peers written in JavaScript have in common: numbers that every language makes alike, timing, and answering
// requests. A request is one line of JSON on stdin, its answer one line of JSON on stdout; the program ends with stdin.
//
//   { do: "case", case: PeerCase }             -> { name, ms, min, max, samples, repeats, norm }
//   { do: "train", steps, model: PeerTraining } -> { ms, first, times, losses, rss }
//
// `ms` is a median, `norm` the Euclidean norm of all outputs (the same for every layout of the axes), `first` the first
// step, `rss` the most memory this process has held, in MiB. What fails is answered by { error }.

import { createInterface } from "node:readline";

/** Sends what libraries print to stderr: stdout is for answers. */
export function keepStdoutForAnswers() {
  for (const method of ["log", "info", "warn", "debug"]) console[method] = console.error;
}

/** 32 bits from 32 bits, well mixed (Wellons, "lowbias32"). */
function mix(bits) {
  let x = bits;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** FNV-1a of an ASCII text. */
function seedOf(text) {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}

/** `count` numbers: `value` plus noise, uniform within `bound`, the same in every language for the same name. */
export function uniform(name, count, bound = 0.5, value = 0) {
  const seed = seedOf(name);
  return Float32Array.from({ length: count }, (_, i) => value + (mix((seed + i) | 0) / 2 ** 32 - 0.5) * 2 * bound);
}

/** The batch of the training step: a disc in each image, and noise over it. x, t: [N, 1, H, W]. */
export function batchOf({ batch, size }) {
  const x = uniform("x", batch * size * size, 1);
  const t = Float32Array.from(x, (_, i) => {
    const sample = Math.floor(i / (size * size));
    const dy = (Math.floor(i / size) % size) - size / 2 + 8 * sample;
    const dx = (i % size) - size / 2;
    return 16 * (dy * dy + dx * dx) < size * size ? 1 : 0;
  });
  return { x: x.map((v, i) => v + t[i]), t };
}

export const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

/** The values of a row-major tensor of four axes with its axes in another order. */
export function permute(data, shape, order) {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const [a, b, c, d] = order.map((axis) => shape[axis]);
  const [sa, sb, sc, sd] = order.map((axis) => strides[axis]);
  const out = new Float32Array(data.length);
  let at = 0;
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < c; k++) for (let l = 0; l < d; l++) out[at++] = data[i * sa + j * sb + k * sc + l * sd];
  return out;
}

const SAMPLE_MS = 30;
const SAMPLES = [5, 9]; // at least, and at most within the budget
const BUDGET_MS = 2000;
const OUTPUT_BYTES = 2 ** 31; // what the outputs of one sample may take together

const sorted = (values) => [...values].sort((a, b) => a - b);
export const median = (values) => sorted(values)[values.length >> 1];

/**
 * Times one case. `sample(n)` does the work n times, waits for all of it and gives the ms; it must hold every output
 * until then, or work that nobody asks for might be dropped. `bytes` of output per run bounds n.
 */
async function timed(sample, bytes) {
  await sample(1); // compiles
  const once = await sample(1);
  const repeats = Math.max(1, Math.min(Math.ceil(SAMPLE_MS / once), Math.floor(OUTPUT_BYTES / bytes)));
  if (repeats > 1) await sample(repeats); // its memory
  const times = [];
  const start = performance.now();
  while (times.length < SAMPLES[0] || (times.length < SAMPLES[1] && performance.now() - start < BUDGET_MS))
    times.push((await sample(repeats)) / repeats);
  return { ms: median(times), min: Math.min(...times), max: Math.max(...times), samples: times.length, repeats };
}

/** `sample` for `timed` from the parts that differ between libraries. */
export function sampler({ compute, wait, release }) {
  return async (repeats) => {
    const start = performance.now();
    const outputs = [];
    for (let i = 0; i < repeats; i++) outputs.push(...compute());
    await wait(outputs);
    const ms = performance.now() - start;
    release(outputs);
    return ms;
  };
}

/** Runs training steps; `once` does one, waits for it and gives its loss. The median is over all but the first two. */
export async function trained(steps, once) {
  const times = [];
  const losses = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    losses.push(await once(i));
    times.push(performance.now() - start);
  }
  const rss = Math.round(process.resourceUsage().maxRSS / 1024);
  return { ms: times.length > 2 ? median(times.slice(2)) : null, first: times[0], times, losses, rss };
}

function normOf(arrays) {
  let sum = 0;
  for (const values of arrays) for (const v of values) sum += v * v;
  return Math.sqrt(sum);
}

async function timedCase(request, prepared, prepare) {
  const { name } = request.case;
  if (!prepared.has(name)) {
    const { sample, outputs } = await prepare(request.case);
    const values = await outputs();
    prepared.set(name, { sample, norm: normOf(values), bytes: 4 * values.reduce((n, v) => n + v.length, 0) });
  }
  const { sample, norm, bytes } = prepared.get(name);
  return { name, ...(await timed(sample, bytes)), norm };
}

/**
 * Answers requests, one after another. `info` says what runs: { version, adapter }. `prepare(case)` gives
 * { sample, outputs }: outputs() are the values of one run on the host. `faults` holds messages of the GPU's errors: an
 * errored dispatch looks infinitely fast, so any makes the answer an error.
 */
export function serve({ info, prepare, train, faults = [] }) {
  const prepared = new Map();
  const reply = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  const answer = async (request) => {
    const result = request.do === "case" ? await timedCase(request, prepared, prepare) : await train(request);
    if (faults.length > 0) throw new Error(`${faults.length} GPU errors, the first: ${faults.splice(0)[0]}`);
    return result;
  };
  const failed = (error) => ({ error: String(error?.message ?? error).split("\n")[0] });
  let queue = Promise.resolve();
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      queue = queue.then(() => answer(JSON.parse(line)).catch(failed).then(reply));
    })
    .on("close", () => process.exit(0));
  reply({ ready: true, ...info });
}
