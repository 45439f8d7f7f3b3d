// What a user of the package writes: a small network of their own, trained for some steps. tarball.mjs compiles, bundles and
// runs it. Prints the losses as JSON.
import * as nn from "wgrad/nn";
import { type Dtype, type Tensor, Rng, ShapeError, backward, close, compile, conv2d, crossEntropy, init } from "wgrad";
import { interpolate, maxPool2d, optim, relu, tensor } from "wgrad";

const rng = new Rng(0);
class Net {
  readonly first = new nn.Conv2d(1, 4, { kernelSize: 3, padding: 1, rng });
  readonly norm = new nn.BatchNorm(4);
  readonly head = new nn.Conv2d(4, 2, { kernelSize: 1, rng });

  forward(x: Tensor): Tensor {
    const y = maxPool2d(relu(this.norm.forward(this.first.forward(x))), { kernelSize: 2 });
    return interpolate(this.head.forward(y), { scale: 2, mode: "linear" });
  }
}

const info = await init();
console.error(`adapter ${info.name}${info.software ? ", software" : ""}`);
const net = new Net();
const adam = new optim.Adam(nn.parameters(net), { lr: 0.05 });
const train = compile(({ x, y }) => {
  const loss = crossEntropy(net.forward(x), y);
  backward(loss);
  adam.step();
  adam.zeroGrad();
  return loss.detach();
});
const dtype: Dtype = "f32";
const x = { shape: [1, 1, 8, 8], dtype, data: Float32Array.from({ length: 64 }, (_, i) => Number(i % 8 > 3)) };
const y = { shape: [1, 8, 8], dtype: "i32" as const, data: Int32Array.from(x.data) };
const losses: number[] = [];
for (let i = 0; i < 10; i++) losses.push(await (await train({ x, y })).item());

// Mistakes that must not compile, and errors that are the classes exported.
// @ts-expect-error: no such option
const mistake = () => conv2d(tensor([1]), tensor([1]), null, { pading: 1 });
try {
  mistake();
} catch (error) {
  if (!(error instanceof ShapeError)) throw error;
}
close();
console.log(JSON.stringify(losses));
