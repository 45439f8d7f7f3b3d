// The page of examples/cells, as npm run example:cells:web serves it: it trains, and as in Node.
import { join } from "node:path";
import { createServer } from "vite";
import { afterAll, expect, test } from "vitest";
import { close, init, Rng } from "wgrad";
import { drawBatch } from "../../examples/cells/cells.js";
import { steps, UNet } from "../../examples/cells/model.js";
import { openPage, startChromium } from "./chromium.ts";

const STEPS = 3;
const chromium = await startChromium();

afterAll(async () => {
  close();
  await chromium?.close();
});

/** Keeps the curve that is drawn: the page's axis goes from 0 at the bottom to 2.5. */
const keepCurve = `
  const { prototype } = CanvasRenderingContext2D;
  const { beginPath, lineTo } = prototype;
  const losses = (globalThis.losses = []);
  prototype.beginPath = function () {
    losses.length = 0;
    beginPath.call(this);
  };
  prototype.lineTo = function (x, y) {
    losses.push(2.5 * (1 - y / this.canvas.height));
    lineTo.call(this, x, y);
  };`;

test.skipIf(!chromium)("the page trains with Node's losses, ends, and asks nobody else for anything", async () => {
  const root = join(import.meta.dirname, "../../examples/cells");
  const server = await createServer({ root, configFile: false, server: { host: "127.0.0.1", port: 0 } });
  await server.listen();
  const [url] = server.resolvedUrls!.local;
  const { page, errors, requests } = await openPage(chromium!, `${url}?steps=${STEPS}`, keepCurve);
  const state = () => page.$eval("#state", (element) => element.textContent);
  const ended = `!/^Looking for|compiling/.test(document.getElementById("state").textContent)`;
  await page.waitForFunction(ended);
  expect(await state()).toMatch(
    /^.*swiftshader.*: step 3, done\. Dice background 0\.\d+, cell \d\.\d+, border \d\.\d+$/i,
  );
  const inPage = (await page.evaluate("losses")) as number[];
  await server.close();
  expect(requests.length).toBeGreaterThan(3);
  expect(requests.filter((asked) => !asked.startsWith(url))).toEqual([]);
  expect(errors).toEqual([]);

  const inNode = await lossesInNode();
  expect(inPage.length).toBe(STEPS);
  inNode.forEach((loss, i) => expect(Math.abs(loss - inPage[i]), `step ${i + 1}`).toBeLessThan(1e-5));
  expect(new Set(inNode).size, "the steps change the weights").toBe(STEPS);
});

/** The page's training, see page.js. */
async function lossesInNode(): Promise<number[]> {
  await init({ adapter: "swiftshader" });
  const { train } = steps(new UNet(3));
  const rng = new Rng(1);
  const losses: number[] = [];
  while (losses.length < STEPS) losses.push(await (await train(drawBatch({ count: 4, size: 64, rng }))).item());
  return losses;
}
