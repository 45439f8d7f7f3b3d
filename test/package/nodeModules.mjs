// What a bundle for browsers must not name.

import { builtinModules } from "node:module";

const names = [
  ...builtinModules.map((name) => `(?:node:)?${name}`),
  "webgpu",
  "modern-tar",
  "@sparticuz/chromium",
].join("|");
const IMPORT = new RegExp(`(?:\\bfrom|\\bimport|\\brequire)\\s*\\(?\\s*["'\`](?:${names}|node:[\\w/]+)["'\`]`, "g");

/** The imports of Node's modules, and of packages for Node, in the text of a bundle. */
export function nodeModulesIn(text) {
  return [...text.matchAll(IMPORT), ...text.matchAll(/__vite-browser-external|createRequire|dawn\.node/g)].map(String);
}
