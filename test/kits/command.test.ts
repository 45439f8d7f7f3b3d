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
/** Four networks small enough for a test: two scales, slices of 32 and regions of 16 pixels. */
const SMALL = (
  "--preset phantom --size 32 --source-size 32 --roi-size 16 --width 4 --depth 2 --scales 2 --epochs 2 " +
  "--slices-per-epoch 16 --batch 8 --set coarse.epochs=8 --set coarse.slicesPerEpoch=32 --set coarse.batch=4 --set coarse.lr=0.01"
)
  .split(" ")
  .concat(
    ["kidney", "masses", "tumor"].flatMap((stage) => [
      ...["--set", `${stage}.discriminatorDepth=1`],
      ...["--set", `${stage}.discriminatorWidth=4`],
    ]),
  );

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
    timeout: 240_000,
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
  test("leaves scores of the cascade and of the coarse network, predictions on the scan's grid, checkpoints and a report that says what the data were", async () => {
    const { status, out, err } = run(...SMALL, "--data", data, "--out", "run-a", "--json");
    expect(err).toContain("SYNTHETIC phantom");
    expect(status).toBe(0);
    // The small presets start each network from the one before: all but squeeze and excitation and outputs, then all.
    const [, fitting, all] = /kidney: starts from (\d+) of (\d+) tensors of the coarse network/.exec(err)!;
    expect(Number(all) - Number(fitting)).toBe(2 * 2 + 3 + 2); // two gates of two, bias and classifier of the head, a side
    expect(err).toMatch(/tumor: starts from (\d+) of \1 tensors of the masses network/);
    const metrics = JSON.parse(out.trim().split("\n").at(-1)!);
    expect(metrics.unit).toBe("3-D per case");
    const facts = JSON.parse(readFileSync(join(work, "run-a/run.json"), "utf8"));
    expect(facts.status).toBe("finished");
    expect(facts.data.synthetic).toBe(true);
    expect(Object.keys(facts.trained)).toEqual(["coarse", "kidney", "masses", "tumor"]);
    for (const stage of ["coarse", "kidney", "masses", "tumor"])
      for (const name of ["best.safetensors", "last.safetensors"])
        expect(existsSync(join(work, "run-a/checkpoints", stage, name))).toBe(true);
    expect(readFileSync(join(work, "run-a/report.html"), "utf8")).toMatch(/SYNTHETIC phantom/);
    const log = readFileSync(join(work, "run-a/log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(log.map(({ stage, epoch }) => `${stage} ${epoch}`)).toEqual(
      [8, 2, 2, 2].flatMap((epochs, k) =>
        Array.from({ length: epochs }, (_, e) => `${["coarse", "kidney", "masses", "tumor"][k]} ${e + 1}`),
      ),
    );
    expect(log[8].generator.length).toBe(2);
    expect(Object.keys(log[8].discriminator[1])).toContain("confidencePrediction");
    const alone = JSON.parse(readFileSync(join(work, "run-a/stages/coarse/metrics.json"), "utf8"));
    expect(alone.cases.map((c: { id: string }) => c.id)).toEqual(metrics.cases.map((c: { id: string }) => c.id));
    for (const { id } of metrics.cases) {
      const source = await readHeader(join(data, id, "imaging.nii.gz"));
      for (const path of [
        "predictions",
        "stages/kidney",
        "stages/masses",
        "stages/tumor",
        "stages/kidney/confidence",
      ]) {
        const made = await readHeader(join(work, "run-a", path, `${id}.nii.gz`));
        expect(made.dims).toEqual(source.dims);
        expect(made.affine).toEqual(source.affine);
      }
      expect(existsSync(join(work, "run-a/overlays", `${id}.png`))).toBe(true);
    }
  });

  test("records regions that hold what the coarse network found, and labels are what the masks compose", async () => {
    const [id] = JSON.parse(readFileSync(join(work, "run-a/splits.json"), "utf8")).test;
    const { cases } = JSON.parse(readFileSync(join(work, "run-a/stages/kidney/rois.json"), "utf8"));
    const coarse = await readLabels(join(work, "run-a/stages/coarse", `${id}.nii.gz`));
    const [S, H, W] = coarse.header.shape;
    expect(cases[id].length).toBe(S);
    let found = 0;
    coarse.data.forEach((label, i) => {
      if (label === 0) return;
      const { y, x, side } = cases[id][Math.floor(i / (H * W))];
      const [v, u] = [(Math.floor(i / W) % H) / H, (i % W) / W];
      expect(v >= y && u >= x && v < y + side && u < x + side).toBe(true);
      found++;
    });
    expect(found).toBeGreaterThan(0);
    await expectComposed("run-a", id, (fine, coarse, label) => fine === 1 || coarse === label);
  });

  /** Labels other than 0 are what the masks say; `joined` tells whether a kidney or mass counts as found. */
  async function expectComposed(
    folder: string,
    id: string,
    joined: (fine: number, coarse: number, label: number) => boolean,
  ): Promise<void> {
    const read = async (path: string) => (await readLabels(join(work, folder, path, `${id}.nii.gz`))).data;
    const [labels, coarse] = [await read("predictions"), await read("stages/coarse")];
    const [kidney, masses, tumor] = await Promise.all(["kidney", "masses", "tumor"].map((s) => read(`stages/${s}`)));
    const wrong = labels.findIndex((label, i) => {
      const mass = joined(masses[i], coarse[i], 2);
      const expected = mass ? (tumor[i] ? 2 : 3) : joined(kidney[i], Math.min(coarse[i], 1), 1) ? 1 : 0;
      return label !== 0 && label !== expected; // 0 where a component was too small to stay
    });
    expect(wrong).toBe(-1);
    expect(labels.some((label) => label > 0)).toBe(true);
  }

  test("repeats bit by bit with the same seed, every stage and prediction", () => {
    expect(run(...SMALL, "--data", data, "--out", "run-b").status).toBe(0);
    const bytes = (name: string, path: string) => readFileSync(join(work, name, path));
    const [id] = JSON.parse(readFileSync(join(work, "run-a/splits.json"), "utf8")).test;
    for (const path of [
      ...["coarse", "kidney", "masses", "tumor"].map((stage) => `checkpoints/${stage}/last.safetensors`),
      "checkpoints/tumor/last.discriminators.safetensors",
      `predictions/${id}.nii.gz`,
      ...["coarse", "kidney", "masses", "tumor"].map((stage) => `checkpoints/${stage}/best.safetensors`),
      "stages/masses/rois.json",
      "evaluation.csv",
    ])
      expect(bytes("run-b", path).equals(bytes("run-a", path)), path).toBe(true);
    const log = (name: string) =>
      bytes(name, "log.jsonl")
        .toString()
        .replace(/"(seconds|imagesPerSecond)":[\d.e+-]+/g, '"$1":0');
    expect(log("run-a")).toContain('"seconds":0');
    expect(log("run-b")).toBe(log("run-a"));
  });

  test("one stage can be trained again, alone: the others and the split stay, what depends on it is made anew", () => {
    const weights = (stage: string) => readFileSync(join(work, "run-b/checkpoints", stage, "best.safetensors"));
    const before = ["coarse", "kidney", "masses", "tumor"].map(weights);
    const { status, err } = run("--out", "run-b", "--stages", "masses", "--set", "masses.epochs=1", "--seed", "5");
    expect(err).not.toContain("unexpected error");
    expect(status).toBe(0);
    const same = ["coarse", "kidney", "masses", "tumor"].map((stage, i) => weights(stage).equals(before[i]));
    expect(same).toEqual([true, true, false, true]);
    const facts = JSON.parse(readFileSync(join(work, "run-b/run.json"), "utf8"));
    expect([facts.trained.masses.epochs, facts.trained.kidney.epochs, facts.status]).toEqual([1, 2, "finished"]);
    expect([facts.trained.masses.seed, facts.trained.kidney.seed]).toEqual([5, 0]);
    const log = readFileSync(join(work, "run-b/log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).stage);
    expect(log.filter((stage) => stage === "masses").length).toBe(1);
    expect(log.length).toBe(13);
    expect(readFileSync(join(work, "run-b/splits.json"))).toEqual(readFileSync(join(work, "run-a/splits.json")));
    expect(failure("--out", "run-b", "--stages", "masses", "--split-seed", "5")).toMatch(
      /--stages keeps the split of .*run-b, made with fractions [\d:]+, split seed 0, got fractions [\d:]+, split seed 5/,
    );
    expect(failure("--out", "run-b", "--stages", "masses", "--set", "window=400")).toMatch(
      /--stages keeps the coarse, kidney, tumor networks of .*run-b, trained with window 540 and level 140, got window 400 and level 140; ask for the same/,
    );
  });

  test("predict:kits gives the labels that the run itself gave its test cases, bit by bit", async () => {
    const { test: ids } = JSON.parse(readFileSync(join(work, "run-b/splits.json"), "utf8"));
    for (const id of ids) {
      const args = [
        "--run",
        "run-b",
        "--input",
        join(data, id),
        "--output",
        "predicted",
        "--no-preview",
        "--overwrite",
      ];
      const { status } = spawnSync(process.execPath, [command.replace("train-kits", "predict-kits"), ...args], {
        cwd: work,
      });
      expect(status).toBe(0);
      const [own, predicted] = [`run-b/predictions/${id}.nii.gz`, `predicted/${id}.nii.gz`].map((f) => join(work, f));
      const [a, b] = [await readLabels(own), await readLabels(predicted)];
      expect(Math.max(...a.data)).toBeGreaterThan(0);
      expect(Buffer.compare(a.data, b.data)).toBe(0);
    }
  });

  test("coarse masks for regions alone: labels are what the fine masks compose", async () => {
    expect(run("--out", "run-b", "--stages", "tumor", "--coarse-masks", "regions").status).toBe(0);
    const [id] = JSON.parse(readFileSync(join(work, "run-b/splits.json"), "utf8")).test;
    await expectComposed("run-b", id, (fine) => fine === 1);
  });

  test("stages can be run one by one; one that needs another says so", () => {
    expect(run(...SMALL, "--data", data, "--out", "run-d", "--stages", "coarse").status).toBe(0);
    expect(JSON.parse(readFileSync(join(work, "run-d/run.json"), "utf8")).status).toBe("partial");
    expect(existsSync(join(work, "run-d/stages/coarse/metrics.json"))).toBe(true);
    expect(failure("--out", "run-d", "--stages", "tumor")).toMatch(
      /the tumor stage needs the masses network; add masses to --stages/,
    );
    expect(run("--out", "run-d", "--stages", "kidney,masses,tumor").status).toBe(0);
    const scores = (name: string) => readFileSync(join(work, name, "evaluation.csv"), "utf8");
    expect(scores("run-d")).toBe(scores("run-a")); // the same as all by one command
  });

  test("ablation: a row per variant with its numbers of slices; started again, it goes on in the finished run", () => {
    expect(run(...SMALL, "--epochs", "1", "--data", data, "--out", "run-e", "--ablation").status).toBe(0);
    const read = () => JSON.parse(readFileSync(join(work, "run-e/ablation.json"), "utf8"));
    const { rows } = read();
    const names = ["coarse", "full", "no-coarse", "plain", "baseline", "msal", "region"];
    expect(rows.map(({ name }: { name: string }) => name)).toEqual(names);
    const images = Object.fromEntries(rows.map((r: { name: string; images: number }) => [r.name, r.images]));
    expect(images.full).toBe(images.coarse + 3 * 16);
    expect(images["no-coarse"]).toBe(3 * 16);
    expect([images.plain, images.baseline, images.msal]).toEqual(Array(3).fill(images.full));
    expect(Math.abs(images.region - images.full)).toBeLessThan(8 * 4); // only whole batches of 4 in 8 epochs
    for (const { metrics } of rows) expect(existsSync(join(work, "run-e", metrics))).toBe(true);
    expect(readFileSync(join(work, "run-e/report.html"), "utf8")).toContain("Without coarse segmentation");

    rmSync(join(work, "run-e/ablation/baseline"), { recursive: true });
    const weights = (path: string) => readFileSync(join(work, "run-e", path, "checkpoints/masses/last.safetensors"));
    const before = [".", "ablation/msal"].map(weights);
    expect(run("--out", "run-e", "--ablation").status).toBe(0);
    expect([".", "ablation/msal"].map(weights)).toEqual(before);
    expect(read().rows.map(({ mean }: { mean: object }) => mean)).toEqual(
      rows.map(({ mean }: { mean: object }) => mean),
    );
    expect(failure("--out", "run-e", "--ablation", "--width", "8")).toMatch(
      /--ablation goes on with the settings of the run in run-e/,
    );
  });

  test("another window is the run's: its slices, what goes on in it, and predictions", async () => {
    const soft = ["--set", "window=400", "--set", "level=40"];
    expect(run(...SMALL, "--data", data, "--out", "run-w", "--stages", "coarse", ...soft).status).toBe(0);
    expect(readdirSync(join(work, "cache")).filter((name) => name.endsWith("-32-window-400-level-40")).length).toBe(1);
    const { options, split } = JSON.parse(readFileSync(join(work, "run-w/run.json"), "utf8"));
    expect([options.window, options.level]).toEqual([400, 40]);
    expect(failure("--out", "run-w", "--resume", "--set", "level=50")).toMatch(
      /--resume goes on with the settings of the run in run-w/,
    );
    const [id] = split.test;
    const args = ["--run", "run-w", "--input", join(data, id), "--output", "predicted-w"];
    spawnSync(process.execPath, [command.replace("train-kits", "predict-kits"), ...args], { cwd: work });
    const [own, predicted] = [`run-w/stages/coarse/${id}.nii.gz`, `predicted-w/${id}.nii.gz`];
    const [a, b] = [await readLabels(join(work, own)), await readLabels(join(work, predicted))];
    expect(Math.max(...a.data)).toBeGreaterThan(0);
    expect(Buffer.compare(a.data, b.data)).toBe(0);
  });

  test("activations in f16, or a message where the adapter has none", () => {
    const { status, err } = run(...SMALL, "--data", data, "--out", "run-f", "--precision", "f16", "--stages", "coarse");
    expect(status).toBe(0);
    const { options } = JSON.parse(readFileSync(join(work, "run-f/run.json"), "utf8"));
    expect(options.coarse.precision).toBe(err.includes("this adapter has no f16") ? "f32" : "f16");
  });

  test("is not overwritten unless asked", () => {
    expect(failure(...SMALL, "--data", data, "--out", "run-a")).toMatch(
      /run-a already holds a run; choose another --out, add --overwrite to replace it, --resume to go on where it was interrupted, or --stages/,
    );
  });
});

describe("bad input ends in one message and exit code 1", () => {
  test("options out of range", () => {
    expect(failure("--preset", "nonsense")).toBe(
      "train:kits: --preset must be one of phantom, demo, fast, overfit, msalds, msalds-paper, msalds-release; got nonsense",
    );
    expect(failure("--width", "0")).toBe("train:kits: coarse.width must be a whole number from 1 to 256, got 0");
    expect(failure("--size", "100", "--depth", "4")).toBe(
      "train:kits: coarse.size must be a multiple of 16 for depth 4, got 100",
    );
    expect(failure("--lr", "fast")).toBe("train:kits: --set coarse.lr must be a number, got fast");
    expect(failure("--set", "kidney.width")).toContain("--set must be path=value such as masses.epochs=20");
    expect(failure("--stages", "liver")).toContain("must be all, or some of coarse,kidney,masses,tumor");
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
