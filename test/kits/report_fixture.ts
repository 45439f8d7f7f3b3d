// A run folder as a finished run leaves it, made from the phantom without training: predictions are shifted references,
// scores are their true scores, curves and confidence are drawn.
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ablation } from "../../src/kits/ablation.ts";
import { writeJsonAtomic } from "../../src/kits/atomic.ts";
import { evaluate, type Metrics } from "../../src/kits/evaluate.ts";
import type { Geometry } from "../../src/kits/geometry.ts";
import { readLabels, writeNifti } from "../../src/kits/nifti.ts";
import { writePhantom } from "../../src/kits/phantom.ts";
import { presetOptions } from "../../src/kits/presets.ts";
import type { RunFacts } from "../../src/kits/run.ts";
import type { Split } from "../../src/kits/split.ts";
import type { EpochLog } from "../../src/kits/train.ts";
import { Rng } from "../../src/random.ts";

export interface FixtureOptions {
  /** Phantom cases; all but the last `tests` train. */
  cases?: number;
  tests?: number;
  epochs?: number;
  /** Fine stages beside the coarse one; default true. */
  fine?: boolean;
  discriminators?: boolean;
  ablation?: boolean;
  facts?: Partial<RunFacts>;
  data?: Partial<RunFacts["data"]>;
}

export interface Fixture {
  folder: string;
  data: string;
  metrics: Metrics;
  coarse?: Metrics;
}

const fineNames = ["kidney", "masses", "tumor"] as const;

export async function writeFixture(root: string, options: FixtureOptions = {}): Promise<Fixture> {
  const { cases = 6, tests = 3, epochs = 8, fine = true, discriminators = true } = options;
  const data = join(root, "data");
  const folder = join(root, "run");
  await writePhantom(data, { cases, slices: 10, size: 48 });
  const ids = Array.from({ length: cases }, (_, i) => `case_${String(i).padStart(5, "0")}`);
  const test = ids.slice(-tests);
  const rng = new Rng(7, "report fixture");
  for (const [i, id] of test.entries()) {
    const { data: labels, header } = await readLabels(join(data, id, "segmentation.nii.gz"));
    await writeNifti(join(folder, "predictions", `${id}.nii.gz`), shift(labels, header, 1 + (i % 3), 0), header);
    if (!fine) continue;
    const masses = labels.map((v) => Math.min(v, 2)); // the coarse network has no class for cysts
    await writeNifti(join(folder, "stages/coarse", `${id}.nii.gz`), shift(masses, header, 2, 2), header);
    if (!discriminators) continue;
    for (const [k, stage] of fineNames.entries()) {
      const map = confidence(labels, header, k + 1);
      await writeNifti(join(folder, "stages", stage, "confidence", `${id}.nii.gz`), map, header);
    }
  }
  const score = async (predictions: string, out: string): Promise<Metrics> =>
    (await evaluate({ reference: data, predictions, out, ids: test, progress: "silent" })).metrics;
  const metrics = await score(join(folder, "predictions"), folder);
  const coarse = fine ? await score(join(folder, "stages/coarse"), join(folder, "stages/coarse")) : undefined;
  writeFileSync(join(folder, "log.jsonl"), "");
  for (const stage of fine ? ["coarse", ...fineNames] : ["coarse"]) {
    const scales = stage === "coarse" ? 0 : 4;
    for (let epoch = 1; epoch <= epochs; epoch++) {
      log(folder, epochLog(stage, epoch, epochs, scales, discriminators, rng.fork(`${stage} ${epoch}`)));
    }
  }
  const split = splitOf(ids, test);
  await writeJsonAtomic(join(folder, "splits.json"), split);
  await writeJsonAtomic(join(folder, "run.json"), { ...factsOf(data, split, fine, options), ...options.facts });
  if (options.ablation) await writeJsonAtomic(join(folder, "ablation.json"), ablationOf(metrics));
  return { folder, data, metrics, coarse };
}

/** Appends a line to log.jsonl. */
export function log(folder: string, line: EpochLog): void {
  mkdirSync(folder, { recursive: true });
  appendFileSync(join(folder, "log.jsonl"), `${JSON.stringify(line)}\n`);
}

export function epochLog(
  stage: string,
  epoch: number,
  epochs: number,
  scales: number,
  discriminators: boolean,
  rng: Rng,
): EpochLog {
  const noise = (size: number): number => size * (rng.uniform() - 0.5);
  const t = epoch / epochs;
  const line: EpochLog = {
    stage,
    epoch,
    epochs,
    lr: 1e-3 * 0.96 ** epoch,
    trainLoss: 0.2 + 1.4 * Math.exp(-3 * t) + noise(0.08),
    validationLoss: 0.3 + 1.2 * Math.exp(-3 * t) + 0.2 * t * t + noise(0.12),
    validationDice: stage === "coarse" ? { kidney: 0.95 * t, masses: 0.5 * t } : { [stage]: 0.9 * t ** 0.5 },
    imagesPerSecond: 20 + noise(4),
    seconds: 12 + noise(2),
  };
  if (scales === 0) return line;
  const each = <T>(make: (k: number) => T): T[] => Array.from({ length: scales }, (_, k) => make(k));
  line.generator = each((k) => ({
    loss: 2 * Math.exp(-2 * t) + 0.1 * k,
    dice: Math.exp(-2 * t) + noise(0.05),
    crossEntropy: 0.8 * Math.exp(-2 * t) + noise(0.05),
    ...(discriminators
      ? { adversarial: 0.7 + 0.2 * t, confidence: 0.5 - 0.1 * t, difficulty: 0.75 + 0.1 * t + 0.03 * k + noise(0.03) }
      : {}),
  }));
  if (!discriminators) return line;
  line.discriminator = each((k) => ({
    loss: 0.7 - 0.2 * t + noise(0.03),
    label: 0.7 - 0.2 * t,
    prediction: 0.7 - 0.2 * t,
    confidenceLabel: 0.5 + 0.25 * t - 0.02 * k + noise(0.03),
    confidencePrediction: 0.5 - 0.2 * t + 0.02 * k + noise(0.03),
    accuracy: 0.5 + 0.3 * t - 0.03 * k + noise(0.03),
  }));
  if (stage === "tumor" && epoch >= 3 && epoch <= 4)
    line.warnings = ["scale 1: the discriminator tells every prediction"];
  return line;
}

