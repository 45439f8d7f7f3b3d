// npm run example:cells: trains in Node and writes a picture: image, reference and prediction of four images, side by side.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { encode } from "fast-png";
import { close, init, Rng } from "wgrad";
import { CLASSES, diceOf, drawBatch } from "./cells.js";
import { steps, UNet } from "./model.js";
import { COLOURS, gray } from "./colours.js";

const count = 4;
const size = 64;
const total = Number(process.argv[2] ?? 200);
const file = process.argv[3] ?? "runs/cells.png";

const { name } = await init();
console.log(`${name}: ${total} steps of ${count} images of ${size} x ${size} pixels`);
const { train, predict } = steps(new UNet(CLASSES.length));
const rng = new Rng(1);
const test = drawBatch({ count, size, rng: new Rng(2) });
const start = performance.now();
for (let step = 1; step <= total; step++) {
  const loss = await train(drawBatch({ count, size, rng }));
  if (step % 20 !== 0 && step !== total) continue;
  const predicted = await (await predict({ images: test.images })).read();
  const dice = diceOf(predicted, test.labels.data).map((d, k) => `${CLASSES[k]} ${d.toFixed(3)}`);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`step ${step}  ${seconds} s  loss ${(await loss.item()).toFixed(3)}  Dice ${dice.join(", ")}`);
  if (step < total) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, picture(predicted));
  console.log(`written: ${file}`);
}
close();

/** One row per test image, as a PNG. */
function picture(predicted) {
  const data = new Uint8Array(count * size * 3 * size * 3);
  for (let row = 0; row < count * size; row++)
    for (let x = 0; x < size; x++) {
      const i = row * size + x;
      const columns = [gray(test.images.data[i]), COLOURS[test.labels.data[i]], COLOURS[predicted[i]]];
      columns.forEach((colour, c) => data.set(colour, 3 * (row * 3 * size + c * size + x)));
    }
  return encode({ width: 3 * size, height: count * size, data, channels: 3, depth: 8 });
}
