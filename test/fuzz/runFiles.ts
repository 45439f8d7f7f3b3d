// The JSON files of a run folder. Nothing guards their digits, so what is accepted must be made as valid files are: fields,
// kinds and words as there, names that stay inside the folder; and what reads it next must come through.

import { strict as assert } from "node:assert";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { WgradError } from "../../src/errors.ts";
import type { Ablation } from "../../src/kits/ablation.ts";
import { summarize } from "../../src/kits/evaluate.ts";
import type { CaseScore, RegionScore } from "../../src/kits/metrics.ts";
import { checkOptions } from "../../src/kits/options.ts";
import { presetOptions, presets } from "../../src/kits/presets.ts";
import { caveats } from "../../src/kits/report.ts";
import { readRun, type RunFiles } from "../../src/kits/report/read.ts";
import {
  ablationTable,
  caseTable,
  meanTable,
  scoredModels,
  sliceTable,
  worstFirst,
} from "../../src/kits/report/scores.ts";
import { settingsTables } from "../../src/kits/report/settings.ts";
import { loadRois, type RoisFile } from "../../src/kits/roisFile.ts";
import { describeData, loadFacts, trimLog, type RunFacts } from "../../src/kits/run.ts";
import { loadSplit, splitCases, type Split } from "../../src/kits/split.ts";
import type { EpochLog } from "../../src/kits/train.ts";
import { assertKinds, kindsOf, staysInside, type Format, type Places } from "./format.ts";
import { damaged, pick } from "./mutateBytes.ts";
import { mutatedJson, mutatedJsonFile } from "./mutateJson.ts";

const ids = Array.from({ length: 6 }, (_, i) => `case_0000${i}`);
const split = splitCases(ids, { seed: 3 });
const splits: Split[] = [split, splitCases(ids, { overfit: true }), { ...split, fractions: [0.5, 0.25, 0.25] }];
const result = {
  best: { epoch: 2, validationLoss: 0.25 },
  ...{ epochs: 4, images: 960, seed: 0, seconds: 96.5, parameters: { network: 123456, discriminators: 0 } },
};

const facts = (options: object): RunFacts =>
  ({
    ...{
      status: "finished",
      wgrad: "0.1.0",
      node: "v20.20.2",
      preset: "phantom",
      options,
      stages: ["coarse", "kidney"],
    },
    adapter: { name: "llvmpipe", driver: "Mesa", software: true, vendor: "mesa", subgroupMatrix: null },
    data: {
      ...{ title: "KiTS23", root: "/data", synthetic: false, license: "CC", note: "", cases: 6, slices: 60, key: "0f" },
    },
    ...{ split, started: "2026-01-02T03:04:05.000Z", finished: "2026-01-02T04:04:05.000Z" },
    seconds: { preprocess: 2.5, coarse: 98 },
    trained: {
      coarse: result,
      kidney: { ...result, best: { epoch: 1, validationLoss: null as never } },
      masses: "absent",
    },
  }) as RunFacts;

/** Every setting that need not be whole, as such a number. */
function fractional(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((v) => fractional(v, name));
  if (typeof value === "object")
    return Object.fromEntries(Object.entries(value!).map(([n, v]) => [n, fractional(v, n)]));
  const wholes =
    /^(size|sourceSize|channels|width|depth|epochs|batch|restartEvery|slicesPerEpoch|validationSlices|scales)$|Every|Width|Depth|[sS]eed|keepLargest|neighbours/;
  return typeof value === "number" && !wholes.test(name) ? value + 0.015625 : value;
}

