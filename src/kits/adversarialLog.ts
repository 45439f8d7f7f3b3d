// What adversarial training leaves in the log, and the signs that it has failed: a discriminator that always wins or is
// always fooled says nothing about where the segmentation is wrong, and no loss curve shows it.

/** Means over an epoch at one scale: dice, crossEntropy, adversarial, confidence, difficulty; or the discriminator's. */
export type ScaleTerms = Record<string, number>;

export interface MeanTerms {
  loss: number;
  /** Per scale, from full resolution down; empty for a network without them. */
  generator: ScaleTerms[];
  discriminator: ScaleTerms[];
}

/** Means of named scalars over the steps of an epoch; names as "generator.0.dice". */
export function meanTerms(names: readonly string[], steps: readonly (readonly number[])[]): MeanTerms {
  const out: MeanTerms = { loss: NaN, generator: [], discriminator: [] };
  names.forEach((name, i) => {
    const mean = steps.reduce((sum, values) => sum + values[i], 0) / steps.length;
    const [part, scale, term] = name.split(".");
    if (part === "generator" || part === "discriminator") (out[part][Number(scale)] ??= {})[term] = mean;
    else out.loss = mean;
  });
  return out;
}

/** Beyond these an epoch's means are worth a warning: equilibrium is confidence 0.5, accuracy 0.5, difficulty 0.75. */
const CERTAIN = 0.97;
const FOOLED = 0.95;
const VANISHED = 0.1;

/** One sentence per scale whose discriminator has won or lost altogether. */
export function collapseWarnings(generator: readonly ScaleTerms[], discriminator: readonly ScaleTerms[]): string[] {
  return generator.flatMap((g, k) => {
    const d = discriminator[k];
    const at = `scale ${k + 1}: `;
    if (d && d.accuracy > CERTAIN && d.confidencePrediction < 1 - CERTAIN)
      return [
        `${at}the discriminator tells every prediction from a label (accuracy ${d.accuracy.toFixed(3)}), so lambda is ` +
          `${g.difficulty.toFixed(2)} nearly everywhere; lower its learning rate`,
      ];
    if (g.confidence > FOOLED || g.difficulty < VANISHED)
      return [
        `${at}the discriminator takes predictions for labels (confidence ${g.confidence.toFixed(3)}), so lambda is ` +
          `${g.difficulty.toFixed(2)} and the cross entropy has nearly vanished; raise its learning rate`,
      ];
    return [];
  });
}
