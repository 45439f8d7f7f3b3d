// Cross entropy of logits against class labels, softmax included.

import { OptionError } from "../../errors.ts";
import { record } from "../../autograd.ts";
import { linearGrid } from "../../gpu/grid.ts";
import * as wgsl from "../../gpu/kernels.gen.ts";
import { launch } from "../../gpu/program.ts";
import { empty, type Tensor } from "../../tensor.ts";
import { MODES, checkClassWeight, checkLabels, checkReduction, classLayout, reduceLoss } from "./reduction.ts";
import type { Reduction } from "./reduction.ts";

/** Settings of crossEntropy(). */
export interface CrossEntropyOptions {
  /** Weight of each class, [C]. */
  readonly weight?: Tensor;
  /** Pixels with this label are left out. Default -100. */
  readonly ignoreIndex?: number;
  /** Share of the target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number;
  /** Default "mean", which divides by the sum of the weights of the labels met. */
  readonly reduction?: Reduction;
}

/**
 * Softmax cross entropy of logits against class numbers, stable for logits of any size.
 * `x`: [N, C, ...] f32 logits. `labels`: [N, ...] i32 or u32; numbers outside 0
 * ... C - 1 are left out like `ignoreIndex`.
 * Returns [] or, with reduction "none", [N, ...]; the mean over no pixel is 0.
 * Throws ShapeError when shapes or dtypes do not fit, OptionError for a smoothing outside
 * [0, 1]. Follows PyTorch, `cross_entropy`.
 */
export function crossEntropy(x: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { weight, ignoreIndex = -100, labelSmoothing = 0, reduction = "mean" } = options;
  const layout = classLayout("crossEntropy", x);
  checkReduction("crossEntropy", reduction);
  checkLabels("crossEntropy", x, labels);
  checkClassWeight("crossEntropy", "weight", weight, layout.classes);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new OptionError(`crossEntropy: labelSmoothing must lie in [0, 1], got ${labelSmoothing}`);
  const consts = {
    T: labels.dtype,
    C: layout.classes,
    S: layout.plane,
    IGNORE: ignoreIndex,
    SMOOTHING: labelSmoothing,
    WEIGHTED: weight !== undefined,
  };
  const inputs = { x, labels, weight: weight ?? x, confidence: x };
  const { y, total } = reduceLoss(labels.shape, reduction, MODES[reduction], ({ y, REDUCE, grid }) =>
    launch(wgsl.cross_entropy, { consts: { ...consts, REDUCE }, buffers: { ...inputs, y }, grid }),
  );
  // keeps x, labels and four sums; the softmax is computed again
  return record(y, [x], (dy) => {
    const dx = empty(x.shape, x.dtype);
    launch(wgsl.cross_entropy_grad, {
      consts: { ...consts, MODE: MODES[reduction] },
      buffers: { ...inputs, total, dy, dx },
      grid: linearGrid(labels.size, 64),
    });
    return [dx];
  });
}
