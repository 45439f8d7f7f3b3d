// Numbers that are not finite: found by their bits in any place of any tensor, and named where they first appear.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { add, assign, backward, cast, checkpoint, close, full, hasF16, hostTensor, init } from "../../src/index.ts";
import { mean, mul, nn, Rng, sqrt, step, sum, tensor, type Tensor } from "../../src/index.ts";
import { noteNonfinite } from "../../src/nn/nonfinite.ts";
import { firstNonfinite } from "../../src/nn/probe.ts";

beforeAll(async () => void (await init()));
afterAll(() => close());

const clear = () => hostTensor([1], "u32", () => new Uint32Array(1));

async function found(...tensors: Tensor[]): Promise<number> {
  return (
    await step(() => {
      const flag = clear();
      noteNonfinite(tensors, flag);
      return flag;
    })
  ).item();
}

describe("noteNonfinite", () => {
  test("every kind of infinity and NaN, in every place", async () => {
    const bits = (...words: number[]) => new Float32Array(Uint32Array.from(words).buffer);
    const finite = bits(0, 0x80000000, 1, 0x7f7fffff, 0xff7fffff, 0x3f800000); // zeros, the smallest, the largest
    expect(await found(tensor(finite))).toBe(0);
    for (const word of [0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc12345]) {
      const values = new Uint32Array(finite.buffer.slice(0));
      values[4] = word;
      expect(await found(tensor(new Float32Array(values.buffer)))).toBe(1);
    }
  });

  test("in any of many tensors, first and last value", async () => {
    const sizes = [1, 3000, 70, 64, 5, 1025, 9, 2, 4096, 33];
    const all = (bad: number, at: number) =>
      sizes.map((size, i) => {
        const values = new Float32Array(size);
        if (i === bad) values[at < 0 ? size - 1 : 0] = Infinity;
        return tensor(values);
      });
    expect(await found(...all(-1, 0))).toBe(0);
    for (let bad = 0; bad < sizes.length; bad++)
      for (const at of [0, -1]) expect(await found(...all(bad, at)), `tensor ${bad}`).toBe(1);
  });

  test("in f16", async () => {
    if (!hasF16()) return;
    expect(await found(cast(full([6], 60000), "f16"))).toBe(0);
    expect(await found(cast(full([6], 70000), "f16"))).toBe(1);
  });
});

class Small {
  readonly first = new nn.Conv2d(1, 2, { kernelSize: 1, rng: new Rng(1) });
  readonly last = new nn.Conv2d(2, 1, { kernelSize: 1, rng: new Rng(2) });
  readonly rest = new nn.Sequential(new nn.BatchNorm2d(2), this.last);
  readonly recompute: boolean;

  constructor(recompute: boolean) {
    this.recompute = recompute;
  }

  forward(x: Tensor): Tensor {
    const y = this.first.forward(x);
    return this.recompute ? checkpoint((z) => this.rest.forward(z), y) : this.rest.forward(y);
  }
}

/** What is found first in a step of a model in which `changed` tensors are `value` everywhere. */
async function first(
  model: Small,
  changed: readonly Tensor[] = [],
  value = 0,
  loss: (y: Tensor) => Tensor = (y) => mean(mul(y, y)),
): Promise<string | null> {
  for (const t of changed) assign(t, tensor(new Float32Array(t.size).fill(value), { shape: t.shape }));
  return firstNonfinite({ "": model }, (probe) => {
    const result = loss(model.forward(tensor([1, 2, 3, 4], { shape: [1, 1, 2, 2] })));
    probe.value("the loss", result);
    backward(result);
    probe.gradients(nn.parameters(model));
    for (const p of nn.parameters(model)) p.grad = null;
  });
}

describe.each([false, true])("firstNonfinite, with blocks computed again: %s", (recompute) => {
  const made = () => new Small(recompute);

  test("nothing, a weight, a layer's output, the loss", async () => {
    expect(await first(made())).toBe(null);
    const [a, b, c] = [made(), made(), made()];
    expect(await first(a, [a.last.weight], NaN)).toBe("the weight last.weight");
    expect(await first(b, [b.first.weight], 3e38)).toBe("the output of first");
    expect(await first(c, [], 0, (y) => sum(mul(add(y, 9), 3e38)))).toBe("the loss");
  });

  test("a gradient of an output, one of a weight", async () => {
    const [a, b] = [made(), made()];
    expect(await first(a, [], 0, (y) => mean(sqrt(mul(y, 0))))).toBe("the gradient of the output of the network");
    const zeros = [b.last.weight, b.last.bias!];
    expect(await first(b, zeros, 0, (y) => sum(mul(y, 3e38)))).toBe("the gradient of last.bias");
  });

  test("layers are as they were, and a running statistic never takes what is not finite", async () => {
    const model = made();
    const before = await nn.stateDict(model);
    await first(model, [model.first.weight], 3e38);
    const norm = (model.rest.layers as unknown as nn.BatchNorm[])[0];
    expect(await norm.runningMean.read()).toEqual(before["rest.0.running_mean"].data);
    expect(await norm.runningVar.read()).toEqual(before["rest.0.running_var"].data);
    for (const [, layer] of nn.namedModules(model)) expect(Object.hasOwn(layer, "forward")).toBe(false);
    await first(model, [model.first.weight], 1);
    expect(await norm.runningMean.read()).not.toEqual(before["rest.0.running_mean"].data);
  });
});
