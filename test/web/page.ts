// The kidney viewer as a user has it in hand.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "puppeteer-core";
import { expect } from "vitest";

export const text = (page: Page, id: string) => page.$eval(`#${id}`, (element) => element.textContent);
export const messageShown = (page: Page) => page.evaluate(`!document.getElementById("message").hidden`);
export const message = (page: Page) => page.waitForFunction(`!document.getElementById("message").hidden`);

type FileInput = { uploadFile(path: string): Promise<void> };

/** Chooses a file. */
export async function open(page: Page, path: string): Promise<void> {
  await ((await page.$("#file")) as FileInput).uploadFile(path);
}

/** Waits for the label map and downloads it. Returns the path of the file. */
export async function downloadLabels(page: Page, folder: string): Promise<string> {
  const done = `!document.getElementById("download").disabled || !document.getElementById("message").hidden`;
  await page.waitForFunction(done, { timeout: 400_000 });
  if (await messageShown(page)) throw new Error((await text(page, "message-raw")) ?? "");
  const session = await page.createCDPSession();
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  await page.click("#download");
  const path = join(folder, "imaging_labels.nii.gz");
  await expect.poll(() => existsSync(path), { timeout: 100_000 }).toBe(true);
  return path;
}
