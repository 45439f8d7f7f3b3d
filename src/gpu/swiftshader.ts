// The fallback that needs no root and no system package: SwiftShader, a Vulkan driver for the CPU, out of the npm
// package @sparticuz/chromium, which carries it together with a Vulkan loader. Linux x64 only. Unpacked once into the
// user's cache folder.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { unpackTar } from "modern-tar";
import { debugLog } from "../debug.ts";
import { cacheFolder } from "./nodeCache.ts";

const RTLD_NODELETE = 0x1000; // glibc: stays loaded although Node closes it again

/** Makes SwiftShader the Vulkan driver of this process. False where it is not to be had. */
export async function useSwiftShader(): Promise<boolean> {
  if (process.platform !== "linux" || process.arch !== "x64") return false;
  const folder = await unpack();
  if (!folder) return false;
  loadLibrary(join(folder, "libvulkan.so.1"));
  const icd = join(folder, "vk_swiftshader_icd.json");
  process.env.VK_ICD_FILENAMES = icd; // older loaders
  process.env.VK_DRIVER_FILES = icd;
  return true;
}

/** Loads a shared library that is no Node addon: Node complains, but Dawn then finds it by its name. */
function loadLibrary(path: string): void {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch (error) {
    if (!/self-register/.test((error as Error).message))
      debugLog(1, `could not load ${path}: ${(error as Error).message}`);
  }
}

async function unpack(): Promise<string | null> {
  const archive = findArchive();
  if (!archive) return null;
  const folder = join(cacheFolder(), `swiftshader-${archive.version}`);
  if (existsSync(folder)) return folder;
  const part = `${folder}.part-${process.pid}`;
  mkdirSync(part, { recursive: true });
  for (const entry of await unpackTar(brotliDecompressSync(readFileSync(archive.path)))) {
    const name = basename(entry.header.name);
    if (entry.data && /^(libvulkan|libvk_swiftshader|vk_swiftshader)/.test(name))
      writeFileSync(join(part, name), entry.data, { mode: 0o755 });
  }
  try {
    renameSync(part, folder);
  } catch {
    rmSync(part, { recursive: true, force: true }); // another process was first
  }
  return folder;
}

function findArchive(): { path: string; version: string } | null {
  try {
    const main = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    const root = dirname(dirname(dirname(main)));
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const path = join(root, "bin", "swiftshader.tar.br");
    return existsSync(path) ? { path, version } : null;
  } catch {
    return null;
  }
}
