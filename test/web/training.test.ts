// Training in a page: the same steps as in Node.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { close } from "../../src/index.ts";
import { openPage, serve, startChromium } from "./chromium.ts";
import { trainingSteps, type Course } from "./trainingSteps.ts";

const chromium = await startChromium();
const folder = mkdtempSync(join(tmpdir(), "wgrad-web-"));

beforeAll(async () => {
  await build({
    stdin: {
      contents: `import { trainingSteps } from "./trainingSteps.ts"; globalThis.trainingSteps = trainingSteps;`,
      resolveDir: import.meta.dirname,
    },
    ...{ bundle: true, format: "esm", target: "es2022", outfile: join(folder, "page.js") },
  });
  writeFileSync(join(folder, "index.html"), `<!doctype html><script type="module" src="page.js"></script>`);
});

afterAll(async () => {
  close();
  await chromium?.close();
  rmSync(folder, { recursive: true });
});

// With the npm package's Chromium both run the same SwiftShader and the bits agree; another Chromium has another one.
test.skipIf(!chromium)("three training steps in a page give Node's losses and weights", async () => {
  const server = await serve(folder);
  const { page, errors } = await openPage(chromium!, server.url);
  const inPage = (await page.evaluate("trainingSteps(3)").finally(server.close)) as Course;
  expect(errors).toEqual([]);
  const inNode = await trainingSteps(3, "swiftshader");
  expect(Object.keys(inPage.weights)).toEqual(Object.keys(inNode.weights));
  const [got, wanted] = [inPage, inNode].map(({ losses, weights }) => [losses, ...Object.values(weights)].flat());
  const worst = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i])), 0);
  expect(wanted.every(Number.isFinite) && got.length === wanted.length).toBe(true);
  expect(worst).toBeLessThan(1e-5);
  expect(new Set(inNode.losses).size, "the steps change the weights").toBe(3);
});