const allOptions = [...Object.keys(presets).map(presetOptions), fractional(presetOptions("phantom")) as object];
const allFacts = allOptions.map(facts);
const { finished: _, seconds: __, trained: ___, ...bare } = facts(presetOptions("demo"));
const failed = { ...bare, status: "failed", error: "out of memory" };
const others = ["running", "partial", "interrupted"].map((status) => ({ ...bare, status }));
const everyStage = { ...bare, stages: ["coarse", "kidney", "masses", "tumor"] };
const factPlaces: Places = {
  records: /^\.(seconds|trained)$/,
  words: /^\.(status|stages\.\*|trained\.\*|split\.unit|options\..*)$/,
};
const plainAdapter = { name: "llvmpipe", driver: "Mesa", software: true };
const factKinds = kindsOf(
  [...allFacts, failed, ...others, everyStage, ...splits.map((s) => ({ ...bare, split: s }))].map((one) => ({
    ...one,
    adapter: plainAdapter,
  })),
  factPlaces,
);

const safeSplit = ({ train, val, test }: Split) => [...train, ...val, ...test].every(staysInside);

export const runJson: Format = {
  name: "run.json",
  inputs: 3000,
  prepare: async (folder) => (rng) => {
    writeFileSync(join(folder, "run.json"), mutatedJsonFile(pick([...allFacts, failed], rng), rng));
    return {
      read: () => loadFacts(folder),
      judge: (value) => {
        const found = value as RunFacts;
        const { name, driver, software } = found.adapter; // what else is known of it is not used
        assertKinds({ ...found, adapter: { name, driver, software } }, factKinds);
        assert(safeSplit(found.split), "a case leads out of the folder");
        for (const stage of Object.keys(found.trained ?? {}))
          assert(/^(coarse|kidney|masses|tumor|region)$/.test(stage));
        try {
          checkOptions(found.options); // as going on with the run does
        } catch (error) {
          assert(error instanceof WgradError, String(error));
        }
        describeData(found.data);
      },
    };
  },
};

export const splitsJson: Format = {
  name: "splits.json",
  inputs: 2000,
  prepare: async (folder) => {
    const path = join(folder, "splits.json");
    const kinds = kindsOf(splits, { words: /^\.unit$/ });
    return (rng) => {
      writeFileSync(path, mutatedJsonFile(pick(splits, rng), rng));
      return {
        read: () => loadSplit(path, ids),
        judge: (value) => {
          const { train, val, test, overfit } = value as Split;
          assertKinds(value, kinds);
          const all = [...train, ...val, ...test];
          assert(all.every((id) => ids.includes(id)) && train.length > 0 && test.length > 0);
          const parts = [train, val, test].map((part) => [...part].sort());
          for (const part of parts) assert.equal(new Set(part).size, part.length);
          if (overfit) assert(isDeepStrictEqual(parts[0], parts[1]) && isDeepStrictEqual(parts[0], parts[2]));
          else assert.equal(new Set(all).size, all.length);
        },
      };
    };
  },
};

export const roisJson: Format = {
  name: "rois.json",
  inputs: 2000,
  prepare: async (folder) => {
    const path = join(folder, "rois.json");
    const region = (source: string) => ({ y: -0.125, x: 0.25, side: 0.625, source });
    const sources = ["slice", "neighbours", "case", "kidney", "full"].map(region);
    const file = {
      margin: 0.078125,
      neighbours: 2,
      cases: { case_00000: [null, ...sources], case_00001: [region("full")] },
    };
    const kinds = kindsOf([file], { records: /^\.cases$/, words: /source$/ });
    return (rng) => {
      writeFileSync(path, mutatedJsonFile(file, rng));
      return {
        read: () => loadRois(path, [{ id: "case_00000", slices: 6 }]),
        judge: (value) => {
          assertKinds(value, kinds);
          const { cases } = value as RoisFile;
          assert(Object.keys(cases).every(staysInside) && cases.case_00000.length === 6);
          assert(
            Object.values(cases)
              .flat()
              .every((roi) => roi === null || roi.side > 0),
          );
        },
      };
    };
  },
};

