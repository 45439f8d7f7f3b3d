// The model of this example, written with wgrad, and its training. Runs as it is in Node (train.js) and in a browser (page.js).
import { argmax, backward, compile, concat, diceCrossEntropy, interpolate, maxPool2d, noGrad, optim, Rng } from "wgrad";
import * as nn from "wgrad/nn";

/** Two convolutions, each with a batch norm and a ReLU. */
class Block {
  constructor(from, to, rng) {
    this.conv1 = new nn.Conv2d(from, to, { kernelSize: 3, padding: 1, bias: false, rng });
    this.norm1 = new nn.BatchNorm(to);
    this.conv2 = new nn.Conv2d(to, to, { kernelSize: 3, padding: 1, bias: false, rng });
    this.norm2 = new nn.BatchNorm(to);
  }

  forward(x) {
    const y = this.norm1.forward(this.conv1.forward(x), "relu");
    return this.norm2.forward(this.conv2.forward(y), "relu");
  }
}

/** A U-Net of three levels. Images [N, 1, H, W] become scores [N, classes, H, W]. */
export class UNet {
  constructor(classes, { width = 8, rng = new Rng(0) } = {}) {
    this.fine = new Block(1, width, rng);
    this.middle = new Block(width, 2 * width, rng);
    this.coarse = new Block(2 * width, 4 * width, rng);
    this.middleUp = new Block(6 * width, 2 * width, rng);
    this.fineUp = new Block(3 * width, width, rng);
    this.head = new nn.Conv2d(width, classes, { kernelSize: 1, rng });
  }

  forward(x) {
    const half = (t) => maxPool2d(t, { kernelSize: 2 });
    const twice = (t) => interpolate(t, { scale: 2, mode: "linear" });
    const fine = this.fine.forward(x);
    const middle = this.middle.forward(half(fine));
    const coarse = this.coarse.forward(half(middle));
    const up = this.middleUp.forward(concat([twice(coarse), middle], 1));
    return this.head.forward(this.fineUp.forward(concat([twice(up), fine], 1)));
  }
}

/** Steps that are traced once: `train({ images, labels })` gives the loss, `predict({ images })` a class for every pixel. */
export function steps(model, { lr = 0.005 } = {}) {
  const adam = new optim.Adam(nn.parameters(model), { lr });
  const train = compile(({ images, labels }) => {
    nn.setTraining(model, true);
    const loss = diceCrossEntropy(model.forward(images), labels);
    backward(loss);
    adam.step();
    adam.zeroGrad();
    return loss.detach();
  });
  const predict = compile(({ images }) => {
    nn.setTraining(model, false);
    return noGrad(() => argmax(model.forward(images), { dim: 1 }));
  });
  return { train, predict };
}
