// Dynamic loss scaling: the loss is multiplied so that small gradients do not vanish, and a step whose gradients
// overflowed is skipped. All decisions fall on the GPU; nothing is read back.

import { OptionError, ShapeError } from "../errors.ts";
import { record } from "../autograd.ts";
import * as wgsl from "../gpu/kernels.gen.ts";
import { launch } from "../gpu/program.ts";
import { assign } from "../kernels/layout.ts";
import { keep } from "../scope.ts";
import { showShape } from "../shape.ts";
import { empty, hostTensor, tensor, zeros, type Tensor } from "../tensor.ts";
import { SCALE, scaleGradients } from "./optim/clip.ts";
import type { Optimizer } from "./optim/optimizer.ts";

/** Settings of GradScaler. */
export interface GradScalerOptions {
  /** The scale to start with. Default 65,536. */
  readonly initScale?: number;
  /** What the scale is multiplied by after `growthInterval` good steps. Default 2. */
  readonly growthFactor?: number;
  /** What the scale is multiplied by after a bad step. Default 0.5. */
  readonly backoffFactor?: number;
  /** Default 2,000. */
  readonly growthInterval?: number;
}

type AnyOptimizer = Pick<Optimizer<{ lr: number }>, "step" | "allParameters">;

const OP = { collect: 0, update: 1, multiply: 2 } as const; // of loss_scale.wgsl

/**
 * Dynamic loss scaling: `backward(scaler.scale(loss)); scaler.step(optimizer); scaler.update()`. With gradient
 * clipping, `scaler.unscale(optimizer)` before it. Infinities and NaN are found by their bits.
 * Throws OptionError for factors on the wrong side of 1. Follows PyTorch, `torch.amp.GradScaler`;
 * Micikevicius et al. 2018, arXiv:1710.03740.
 */
export class GradScaler {
  private readonly factors: { readonly GROWTH: number; readonly BACKOFF: number; readonly INTERVAL: number };
  private readonly current: Tensor; // [1]
  private readonly good: Tensor; // [1] u32: good steps since the scale last changed
  private readonly anyFound: Tensor; // [1] u32: an optimiser of this step had a bad gradient
  /** Optimisers whose gradients are unscaled in this step, with what was found: [1] u32. */
  private readonly unscaled = new Map<AnyOptimizer, Tensor>();

  constructor({
    initScale = 65536,
    growthFactor = 2,
    backoffFactor = 0.5,
    growthInterval = 2000,
  }: GradScalerOptions = {}) {
    if (!(initScale > 0 && Number.isFinite(initScale)))
      throw new OptionError(`GradScaler: initScale must be above 0, got ${initScale}`);
    if (!(growthFactor > 1)) throw new OptionError(`GradScaler: growthFactor must be above 1, got ${growthFactor}`);
    if (!(backoffFactor > 0 && backoffFactor < 1))
      throw new OptionError(`GradScaler: backoffFactor must lie between 0 and 1, got ${backoffFactor}`);
    if (!(Number.isInteger(growthInterval) && growthInterval > 0))
      throw new OptionError(`GradScaler: growthInterval must be a whole number above 0, got ${growthInterval}`);
    this.factors = { GROWTH: growthFactor, BACKOFF: backoffFactor, INTERVAL: growthInterval };
    this.current = keep(tensor([initScale]));
    this.good = keep(zeros([1], { dtype: "u32" }));
    this.anyFound = keep(zeros([1], { dtype: "u32" }));
  }

  private call(op: number, found: Tensor, x: Tensor, y: Tensor): void {
    const buffers = { found, x, scale: this.current, good: this.good, any_found: this.anyFound, y };
    launch(wgsl.loss_scale, { consts: { ...this.factors, OP: op }, buffers, grid: [1, 1, 1] });
  }

  private times(x: Tensor): Tensor {
    const y = empty(x.shape);
    this.call(OP.multiply, x, x, y);
    return y;
  }

  /** The loss times the scale, shape as the loss, which must have one element. */
  scale(loss: Tensor): Tensor {
    if (loss.size !== 1)
      throw new ShapeError(`GradScaler: the loss must have one element, got shape ${showShape(loss.shape)}`);
    return record(this.times(loss), [loss], (dy) => [this.times(dy)]);
  }

  /**
   * Divides the gradients of the optimiser's parameters by the scale. step() does it where it has not been done. Returns
   * [1] u32, not 0 where a gradient is not finite: whatever else sets it skips the step as well.
   */
  unscale(optimizer: AnyOptimizer): Tensor {
    if (this.unscaled.has(optimizer))
      throw new OptionError("GradScaler: unscale() was already called for this optimiser since the last update()");
    const found = hostTensor([1], "u32", () => new Uint32Array(1));
    scaleGradients(optimizer.allParameters(), SCALE.unscale, this.current, found);
    this.call(OP.collect, found, found, empty([1]));
    this.unscaled.set(optimizer, found);
    return found;
  }

  /** The optimiser's step; it changes nothing when one of its gradients is not finite. */
  step(optimizer: AnyOptimizer): void {
    if (!this.unscaled.has(optimizer)) this.unscale(optimizer);
    optimizer.step({ skip: this.unscaled.get(optimizer)! });
  }

  /**
   * Lowers the scale after a bad step, raises it after enough good ones. Call once, after the last optimiser's step.
   * Returns [1] f32: 1 after a bad step, else 0.
   */
  update(): Tensor {
    const unread = empty([1]);
    const bad = empty([1]);
    this.call(OP.update, unread, unread, bad);
    this.unscaled.clear();
    return bad;
  }

  /** The scale as it is now. */
  async value(): Promise<number> {
    return this.current.item();
  }

  /** Scale and count of good steps, for a checkpoint. */
  async state(): Promise<{ scale: number; good: number }> {
    return { scale: await this.current.item(), good: await this.good.item() };
  }

  /** Restores what state() gave. */
  loadState({ scale, good }: { readonly scale: number; readonly good: number }): void {
    assign(this.current, tensor([scale]));
    assign(this.good, tensor([good], { dtype: "u32" }));
  }
}
