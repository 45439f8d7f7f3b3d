// The page as it ships on a real CT: its labels are Node's. Minutes on one core, most of them for compiling shaders, so
// only with WGRAD_SLOW=1; viewer.test.ts does the same with small networks.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildPage } from "../../examples/kidney-viewer/build.mjs";
import { close, init } from "../../src/index.ts";
import { parseImage, parseLabels } from "../../src/kits/nifti_bytes.ts";
import { shared } from "../kits/shared_data.ts";
import { openPage, serve, startChromium } from "./chromium.ts";
import { downloadLabels, open, text } from "./page.ts";
import { kidneyDice, segmentShipped } from "./shippedModel.ts";

const ct = shared("real-ct", "data", "case_90000");
const chromium = process.env.WGRAD_SLOW && !ct.missing ? await startChromium() : null;
const work = mkdtempSync(join(tmpdir(), "wgrad-shipped-"));

afterAll(async () => {
  close();
  await chromium?.close();
  rmSync(work, { recursive: true });
});

test.skipIf(!chromium)(
  "slow: a real CT in the page that ships",
  async () => {
    await buildPage(join(work, "page"));
    const server = await serve(join(work, "page"));
    const { page, errors } = await openPage(chromium!, server.url);
    await open(page, join(ct.path, "imaging.nii.gz"));
    const inPage = await parseLabels(readFileSync(await downloadLabels(page, work)), "saved");
    console.log(`shipped networks in the page: ${await text(page, "timing")}`);
    await server.close();
    expect(errors).toEqual([]);

    await init({ adapter: "swiftshader" });
    const inNode = await segmentShipped(await parseImage(readFileSync(join(ct.path, "imaging.nii.gz")), "CT"));
    expect(Buffer.compare(inPage.data, inNode)).toBe(0);
    const reference = await parseLabels(readFileSync(join(ct.path, "segmentation.nii.gz")), "reference");
    expect(kidneyDice(reference.data, inPage.data)).toBeGreaterThan(0.9);
  },
  900_000,
);
