// The training fixture holds together: names, counts, and a first loss that the reference losses confirm.
import { expect, test } from "vitest";
import { loadTrajectory } from "../trajectory.ts";
import { crossEntropy, diceWithSoftmax } from "./losses.ts";

const trajectory = loadTrajectory();

test("parameters are named as in a state_dict, and every one has a gradient", () => {
  const names = [...trajectory.initial.keys()];
  const encoder = ["encoder.0.conv1.weight", "encoder.2.shortcut.1.running_var", "bottleneck.bn2.bias"];
  const decoder = ["decoder.0.up.bias", "decoder.2.block.shortcut.0.weight"];
  expect(names).toEqual(
    expect.arrayContaining([...encoder, ...decoder, "head.0.weight", "head.1.running_mean", "head.3.bias"]),
  );
  const trained = names.filter((name) => !name.includes("running_"));
  expect([...trajectory.firstGradients.keys()]).toEqual(trained);
  expect(trained.reduce((sum, name) => sum + trajectory.initial.get(name)!.data.length, 0)).toBe(trajectory.parameters);
  expect([...trajectory.final.keys()]).toEqual(names);
});

test("the reference losses give the first loss from the first logits", () => {
  const { target } = trajectory.batches[0];
  const logits = trajectory.firstLogits;
  const { smooth } = trajectory.loss;
  const loss = crossEntropy(logits, target).data[0] + diceWithSoftmax(logits, target, { smooth }).data[0];
  expect(loss).toBeCloseTo(trajectory.losses[0].value, 7); // the logits were rounded to float32
});

test("thirty losses fall, with tolerances far below the fall", () => {
  const { losses } = trajectory;
  expect(losses).toHaveLength(30);
  expect(losses[0].value - losses[29].value).toBeGreaterThan(0.2);
  expect(Math.max(...losses.map((l) => l.tol))).toBeLessThan(1e-5);
});
