// Cuts a region of interest out of a cached slice, on the grid of the network. The way back is restoreRoi of
// resample.ts.

import { ShapeError } from "../errors.ts";
import { coverage, makeFilter, resizeImage, resizeLabel, triangleWeight } from "./downsample.ts";
import type { Weight } from "./downsample.ts";
import type { Size } from "./resample.ts";
import { checkRoi, type Roi } from "./roi.ts";

/** Cuts regions out of slices of one size; scratch memory is made once. */
export interface RoiCropper {
  /** Image slice [h, w] to [R, R]: bilinear, with antialiasing when shrinking, rounded, 0 outside the slice. */
  image(source: Uint8Array, roi: Roi, target: Uint8Array): void;
  /**
   * Label slice [h, w] to [R, R]: the label that covers the largest part of each target pixel, the higher one on a tie,
   * nearest neighbour when enlarging, 0 outside the slice.
   */
  label(source: Uint8Array, roi: Roi, target: Uint8Array): void;
}

/**
 * A cropper from slices of `size` ([h, w], or one number for square ones) to [to, to]. Target row i covers the
 * fractions y + i * side / to to y + (i + 1) * side / to of the height, columns likewise. Same filters as sliceResizer,
 * but pixels outside the slice count as 0 instead of repeating the border. Throws ShapeError on sizes that are not
 * positive whole numbers and on planes of another size, OptionError for a region without area.
 */
export function roiCropper(size: Size | number, to: number): RoiCropper {
  const [h, w] = typeof size === "number" ? [size, size] : size;
  if (![h, w, to].every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(`roiCropper: sizes must be positive whole numbers, found [${h},${w}] to ${to}`);
  }
  const narrow = new Float64Array(h * to);
  const check = (what: string, source: Uint8Array, roi: Roi, target: Uint8Array): void => {
    checkRoi(`roiCropper.${what}`, roi);
    if (source.length !== h * w || target.length !== to * to) {
      throw new ShapeError(
        `roiCropper.${what}: source must hold [${h},${w}] and target [${to},${to}] pixels, ` +
          `found ${source.length} and ${target.length}`,
      );
    }
  };
  const filtersOf = (roi: Roi, weight: Weight) => {
    const axis = (from: number, start: number) =>
      makeFilter({ from, to, start: start * from, scale: (roi.side * from) / to, outside: "zero" }, weight);
    return { w, W: to, H: to, rows: axis(h, roi.y), columns: axis(w, roi.x) };
  };
  return {
    image: (source, roi, target) => {
      check("image", source, roi, target);
      resizeImage(source, target, { ...filtersOf(roi, triangleWeight), narrow }, [0, 255]);
    },
    label: (source, roi, target) => {
      check("label", source, roi, target);
      resizeLabel(source, target, filtersOf(roi, coverage));
    },
  };
}
