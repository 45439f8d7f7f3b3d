// npm run docs:api: writes docs/api from the docstrings of the public names.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publicNames } from "./names.ts";
import { apiPages } from "./pages.ts";

const root = process.cwd();
const folder = join(root, "docs/api");
const pages = apiPages(publicNames(root));
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const [file, text] of pages) writeFileSync(join(folder, file), text);