const score = (dice: number, surfaces: boolean, empty = false): RegionScore => ({
  ...{
    dice,
    jaccard: dice / (2 - dice),
    intersection: 50,
    reference: 60,
    prediction: 70,
    referenceMl: 1.5,
    predictionMl: 2.5,
  },
  ...(surfaces ? { surfaceDice: dice, hd95: empty ? null : 1.5, asd: empty ? null : 0.25 } : {}),
});
const caseScore = (id: string, dice: number, surfaces: boolean): CaseScore => ({
  id,
  regions: { kidney: score(dice, surfaces), masses: score(dice / 2, surfaces), tumor: score(NaN, surfaces, true) },
  perSlice: { kidney: [{ slice: 0, dice, jaccard: dice }], masses: [], tumor: [] },
});
const tolerances = { kidney: 1.5, masses: 1.25, tumor: 1.125 };
const scores = (surfaces: boolean) => ids.slice(0, 3).map((id, i) => caseScore(id, 0.25 + i / 4.5, surfaces));
const metrics = [
  summarize(scores(true), { tolerances }),
  summarize(scores(false), { empty: "monai", split: "overfit" }),
  summarize(scores(true), { tolerances, empty: "nnunet" }),
].map((m) => JSON.parse(JSON.stringify(m)) as object);

/** Every share in `metrics` may be missing, and any may lie between 0 and 1. */
const anyShare = (value: number | null) =>
  JSON.parse(JSON.stringify(metrics[0]), (name, v: unknown) =>
    /dice|jaccard|hd95|asd/i.test(name) ? value : v,
  ) as object;

const epoch = (stage: string, number: number, scales: number): EpochLog => ({
  ...{
    stage,
    epoch: number,
    epochs: 4,
    lr: 1e-3,
    trainLoss: 0.5,
    validationLoss: 0.25,
    validationDice: { kidney: 0.5 },
  },
  ...{ imagesPerSecond: 20.5, seconds: 12.5 },
  ...(scales > 0
    ? { generator: [{ loss: 0.5 }], discriminator: [{ loss: 0.5, accuracy: 0.5 }], warnings: ["scale 1: won"] }
    : {}),
});
const lines = ["coarse", "kidney", "region", "masses", "tumor"].flatMap((stage) =>
  [1, 2].map((n) => epoch(stage, n, n - 1)),
);
const noNumbers = { lr: null, trainLoss: null, validationLoss: null, imagesPerSecond: null, seconds: null };
const blanks = {
  ...epoch("coarse", 1, 1),
  ...noNumbers,
  validationDice: { kidney: null },
  generator: [{ a: null }],
  discriminator: [{ a: null }],
};

const perRegion = (dice: number | null) =>
  Object.fromEntries(["kidney", "masses", "tumor"].map((name) => [name, { dice, jaccard: dice, surfaceDice: dice }]));
const row = (name: string, dice: number | null, path: string) => ({
  ...{ name, title: `The ${name}`, images: 960, seconds: 96.5, cases: 3, mean: perRegion(dice), metrics: path },
});
const ablation = {
  rows: [row("coarse", 0.5, "stages/coarse/metrics.json"), row("full", null, "metrics.json")],
  notes: ["One seed."],
};
const plainRow = {
  ...ablation.rows[0],
  mean: { kidney: { dice: -0.5, jaccard: 0.5 }, masses: { dice: 1, jaccard: 1 }, tumor: { dice: 1, jaccard: 1 } },
};

const kindsOfFile = {
  "metrics.json": kindsOf([...metrics, anyShare(0.125), anyShare(null)], { words: /^\.(unit|empty|perSlice\.unit)$/ }),
  "ablation.json": kindsOf([ablation, { ...ablation, rows: [plainRow] }]),
  "log.jsonl": kindsOf([...lines, blanks, { ...lines[0], ...negative(lines[0]) }], {
    records: /validationDice$|(generator|discriminator)\.\*$/,
    words: /^\.stage$/,
  }),
};

