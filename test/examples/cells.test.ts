// The example that is no kidney: its model learns, its programs run, and what Node and browsers share is free of both.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { expect, test } from "vitest";
import { close, init, Rng } from "wgrad";
import { diceOf, drawBatch } from "../../examples/cells/cells.js";
import { steps, UNet } from "../../examples/cells/model.js";
import { bundle } from "../../scripts/bundleSize.mjs";
import { nodeModulesIn } from "../package/nodeModules.mjs";

const folder = join(import.meta.dirname, "../../examples/cells");
const code = (file: string) => readFileSync(join(folder, file), "utf8");

test("a small one learns: Dice above 0.8 for every class", async () => {
  await init();
  const { train, predict } = steps(new UNet(3), { lr: 0.01 });
  const batch = (seed: number) => drawBatch({ count: 8, size: 32, rng: new Rng(seed) });
  for (let i = 0; i < 100; i++) await train(batch(i + 1));
  const { images, labels } = batch(0);
  const predicted = await (await predict({ images })).read();
  const dice = diceOf(predicted, labels.data);
  close();
  expect(Math.min(...dice), `Dice ${dice}`).toBeGreaterThan(0.8);
});

test("Dice of a class: twice the pixels in both, by those in either", () => {
  expect(diceOf([0, 0, 1, 1], [0, 1, 1, 1])).toEqual([2 / 3, 4 / 5, 1]);
});

test("train.js trains and writes its picture", () => {
  const out = mkdtempSync(join(tmpdir(), "wgrad-cells-"));
  try {
    const log = execFileSync(process.execPath, [join(folder, "train.js"), "1", join(out, "cells.png")], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(log).toMatch(/step 1 .* loss \d\.\d+ {2}Dice background 0\.\d+, cell \d\.\d+, border \d\.\d+\nwritten: /);
    const { width, height } = decode(readFileSync(join(out, "cells.png")));
    expect([width, height]).toEqual([576, 768]);
  } finally {
    rmSync(out, { recursive: true });
  }
});

test("the model takes under 60 lines; the page and all it shares with Node name no Node module", async () => {
  expect(code("model.js").trimEnd().split("\n").length).toBeLessThan(60);
  expect([...code("model.js").matchAll(/from "(.*)"/g)].map(([, from]) => from)).toEqual(["wgrad", "wgrad/nn"]);
  for (const shared of ["model.js", "cells.js", "colours.js"])
    expect(code(shared), shared).not.toMatch(/\b(?:document|window|process|canvas)\b/);
  expect(nodeModulesIn(await bundle(`import "./page.js";`, folder))).toEqual([]);
  expect(nodeModulesIn(`import { x } from "node:fs"`)).toEqual([`from "node:fs"`]);
});
