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
const ZOOM = 3; // in the picture
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

/** One row per test image, each pixel a block of ZOOM x ZOOM, as a PNG. */
function picture(predicted) {
  const [width, height] = [3 * size * ZOOM, count * size * ZOOM];
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const column = Math.floor(x / (size * ZOOM));
      const i = Math.floor(y / ZOOM) * size + (Math.floor(x / ZOOM) % size);
      data.set(
        [gray(test.images.data[i]), COLOURS[test.labels.data[i]], COLOURS[predicted[i]]][column],
        3 * (y * width + x),
      );
    }
  return encode({ width, height, data, channels: 3, depth: 8 });
}
