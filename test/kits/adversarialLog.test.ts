import { describe, expect, test } from "vitest";
import { collapseWarnings, meanTerms } from "../../src/kits/adversarialLog.ts";

describe("meanTerms", () => {
  test("averages each scalar over the steps and puts it at its scale", () => {
    const names = ["loss", "generator.0.dice", "generator.1.dice", "discriminator.0.accuracy"];
    expect(
      meanTerms(names, [
        [1, 0.2, 0.4, 0.5],
        [3, 0.4, 0.8, 1],
      ]),
    ).toEqual({
      loss: 2,
      generator: [{ dice: expect.closeTo(0.3, 12) }, { dice: expect.closeTo(0.6, 12) }],
      discriminator: [{ accuracy: 0.75 }],
    });
  });

  test("a network without scales has none", () => {
    expect(meanTerms(["loss"], [[1], [2]])).toEqual({ loss: 1.5, generator: [], discriminator: [] });
  });
});

describe("collapseWarnings", () => {
  const balanced = { confidence: 0.5, difficulty: 0.75 };
  const even = { accuracy: 0.6, confidencePrediction: 0.45 };

  test("is silent at equilibrium, and for scales without a discriminator", () => {
    expect(collapseWarnings([balanced, { dice: 0.3 }], [even])).toEqual([]);
  });

  test("names the scale whose discriminator always wins", () => {
    const won = { accuracy: 0.995, confidencePrediction: 0.01 };
    expect(collapseWarnings([balanced, { confidence: 0.01, difficulty: 1.97 }], [even, won])).toEqual([
      "scale 2: the discriminator tells every prediction from a label (accuracy 0.995), so lambda is 1.97 nearly everywhere; lower its learning rate",
    ]);
  });

  test("names the scale whose discriminator is always fooled", () => {
    expect(
      collapseWarnings([{ confidence: 0.97, difficulty: 0.03 }], [{ accuracy: 0.5, confidencePrediction: 0.97 }]),
    ).toEqual([
      "scale 1: the discriminator takes predictions for labels (confidence 0.970), so lambda is 0.03 and the cross entropy has nearly vanished; raise its learning rate",
    ]);
  });
});
