// The command line as a user meets it: a whole small run, its files, repeatability, and one clear message for everything that can go wrong.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writePhantom } from "../../src/kits/phantom.ts";
import { writeNifti, readHeader, readLabels } from "../../src/kits/nifti.ts";

const command = new URL("../../dist/train-kits.js", import.meta.url).pathname;
const SMALL = [
  "--preset",
  "phantom",
  "--size",
  "32",
  "--width",
  "4",
  "--depth",
  "2",
  "--epochs",
  "2",
  "--slices-per-epoch",
  "32",
  "--batch",
  "8",
];

let work: string;
let data: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-command-"));
  data = join(work, "data");
  await writePhantom(data, { cases: 5, slices: 8, size: 48 });
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; out: string; err: string } {
  const r = spawnSync(process.execPath, [command, "--progress", "lines", ...args], {
    encoding: "utf8",
    cwd: work,
    timeout: 110_000,
  });
  return { status: r.status, out: r.stdout, err: r.stderr };
}

/** What a failing command says about it: from its own name to the end. */
function failure(...args: string[]): string {
  const { status, err } = run(...args);
  expect(status).toBe(1);
  expect(err).not.toContain("unexpected error");
  return (/^(train:kits|error): [\s\S]*/m.exec(err)?.[0] ?? err).trim();
}

describe("a run", () => {
  test("leaves scores, predictions on the scan's grid, checkpoints, pictures and a report that says what the data were", async () => {
    const { status, out, err } = run(...SMALL, "--data", data, "--out", "run-a", "--json");
    expect(err).toContain("SYNTHETIC phantom");
    expect(status).toBe(0);
    const metrics = JSON.parse(out.trim().split("\n").at(-1)!);
    expect(metrics.unit).toBe("3-D per case");
    const facts = JSON.parse(readFileSync(join(work, "run-a/run.json"), "utf8"));
    expect(facts.status).toBe("finished");
    expect(facts.data.synthetic).toBe(true);
    for (const name of ["best.safetensors", "last.safetensors"])
      expect(existsSync(join(work, "run-a/checkpoints", name))).toBe(true);
    expect(readFileSync(join(work, "run-a/report.md"), "utf8")).toMatch(
      /SYNTHETIC phantom[\s\S]*scores say nothing about patients/,
    );
    expect(readFileSync(join(work, "run-a/log.jsonl"), "utf8").trim().split("\n").length).toBe(2);
    for (const { id } of metrics.cases) {
      const source = await readHeader(join(data, id, "imaging.nii.gz"));
      const made = await readHeader(join(work, "run-a/predictions", `${id}.nii.gz`));
      expect(made.dims).toEqual(source.dims);
      expect(made.affine).toEqual(source.affine);
      expect(existsSync(join(work, "run-a/overlays", `${id}.png`))).toBe(true);
    }
  });

  test("repeats bit by bit with the same seed", () => {
    expect(run(...SMALL, "--data", data, "--out", "run-b").status).toBe(0);
    const weights = (name: string) => readFileSync(join(work, name, "checkpoints/last.safetensors"));
    expect(weights("run-b").equals(weights("run-a"))).toBe(true);
    expect(run(...SMALL, "--data", data, "--out", "run-c", "--seed", "1").status).toBe(0);
    expect(weights("run-c").equals(weights("run-a"))).toBe(false);
  });

  test("is not overwritten unless asked", () => {
    expect(failure(...SMALL, "--data", data, "--out", "run-a")).toMatch(
      /run-a already holds a run; choose another --out, or add --overwrite/,
    );
  });
});

describe("bad input ends in one message and exit code 1", () => {
  test("options out of range", () => {
    expect(failure("--preset", "nonsense")).toBe(
      "train:kits: --preset must be one of phantom, demo, overfit, paper; got nonsense",
    );
    expect(failure("--width", "0")).toBe("train:kits: --width must be a whole number from 1 to 256, got 0");
    expect(failure("--size", "100", "--depth", "4")).toBe(
      "train:kits: --size must be a multiple of 16 for --depth 4, got 100",
    );
    expect(failure("--lr", "fast")).toContain("--lr");
    expect(failure("--nonsense")).toBe("error: unknown option '--nonsense'");
  });

  test("folders that are missing or empty", () => {
    expect(failure("--data", join(work, "nowhere"))).toMatch(/nowhere/);
    mkdirSync(join(work, "void"));
    expect(failure("--data", join(work, "void"))).toMatch(/void/);
  });

  test("an adapter that is not there", () => {
    expect(failure(...SMALL, "--data", data, "--out", "run-x", "--adapter", "no-such-device")).toMatch(
      /no adapter matches "no-such-device"/,
    );
    expect(existsSync(join(work, "run-x/run.json"))).toBe(false);
  });

  const broken: [string, (folder: string) => Promise<void> | void, RegExp][] = [
    ["a missing label", (f) => rmSync(join(f, "case_00001/segmentation.nii.gz")), /case_00001/],
    [
      "a truncated image",
      (f) => truncateSync(join(f, "case_00001/imaging.nii.gz"), 2000),
      /case_00001.imaging\.nii\.gz/,
    ],
    [
      "a corrupt image",
      (f) => writeFileSync(join(f, "case_00001/imaging.nii.gz"), gzipSync(Buffer.alloc(500, 7))),
      /case_00001.imaging\.nii\.gz/,
    ],
    [
      "an unknown label value",
      async (f) => {
        const path = join(f, "case_00001/segmentation.nii.gz");
        const { data: labels, header } = await readLabels(path);
        labels[5] = 9;
        await writeNifti(path, labels as Uint8Array, header);
      },
      /case_00001[\s\S]*9/,
    ],
    [
      "a label of another shape",
      async (f) => {
        const { data: labels, header } = await readLabels(join(f, "case_00000/segmentation.nii.gz"));
        const shape: [number, number, number] = [header.shape[0] - 1, header.shape[1], header.shape[2]];
        const dims: [number, number, number] = [...header.dims];
        dims[header.axes[0]] -= 1;
        await writeNifti(
          join(f, "case_00000/segmentation.nii.gz"),
          (labels as Uint8Array).slice(0, shape[0] * shape[1] * shape[2]),
          { ...header, shape, dims },
        );
      },
      /case_00000/,
    ],
  ];
  test.each(broken)("%s", async (_, damage, message) => {
    const folder = mkdtempSync(join(work, "broken-"));
    await writePhantom(join(folder, "data"), { cases: 3, slices: 4, size: 32 });
    await damage(join(folder, "data"));
    const out = join(folder, "run");
    expect(failure(...SMALL, "--data", join(folder, "data"), "--out", out)).toMatch(message);
    expect(existsSync(join(out, "metrics.json"))).toBe(false);
    const facts = join(out, "run.json");
    if (existsSync(facts)) expect(JSON.parse(readFileSync(facts, "utf8")).status).not.toBe("finished");
    const cache = join(folder, "cache");
    expect(existsSync(cache) ? readdirSync(cache) : []).toEqual([]);
  });
});
