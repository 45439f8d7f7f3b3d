// npm run example:cells:web: the same training in a browser, with its pictures and the curve of its loss. `?steps=200` ends it.
import { init, Rng } from "wgrad";
import { CLASSES, diceOf, drawBatch } from "./cells.js";
import { COLOURS, gray } from "./colours.js";
import { steps, UNet } from "./model.js";

const count = 4;
const size = 64;
const total = Number(new URLSearchParams(location.search).get("steps") ?? 1000);
const element = (id) => document.getElementById(id);

/** Shows one picture: `colourOf(i)` is the colour of pixel i. */
function paint(id, colourOf) {
  const canvas = element(id);
  canvas.width = canvas.height = size;
  const picture = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) picture.data.set([...colourOf(i), 255], 4 * i);
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** The losses so far, from 0 to 2.5 upwards. */
function drawCurve(losses) {
  const { width, height } = element("curve");
  const context = element("curve").getContext("2d");
  context.clearRect(0, 0, width, height);
  context.strokeStyle = "#0b69a3";
  context.lineWidth = 2;
  context.beginPath();
  losses.forEach((loss, i) => context.lineTo((width * i) / (losses.length - 1 || 1), height * (1 - loss / 2.5)));
  context.stroke();
  context.fillStyle = "#57606a";
  context.font = "20px system-ui, sans-serif";
  context.fillText(`loss ${losses.at(-1).toFixed(3)}`, width - 140, 28);
}

async function main() {
  const { name } = await init();
  element("state").textContent = `${name}: compiling the network's kernels …`;
  const { train, predict } = steps(new UNet(CLASSES.length));
  const rng = new Rng(1);
  const test = drawBatch({ count, size, rng: new Rng(2) });
  paint("image", (i) => gray(test.images.data[i]));
  paint("reference", (i) => COLOURS[test.labels.data[i]]);
  const losses = [];
  for (let step = 1; step <= total; step++) {
    const loss = await train(drawBatch({ count, size, rng }));
    losses.push(await loss.item());
    drawCurve(losses);
    if (step % 10 !== 0 && step !== total) continue;
    const predicted = await (await predict({ images: test.images })).read();
    paint("prediction", (i) => COLOURS[predicted[i]]);
    const dice = diceOf(predicted, test.labels.data).map((d, k) => `${CLASSES[k]} ${d.toFixed(3)}`);
    element("state").textContent = `${name}: step ${step}${step === total ? ", done" : ""}. Dice ${dice.join(", ")}`;
  }
}

main().catch((error) => (element("state").textContent = error.message));
