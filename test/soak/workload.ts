// A small training with every kind of thing that a training does: two input shapes, layers of all kinds, random draws, a
// learning rate that changes, evaluations now and then, the loss read every few steps.
import {
  Rng,
  Tensor,
  add,
  argmax,
  backward,
  compile,
  diceCrossEntropy,
  hostTensor,
  interpolate,
  mul,
  nn,
  noGrad,
  optim,
  rand,
  relu,
  schedule,
  step,
  type HostTensor,
  type StepInputs,
} from "../../src/index.ts";

/** Steps between reads of the loss, evaluations, and turns of the other input shape. */
export const EVERY = { read: 5, evaluation: 25, shape: 7 } as const;

const SIZES = [8, 12] as const;

interface Sample {
  readonly x: Tensor;
  readonly y: Tensor;
}

class Net {
  private readonly down = new nn.Conv2d(1, 4, { kernelSize: 3, padding: 1, rng: new Rng(1, "down") });
  private readonly norm = new nn.BatchNorm(4);
  private readonly pool = new nn.MaxPool2d({ kernelSize: 2 });
  private readonly excite = new nn.SqueezeExcitation(4, { reduction: 2, rng: new Rng(1, "excite") });
  private readonly drop = new nn.Dropout(0.2, { rng: new Rng(1, "drop") });
  private readonly up = new nn.ConvTranspose2d(4, 2, { kernelSize: 2, stride: 2, rng: new Rng(1, "up") });
  private readonly side = new nn.Conv2d(4, 2, { kernelSize: 1, rng: new Rng(1, "side") });
  private readonly noise = new Rng(1, "noise");
  training = true;

  forward(x: Tensor): Tensor {
    const noisy = this.training ? add(x, mul(rand(x.shape, this.noise), 0.1)) : x;
    const deep = this.excite.forward(this.pool.forward(relu(this.norm.forward(this.down.forward(noisy)))));
    const kept = this.drop.forward(deep);
    return add(this.up.forward(kept), interpolate(this.side.forward(kept), { scale: 2, mode: "linear" }));
  }
}

/** A training, compiled or step by step as it comes. */
export class Training {
  readonly model = new Net();
  /** Losses read so far, in order. */
  readonly losses: number[] = [];
  /** Losses waited for at once, at most. */
  mostUnread = 0;
  /** What the last evaluation found. */
  prediction: { loss: number; classes: Int32Array } | null = null;
  private readonly adam = new optim.Adam(nn.parameters(this.model), { lr: 1e-2 });
  private readonly rate = schedule.cosineWarmRestarts(1e-2, { t0: 100 });
  private readonly compiled: boolean;
  private readonly train = compile((sample: Sample) => this.trainStep(sample));
  private readonly judge = compile((sample: Sample) => this.evaluate(sample));
  private unread: Promise<number>[] = [];
  private steps = 0;

  constructor({ compiled }: { compiled: boolean }) {
    this.compiled = compiled;
  }

  /** One step, with what is due after it. */
  async next(): Promise<void> {
    const k = this.steps++;
    this.adam.lr = this.rate(k);
    const inputs = sample(k, SIZES[k % EVERY.shape === 0 ? 1 : 0]);
    const loss = await (this.compiled ? this.train(inputs) : step(() => this.trainStep(uploaded(inputs))));
    if (k % EVERY.read === 0) this.unread.push(loss.item());
    this.mostUnread = Math.max(this.mostUnread, this.unread.length);
    await this.settle(1);
    if (k % EVERY.evaluation === 0) await this.evaluation(k);
  }

  /** Waits until at most `behind` losses are unread. */
  async settle(behind: number): Promise<void> {
    while (this.unread.length > behind) this.losses.push(await this.unread.shift()!);
  }

  /** Gives back what compiled steps hold. */
  free(): void {
    this.train.free();
    this.judge.free();
  }

  private trainStep({ x, y }: Sample): Tensor {
    const loss = diceCrossEntropy(this.model.forward(x), y);
    backward(loss);
    this.adam.step();
    this.adam.zeroGrad();
    return loss.detach();
  }

  private evaluate({ x, y }: Sample): { loss: Tensor; classes: Tensor } {
    return noGrad(() => {
      const logits = this.model.forward(x);
      return { loss: diceCrossEntropy(logits, y), classes: argmax(logits, { dim: 1 }) };
    });
  }

  private async evaluation(k: number): Promise<void> {
    nn.setTraining(this.model, false);
    const inputs = sample(k, SIZES[0]);
    const { loss, classes } = await (this.compiled ? this.judge(inputs) : step(() => this.evaluate(uploaded(inputs))));
    this.prediction = { loss: await loss.item(), classes: (await classes.read()) as Int32Array };
    nn.setTraining(this.model, true);
  }
}

/** Squares to be told from noise; another sample in every step. */
function sample(k: number, size: number): StepInputs<Sample> {
  const rng = new Rng(k, "sample");
  const [top, left] = [rng.integer(size / 2), rng.integer(size / 2)];
  const inside = (i: number) => i >= 0 && i < size / 2;
  const labels = Int32Array.from({ length: 2 * size * size }, (_, i) => {
    const [row, column] = [Math.floor(i / size) % size, i % size];
    return Number(inside(row - top) && inside(column - left));
  });
  const x = Float32Array.from(labels, (label) => label + 0.5 * rng.normal());
  return {
    x: { shape: [2, 1, size, size], dtype: "f32", data: x },
    y: { shape: [2, size, size], dtype: "i32", data: labels },
  };
}

function uploaded({ x, y }: StepInputs<Sample>): Sample {
  const upload = ({ shape, dtype, data }: HostTensor) => hostTensor(shape, dtype, () => data);
  return { x: upload(x), y: upload(y) };
}