function splitOf(ids: string[], test: string[]): Split {
  const rest = ids.slice(0, ids.length - test.length);
  const base = { unit: "case" as const, seed: 0, fractions: [8, 1, 1] as [number, number, number], overfit: false };
  return { ...base, train: rest.slice(0, -1), val: rest.slice(-1), test };
}

function factsOf(data: string, split: Split, fine: boolean, options: FixtureOptions): RunFacts {
  const trained = { best: { epoch: 1, validationLoss: 0.3 }, epochs: 8, images: 960, seed: 0, seconds: 96 };
  return {
    stages: ["coarse", "kidney", "masses", "tumor"],
  status: "finished",
    wgrad: "0.1.0",
    node: "v20.20.2",
    adapter: { name: "llvmpipe", driver: "Mesa 24.1", software: true },
    preset: "phantom",
    options: presetOptions("phantom"),
    data: {
      title: "synthetic phantom",
      root: data,
      synthetic: true,
      license: "public domain",
      note: "",
      cases: split.train.length + split.val.length + split.test.length,
      slices: 60,
      key: "0123456789abcdef",
      ...options.data,
    },
    split,
    started: "2026-01-02T03:04:05.000Z",
    seconds: { preprocess: 2.5, coarse: 98.2, kidney: 130, evaluate: 3.25 },
    trained: {
      coarse: { ...trained, parameters: { network: 123456, discriminators: 0 } },
      ...(fine ? { kidney: { ...trained, parameters: { network: 654321, discriminators: 98765 } } } : {}),
    },
  };
}

function ablationOf(metrics: Metrics): Ablation {
  const row = (name: string, title: string, less: number): Ablation["rows"][number] => {
    const scores = ({ dice, jaccard, surfaceDice }: Metrics["mean"]["kidney"]) => ({
      dice: dice - less,
      jaccard: jaccard - less,
      surfaceDice: (surfaceDice ?? NaN) - less,
    });
    const { kidney, masses, tumor } = metrics.mean;
    const mean = { kidney: scores(kidney), masses: scores(masses), tumor: scores(tumor) };
    return {
      name,
      title,
      images: 3840,
      seconds: 400,
      cases: metrics.cases.length,
      mean,
      metrics: `${name}/metrics.json`,
    };
  };
  return {
    rows: [
      row("no-coarse", "Without coarse segmentation", 0.05),
      row("baseline", "Baseline: discriminator at the last layer", 0.03),
      row("msal", "Baseline + MSAL: all scales, no difficulty supervision", 0.01),
      row("full", "Baseline + MSAL + DS: the full method", 0),
      row("region", "One region-trained network", 0.02),
    ],
    notes: ["One seed: differences smaller than the spread between seeds mean nothing."],
  };
}

function shift(labels: Uint8Array, { shape: [s, h, w] }: Geometry, dy: number, dx: number): Uint8Array {
  const out = new Uint8Array(labels.length);
  for (let z = 0; z < s; z++) {
    for (let y = dy; y < h; y++) {
      for (let x = dx; x < w; x++) out[(z * h + y) * w + x] = labels[(z * h + y - dy) * w + x - dx];
    }
  }
  return out;
}

/** High inside the box of the labels from `least` on, low at their borders, 0 outside the box. */
function confidence(labels: Uint8Array, { shape: [s, h, w] }: Geometry, least: number): Uint8Array {
  const out = new Uint8Array(labels.length);
  for (let z = 0; z < s; z++) {
    const at = (y: number, x: number): boolean => labels[(z * h + y) * w + x] >= Math.min(least, 2);
    let [y0, y1, x0, x1] = [h, -1, w, -1];
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        if (at(y, x)) [y0, y1, x0, x1] = [Math.min(y0, y), Math.max(y1, y), Math.min(x0, x), Math.max(x1, x)];
      }
    }
    for (let y = Math.max(1, y0 - 3); y <= Math.min(h - 2, y1 + 3); y++) {
      for (let x = Math.max(1, x0 - 3); x <= Math.min(w - 2, x1 + 3); x++) {
        const border = at(y, x) !== at(y + 1, x) || at(y, x) !== at(y, x + 1) || at(y, x) !== at(y - 1, x);
        out[(z * h + y) * w + x] = border ? 40 : 140 + ((x * 7 + y * 13) % 90);
      }
    }
  }
  return out;
}
