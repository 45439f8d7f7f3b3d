// Every command line: its help, and one line for what it cannot work with. No GPU is needed for any of it.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { root } from "../docs/blocks.ts";

const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin: Record<string, string> };
const work = mkdtempSync(join(tmpdir(), "wgrad-inputs-"));
const file = join(work, "file");
writeFileSync(file, "no folder");
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Runs a command on the adapter that computes nothing; the GPU's own warnings are left out of `err`. */
function run(name: string, ...args: string[]): { status: number | null; out: string; err: string[] } {
  const env = { ...process.env, WGRAD_ADAPTER: "null" };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, bin[name]), ...args], {
    cwd: work,
    env,
    encoding: "utf8",
  });
  return { status, out: stdout, err: stderr.split("\n").filter((line) => line && !/^(Warning|adapter):/.test(line)) };
}

test.each(Object.keys(bin))(
  "%s: the help names a page that exists; unknown options and arguments are refused",
  (name) => {
    const { status, out } = run(name, "--help");
    expect(status).toBe(0);
    expect(out).toContain(`Usage: ${name.replace("-", ":")} [options]`);
    const [, page] = /^More in (docs\/[\w-]+\.md)\.$/m.exec(out)!;
    expect(readFileSync(join(root, page), "utf8")).toContain(name.replace("-", ":"));
    const required = [...out.matchAll(/^ {2}(--\w+) <(?:folder|path)>/gm)].flatMap(([, option]) => [option, "x"]);
    expect(run(name, ...required, "--zzzz")).toEqual({ status: 1, out: "", err: ["error: unknown option '--zzzz'"] });
    const { status: refused, err } = run(name, ...required, "more");
    expect([refused, err]).toEqual([1, ["error: too many arguments. Expected 0 arguments but got 1."]]);
  },
);

const failures: [name: string, args: string[], message: string][] = [
  ["train-kits", ["--data", work, "--out", file], `${file}: must be a folder that can be written`],
  ["train-kits", ["--data", "none", "--out", "x"], "must be a folder of cases, found nothing"],
  [
    "predict-kits",
    ["--run", "none", "--input", file, "--output", "x"],
    "no such file or folder (ENOENT); give the folder of a run",
  ],
  [
    "predict-kits",
    ["--run", "none", "--input", file, "--output", file],
    `${file}: must be a folder that can be written`,
  ],
  ["doctor-kits", ["--data", file], "must be a folder of cases, found a file"],
  ["doctor-kits", ["--data", work], "no case folders found"],
  [
    "download-kits",
    ["--out", file],
    `${file}: must be a folder that can be written, found a file of that name (EEXIST)`,
  ],
  ["convert-kits", ["--to", "nnunet", "--data", "none", "--out", "x"], "must be a folder of cases, found nothing"],
  ["convert-kits", ["--from", "nnunet", "--data", work, "--out", "x"], "must hold dataset.json and imagesTr"],
  ["convert-kits", ["--data", work, "--out", "x"], "give --to nnunet or --from nnunet"],
  ["evaluate-kits", ["--reference", "none", "--predictions", "none"], "must be a readable folder, found no such file"],
  ["export-kits", ["--run", file, "--out", "x"], "a file where a folder belongs (ENOTDIR); give the folder of a run"],
  ["dashboard-kits", ["--run", "none"], "must be the folder of a run, found no run.json"],
];

test.each(failures)("%s %j: one line and exit code 1", (name, args, message) => {
  const { status, out, err } = run(name, ...args);
  expect([status, out, err.length]).toEqual([1, "", 1]);
  expect(err[0].startsWith(`${name.replace("-", ":")}: `)).toBe(true);
  expect(err[0]).toContain(message);
});
