// Some validation slices as the network sees them: image, reference, prediction. The same slices after every epoch.

import { compile, noGrad, type Tensor } from "../../index.ts";
import type { GpuSlices } from "../batch.ts";
import type { Network } from "../network.ts";
import { overlaySlice } from "../overlay.ts";
import { grid, type Picture, type Rgb } from "../picture.ts";
import { targetSlices, type SliceSource } from "../sample.ts";
import type { Stage } from "../stages.ts";

const SLICES = 4;
const PANEL = 192;
const BLACK: Rgb = [0, 0, 0]; // as the panels are: fits light and dark pages

/** At most four of `slices`, and no more than a batch, spread evenly over those that show what the stage looks for. */
export function picturedSlices(source: SliceSource, slices: readonly number[], batch: number): number[] {
  const targets = targetSlices(source, slices);
  const from = targets.length > 0 ? targets : slices;
  const n = Math.min(SLICES, batch, from.length);
  return Array.from({ length: n }, (_, i) => from[Math.floor(((i + 0.5) * from.length) / n)]);
}

/** The picture of `shown`, slices of `opened`; null for none. Leaves the network in evaluation mode, its weights alone. */
export async function drawValidation(
  network: Network,
  opened: GpuSlices,
  stage: Stage,
  shown: readonly number[],
): Promise<Picture | null> {
  if (shown.length === 0) return null;
  network.setTraining(false);
  const look = compile((inputs: Record<string, Tensor>) =>
    noGrad(() => {
      const { images, labels } = opened.tensors(inputs);
      return { images, labels, classes: network.classes(network.model.forward(network.input(images))) };
    }),
  );
  const { images, labels, classes } = await look(opened.batch(shown).inputs);
  const [image, reference, prediction] = await Promise.all([images.read(), labels.read(), classes.read()]);
  look.free();
  const { size } = network;
  const plane = <T extends ArrayLike<number>>(data: T, i: number): number[] =>
    Array.prototype.slice.call(data, i * size ** 2, (i + 1) * size ** 2);
  const labelOf = stage.classes.map((_, c) => [0, 1, 2, 3].find((label) => stage.classOf(label) === c) ?? 0);
  const tiles = shown.map((_, i) =>
    overlaySlice(
      {
        image: plane(image, i),
        reference: plane(reference, i).map((c) => labelOf[c]),
        prediction: plane(prediction, i).map((c) => labelOf[c]),
        size: [size, size],
      },
      { panel: PANEL, window: [0, 1], crop: "none" },
    ),
  );
  return grid(tiles, 2, BLACK);
}
