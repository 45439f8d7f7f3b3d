import { ShapeError } from "../../errors.ts";
import { showShape } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";

/**
 * Throws ShapeError unless x is [N, channels, H, W] with H and W divisible by `factor`, the total stride of the
 * encoder.
 */
export function checkInput(model: string, x: Tensor, channels: number, factor: number): void {
  const [, c, h, w] = x.shape;
  if (x.shape.length !== 4 || c !== channels)
    throw new ShapeError(`${model}: x must be [N, ${channels}, H, W], got ${showShape(x.shape)}`);
  if (h % factor !== 0 || w % factor !== 0) {
    throw new ShapeError(
      `${model}: height and width must be divisible by ${factor}, got ${h} x ${w} (x ${showShape(x.shape)}); ` +
        "pad or resize the input",
    );
  }
}

/** What every segmentation model takes. */
export interface SegmentationOptions {
  /** Channels of the input, such as 1 for CT. */
  inChannels: number;
  /** Channels of the output. */
  classes: number;
  /** Channels of the first level; they double at every level down. Default 64. */
  width?: number;
  /** Compute blocks again for the gradient instead of keeping them (see checkpoint): less memory, more work. Default false. */
  recompute?: boolean;
}
