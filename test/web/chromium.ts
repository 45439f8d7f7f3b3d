// A headless Chromium that computes with WebGPU on the CPU (SwiftShader), driven by puppeteer.

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { context } from "esbuild";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { cacheFolder } from "../../src/gpu/nodeCache.ts";

const SYSTEM = ["chromium", "chromium-browser", "google-chrome"].map((name) => `/usr/bin/${name}`);

const FLAGS = [
  ...["--no-sandbox", "--no-zygote"], // as root and in containers; it only ever opens our own pages
  ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"],
  ...["--use-vulkan=swiftshader", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
];

/**
 * Starts $WGRAD_CHROMIUM, else the Chromium of the npm package @sparticuz/chromium (Linux x64), else an installed one: the
 * first in which a page finds a WebGPU adapter. Null where none does, with the reasons on standard error. `webgpu: false`
 * starts it without WebGPU.
 */
export async function startChromium({ webgpu = true } = {}): Promise<Browser | null> {
  const given = process.env.WGRAD_CHROMIUM;
  const places = given ? [() => given] : [unpackChromium, ...SYSTEM.filter(existsSync).map((path) => () => path)];
  for (const place of places) {
    try {
      return await start(await place(), webgpu);
    } catch (error) {
      console.error(`no test browser: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  console.error(
    "no test browser: install Chromium (Debian: apt-get install chromium) or set WGRAD_CHROMIUM to its path",
  );
  return null;
}

async function start(executablePath: string, webgpu: boolean): Promise<Browser> {
  const args = webgpu ? FLAGS : [...FLAGS.slice(0, 2), "--disable-features=WebGPU", "--use-angle=swiftshader"];
  const browser = await puppeteer.launch({ executablePath, args, headless: "shell", pipe: true });
  if (!webgpu || (await findsAdapter(browser))) return browser;
  await browser.close();
  throw new Error(`${executablePath} has no WebGPU on a software adapter`);
}

async function findsAdapter(browser: Browser): Promise<boolean> {
  const server = await serve(import.meta.dirname); // WebGPU is for secure origins; 127.0.0.1 is one
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}blank.html`);
    return (await page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)")) === true;
  } finally {
    await server.close();
  }
}

/** The npm package's Chromium with its SwiftShader, unpacked once into the cache folder. Returns the path of its binary. */
async function unpackChromium(): Promise<string> {
  const { default: chromium } = await import("@sparticuz/chromium");
  const main = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const { version } = createRequire(import.meta.url)(join(main, "../../../package.json")) as { version: string };
  const folder = join(cacheFolder(), `chromium-${version}`);
  if (!existsSync(folder)) await unpackInto(folder, () => chromium.executablePath());
  return join(folder, "chromium");
}

/** The package unpacks into the temporary folder: one of our own, which takes its place when it is whole. */
async function unpackInto(folder: string, unpack: () => Promise<string>): Promise<void> {
  const part = `${folder}.part-${process.pid}`;
  const before = process.env.TMPDIR;
  mkdirSync(part, { recursive: true });
  process.env.TMPDIR = part;
  try {
    await unpack();
    renameSync(part, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // else another process was first
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    rmSync(part, { recursive: true, force: true });
  }
}

/** Serves a folder on 127.0.0.1 at a free port. */
export async function serve(folder: string): Promise<{ url: string; close: () => Promise<void> }> {
  const server = await context({ logLevel: "error" });
  const { port } = await server.serve({ servedir: folder, host: "127.0.0.1" });
  return { url: `http://127.0.0.1:${port}/`, close: () => server.dispose() };
}

/** ms until what a page is waited for counts as failed: SwiftShader compiles for long where all cores are busy. */
const PATIENCE = 200_000;

/** A new page whose errors are kept in `errors` and whose requests in `requests` (as URLs). `before` runs before its scripts. */
export async function openPage(
  browser: Browser,
  url: string,
  before = "",
): Promise<{ page: Page; errors: string[]; requests: string[] }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => requests.push(request.url()));
  await page.evaluateOnNewDocument(before);
  await page.goto(url);
  return { page, errors, requests };
}