function negative(line: EpochLog): object {
  const numbers = Object.keys(noNumbers) as (keyof typeof noNumbers)[];
  const all = Object.fromEntries(numbers.map((name) => [name, -(line[name] as number) - 0.5]));
  return { ...all, validationDice: { kidney: -0.5 }, generator: [{ a: -0.5 }], discriminator: [{ a: -0.5 }] };
}

/** A run folder for the report, with one file damaged. */
export const report: Format = {
  name: "report's files",
  inputs: 3000,
  prepare: async (folder) => {
    mkdirSync(join(folder, "stages", "coarse"), { recursive: true });
    const log = lines.map((line) => JSON.stringify(line)).join("\n") + "\n";
    const whole: Record<string, string | Uint8Array> = {
      "run.json": JSON.stringify(allFacts[0]),
      "splits.json": JSON.stringify(split),
      "metrics.json": JSON.stringify(metrics[0]),
      "stages/coarse/metrics.json": JSON.stringify(metrics[0]),
      "ablation.json": JSON.stringify(ablation),
      "log.jsonl": log,
    };
    return (rng) => {
      const hit = pick(Object.keys(whole), rng);
      for (const [name, text] of Object.entries(whole)) writeFileSync(join(folder, name), text);
      const seed = hit.endsWith("metrics.json")
        ? pick(metrics, rng)
        : (JSON.parse(hit === "log.jsonl" ? "0" : (whole[hit] as string)) as unknown);
      writeFileSync(join(folder, hit), hit === "log.jsonl" ? damagedLog(rng) : mutatedJsonFile(seed, rng));
      return { read: () => readRun(folder), judge: (value) => judgeRun(value as RunFiles) };
    };
  },
};

function damagedLog(rng: Parameters<typeof mutatedJson>[1]): string | Uint8Array {
  const texts = lines.map((line) => JSON.stringify(line));
  const i = rng.integer(texts.length);
  if (rng.uniform() < 0.25) return damaged(new TextEncoder().encode(texts.join("\n")), rng);
  texts[i] = mutatedJson(lines[i], rng).replaceAll("\n", " ");
  return texts.join("\n");
}

function judgeRun({ facts, split, metrics, coarse, ablation, log, model }: RunFiles): void {
  assert(safeSplit(split));
  for (const one of coarse ? [metrics, coarse] : [metrics]) {
    assertKinds(one, kindsOfFile["metrics.json"]);
    assert(one.cases.every(({ id }) => staysInside(id)));
  }
  assertKinds(ablation, kindsOfFile["ablation.json"]);
  for (const { metrics: path } of (ablation as Ablation).rows) assert(path.split("/").every(staysInside), path);
  for (const line of [...log.values()].flat()) assertKinds(line, kindsOfFile["log.jsonl"]);
  const models = scoredModels(model, metrics, coarse);
  worstFirst(metrics.cases);
  for (const table of [meanTable, caseTable, sliceTable]) assert(!/\[object|undefined/.test(table(models).text));
  ablationTable(ablation!);
  settingsTables(facts.options);
  caveats(facts, metrics);
}

/** Going on with a stage drops its later lines; what it keeps must be lines. */
export const logTrimmed: Format = {
  name: "log.jsonl",
  inputs: 1000,
  prepare: async (folder) => (rng) => {
    const path = join(folder, "log.jsonl");
    writeFileSync(path, damagedLog(rng));
    return {
      read: async () => {
        await trimLog(folder, "kidney", 1);
        appendFileSync(path, `${JSON.stringify(epoch("kidney", 2, 0))}\n`);
        for (const name of ["run", "metrics"])
          writeFileSync(join(folder, `${name}.json`), JSON.stringify(name === "run" ? allFacts[0] : metrics[0]));
        return readRun(folder);
      },
      judge: (value) => {
        const { log } = value as RunFiles;
        for (const line of [...log.values()].flat()) assertKinds(line, kindsOfFile["log.jsonl"]);
        assert(log.get("kidney")!.length <= 2 && log.get("kidney")!.at(-1)!.epoch === 2);
      },
    };
  },
};
