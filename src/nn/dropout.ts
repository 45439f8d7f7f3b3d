import { dropout, dropout2d, dropout3d } from "../kernels/dropout.ts";
import type { Rng } from "../random.ts";
import type { Tensor } from "../tensor.ts";

/**
 * While `training`, zeros each element with probability `p` and scales the rest by 1 / (1 - p); otherwise the identity.
 */
export class Dropout {
  readonly p: number;
  readonly rng: Rng;
  training = true;

  constructor(p: number, { rng }: { rng: Rng }) {
    this.p = p;
    this.rng = rng.fork(rng.uint32()); // a sequence of its own, whatever else draws from rng
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this);
  }
}

/** While `training`, zeros whole channels with probability `p` and scales the rest by 1 / (1 - p). x: [N, C, H, W]. */
export class Dropout2d {
  readonly p: number;
  readonly rng: Rng;
  training = true;

  constructor(p: number, { rng }: { rng: Rng }) {
    this.p = p;
    this.rng = rng.fork(rng.uint32());
  }

  forward(x: Tensor): Tensor {
    return dropout2d(x, this);
  }
}

/**
 * While `training`, zeros whole channels with probability `p` and scales the rest by 1 / (1 - p). x: [N, C, D, H, W].
 */
export class Dropout3d {
  readonly p: number;
  readonly rng: Rng;
  training = true;

  constructor(p: number, { rng }: { rng: Rng }) {
    this.p = p;
    this.rng = rng.fork(rng.uint32());
  }

  forward(x: Tensor): Tensor {
    return dropout3d(x, this);
  }
}
