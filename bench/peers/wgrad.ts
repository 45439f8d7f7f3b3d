// wgrad itself in the place of a peer: `node dist/bench.js --serve`. Requests and answers as in shared.mjs. With
// --expose-gc the outputs of one sample give their memory to the next, as the peers' do when they are disposed of.

import {
  backward,
  batchNorm,
  compile,
  concat,
  conv2d,
  diceBce,
  init,
  maxPool2d,
  nn,
  noGrad,
  optim,
  Rng,
  step,
  tensor,
  type Tensor,
} from "../../src/index.ts";
import { gpu } from "../../src/gpu/device.ts";
import { waitFor } from "../../src/gpu/wait.ts";
import { gradientsOf, leaf } from "../case.ts";
import type { PeerCase, PeerTraining } from "./cases.ts";
import {
  batchOf,
  keepStdoutForAnswers,
  serve,
  sizeOf,
  trained,
  uniform,
  type Prepared,
  type TrainAnswer,
  type TrainRequest,
} from "./shared.mjs";

/** Answers requests until stdin ends. */
export async function serveWgrad(): Promise<void> {
  keepStdoutForAnswers();
  const { name } = await init();
  serve({ info: { version: "wgrad", adapter: name }, prepare, train });
}

const made = (name: string, shape: readonly number[]): Tensor =>
  leaf(tensor(uniform(name, sizeOf(shape)), { shape: [...shape] }));

function convolution({ part, x: [n, cin, height, width], cout, dilation }: PeerCase): () => Tensor[] {
  const x = made("x", [n, cin, height, width]);
  const w = made("w", [cout, cin, 3, 3]);
  const dy = made("dy", [n, cout, height, width]).detach();
  const forward = () => conv2d(x, w, null, { padding: dilation, dilation });
  if (part === "forward") return () => [noGrad(forward)];
  const y = forward();
  return () => gradientsOf(y, dy, part === "dx" ? 0 : 1).filter((g) => g !== null);
}

function normalisation({ part, x: shape }: PeerCase): () => Tensor[] {
  const [x, gamma, beta] = [made("x", shape), made("gamma", [shape[1]]), made("beta", [shape[1]])];
  const dy = made("dy", shape).detach();
  const forward = () => batchNorm(x, gamma, beta, { training: true });
  if (part === "forward") return () => [noGrad(forward)];
  return () => {
    const y = forward();
    return [y.detach(), ...gradientsOf(y, dy).filter((g) => g !== null)];
  };
}

function prepare(request: PeerCase): Prepared {
  const compute = request.kind === "conv" ? convolution(request) : normalisation(request);
  const outputs = async () => {
    const values = [];
    for (const t of await step(compute)) values.push(await t.read());
    return values;
  };
  const sample = async (repeats: number) => {
    const ms = await timeOnce(compute, repeats);
    await collectGarbage();
    return ms;
  };
  return { sample, outputs };
}

/** The outputs are returned from the step, so all of them exist until it is done. */
async function timeOnce(compute: () => Tensor[], repeats: number): Promise<number> {
  const start = performance.now();
  const outputs = await step(() => Array.from({ length: repeats }, compute));
  await waitFor(gpu().lastSubmit!, gpu().info.software);
  const ms = performance.now() - start;
  if (outputs.length !== repeats) throw new Error("a run left no output");
  return ms;
}

async function collectGarbage(): Promise<void> {
  globalThis.gc?.();
  await new Promise((resolve) => setTimeout(resolve, 0)); // finalisers run in turns of their own
}

/** The network of cases.ts. */
class ResUNet {
  readonly encoder: nn.ResidualBlock[];
  readonly up: nn.ConvTranspose2d[];
  readonly decoder: nn.ResidualBlock[];
  readonly head: nn.Conv2d;

  constructor({ channels }: PeerTraining) {
    const rng = new Rng(0); // replaced by the request's values
    const rising = channels.slice(0, -1).reverse();
    this.encoder = channels.map((c, i) => new nn.ResidualBlock(i === 0 ? 1 : channels[i - 1], c, { rng }));
    this.up = rising.map((c) => new nn.ConvTranspose2d(2 * c, c, { kernelSize: 2, stride: 2, rng }));
    this.decoder = rising.map((c) => new nn.ResidualBlock(2 * c, c, { rng }));
    this.head = new nn.Conv2d(channels[0], 1, { kernelSize: 1, rng });
  }

  forward(x: Tensor): Tensor {
    const skips: Tensor[] = [];
    let y = this.encoder[0].forward(x);
    for (const block of this.encoder.slice(1)) {
      skips.push(y);
      y = block.forward(maxPool2d(y, { kernelSize: 2 }));
    }
    for (const [i, block] of this.decoder.entries())
      y = block.forward(concat([this.up[i].forward(y), skips.pop()!], 1));
    return this.head.forward(y);
  }
}

/** The network with the values of the request. */
function networkOf(model: PeerTraining): ResUNet {
  const network = new ResUNet(model);
  const own = nn.namedParameters(network).map(([name]) => name);
  const given = model.parameters.map(({ name }) => name);
  if ([...own].sort().join() !== [...given].sort().join())
    throw new Error("the network's parameters are not those of the request");
  const values = model.parameters.map(({ name, shape, bound, value }) => {
    const data = uniform(name, sizeOf(shape), bound, value);
    return [name, { shape: [...shape], dtype: "f32" as const, data }] as const;
  });
  nn.loadStateDict(network, Object.fromEntries(values), { strict: false });
  return network;
}

async function train({ steps, model }: TrainRequest): Promise<TrainAnswer> {
  const network = networkOf(model);
  const adam = new optim.Adam(nn.parameters(network), { lr: model.lr });
  const run = compile(({ x, t }: { x: Tensor; t: Tensor }) => {
    const loss = diceBce(network.forward(x), t, { batch: false, smooth: model.smooth });
    backward(loss);
    adam.step();
    adam.zeroGrad();
    return loss.detach();
  });
  const { x, t } = batchOf(model);
  const shape = [model.batch, 1, model.size, model.size];
  const inputs = { x: { shape, dtype: "f32" as const, data: x }, t: { shape, dtype: "f32" as const, data: t } };
  const result = await trained(steps, async () => {
    const value = await (await run(inputs)).item();
    await waitFor(gpu().lastSubmit!, gpu().info.software);
    return value;
  });
  run.free();
  return result;
}
