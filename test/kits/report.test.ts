// The report against the files it is made from: every number of its tables, what it must say of the data, what it must
// survive, and that it is one file that asks for nothing.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataError } from "../../src/errors.ts";
import type { Ablation } from "../../src/kits/ablation.ts";
import type { Metrics } from "../../src/kits/evaluate.ts";
import { regionNames, type RegionScore } from "../../src/kits/metrics.ts";
import { caveats, writeOverlays, writeReport } from "../../src/kits/report.ts";
import { html } from "../../src/kits/report/html.ts";
import { readRun } from "../../src/kits/report/read.ts";
import { caseTable, worstFirst } from "../../src/kits/report/scores.ts";
import { settingsTables } from "../../src/kits/report/settings.ts";
import { epochLog, log, writeFixture, type Fixture, type FixtureOptions } from "./report_fixture.ts";
import { Rng } from "../../src/random.ts";

let work: string;
let full: Fixture;
let page: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-report-"));
  full = await writeFixture(join(work, "full"), { tests: 4, ablation: true, data: { note: "SIMULATED intensities" } });
  page = readFileSync(await writeReport(full.folder), "utf8");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

let made = 0;
async function pageOf(options: FixtureOptions, change: (fixture: Fixture) => void = () => {}): Promise<string> {
  const fixture = await writeFixture(join(work, `run-${made++}`), { cases: 4, tests: 2, epochs: 3, ...options });
  change(fixture);
  return readFileSync(await writeReport(fixture.folder), "utf8");
}

/** A section of a page by its id. */
function section(text: string, id: string): string {
  return new RegExp(`<section id="${id}">([\\s\\S]*?)</section>`).exec(text)![1];
}

/** The exact numbers in a table's row, NaN where there is none; the row is found by its attributes. */
function row(text: string, ...attributes: string[]): number[] {
  const found = [...text.matchAll(/<tr([^>]*)>([\s\S]*?)<\/tr>/g)].filter(([, head]) =>
    attributes.every((attribute) => head.includes(attribute)),
  );
  expect(found.length, attributes.join(" ")).toBe(1);
  return [...found[0][2].matchAll(/<data value="([^"]*)">/g)].map(([, value]) => (value === "" ? NaN : Number(value)));
}

const known = (value: number | null | undefined): number => value ?? NaN;
const volumeError = (s: RegionScore): number => s.predictionMl - s.referenceMl;

describe("the numbers are those of the files", () => {
  const read = (...path: string[]): Metrics => JSON.parse(readFileSync(join(full.folder, ...path), "utf8"));

  test("means over cases, of the cascade and of the coarse network", () => {
    for (const [model, metrics] of [
      ["cascade", read("metrics.json")],
      ["coarse alone", read("stages/coarse/metrics.json")],
    ] as const) {
      for (const region of regionNames) {
        const { dice, surfaceDice, jaccard, hd95 } = metrics.mean[region];
        const errors = metrics.cases.map((one) => volumeError(one[region]));
        const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
        expect(row(section(page, "scores"), `data-region="${region}"`, `data-model="${model}"`)).toEqual([
          dice,
          surfaceDice,
          jaccard,
          known(hd95),
          mean(errors.map(Math.abs)),
          mean(errors),
        ]);
      }
    }
  });

  test("every case, the models side by side", () => {
    const [cascade, coarse] = [read("metrics.json"), read("stages/coarse/metrics.json")];
    expect(cascade.cases.length).toBe(4);
    for (const [i, one] of cascade.cases.entries()) {
      for (const region of regionNames) {
        const [a, b] = [one[region], coarse.cases[i][region]];
        expect(row(page, `data-case="${one.id}"`, `data-region="${region}"`)).toEqual([
          a.referenceMl,
          ...[a.dice, b.dice, known(a.surfaceDice), known(b.surfaceDice), a.jaccard, b.jaccard],
          ...[known(a.hd95), known(b.hd95), volumeError(a), volumeError(b)],
        ]);
      }
    }
  });

  test("slices, apart and labelled as another unit", () => {
    const text = section(page, "slices");
    expect(text).toContain("Scores per slice: another unit");
    const { dice, jaccard, slices } = read("metrics.json").perSlice.mean.masses;
    expect(row(text, 'data-region="masses"', 'data-model="cascade"')).toEqual([dice, jaccard, slices]);
  });

  test("the ablation table, the best of each column in bold", () => {
    const text = section(page, "ablation");
    const { rows, notes } = JSON.parse(readFileSync(join(full.folder, "ablation.json"), "utf8")) as Ablation;
    for (const { name, images, cases, mean } of rows) {
      const scores = (["dice", "jaccard", "surfaceDice"] as const).flatMap((k) => regionNames.map((r) => mean[r][k]));
      expect(row(text, `data-variant="${name}"`)).toEqual([images, cases, ...scores]);
    }
    expect(text).toContain(notes[0]);
    const best = [...text.matchAll(/<tr data-variant="([^"]*)">([\s\S]*?)<\/tr>/g)].filter(([, , r]) =>
      /best"/.test(r),
    );
    expect(best.map(([, name]) => name)).toEqual(["full"]);
    expect(best[0][2].match(/best"/g)!.length).toBe(9);
  });

  test("cases are listed worst first", () => {
    const expected = worstFirst(full.metrics.cases).map(({ id }) => id);
    expect(new Set(expected.map((id) => full.metrics.cases.findIndex((c) => c.id === id))).size).toBe(4);
    const shown = [...section(page, "cases").matchAll(/<h3>(case_\d+)/g)].map(([, id]) => id);
    expect(shown).toEqual(expected);
    const dice = (id: string): number => full.metrics.cases.find((c) => c.id === id)!.masses.dice;
    expect(dice(shown[0])).toBeLessThan(dice(shown[3]));
  });
});

describe("what it says", () => {
  test("the data first: what they are, the note, the caveats", () => {
    const box = /<section class="data">([\s\S]*?)<\/section>/.exec(page)![1];
    for (const text of [
      "SYNTHETIC phantom",
      "SIMULATED intensities",
      "say nothing about patients",
      "no class for cysts",
    ])
      expect(box).toContain(text);
    expect(page.indexOf('class="data"')).toBeLessThan(page.indexOf("<table"));
  });

  test("curves of each stage, confidence and difficulty, the best epoch, warnings with their epochs", () => {
    const training = section(page, "training");
    for (const stage of ["coarse", "kidney", "masses", "tumor"]) expect(training).toContain(`${stage}: loss</text>`);
    expect(training).not.toContain("coarse: confidence");
    for (const plot of ["confidence", "difficulty", "discriminator accuracy"])
      expect(training).toContain(`tumor: ${plot}</text>`);
    expect(training).toMatch(/best: epoch \d/);
    expect(training).toContain("654,321");
    expect(section(page, "warnings")).toContain(
      "tumor, epochs 3, 4: scale 1: the discriminator tells every prediction",
    );
  });

  test("settings of the stages side by side, whatever their names", () => {
    const text = settingsTables({
      seed: 3,
      fractions: [8, 1, 1],
      roi: { margin: 0.1 },
      a: { width: 8, depth: 4, epochs: 2 },
      b: { width: 9, depth: 4, epochs: 2, extra: { deep: true } },
    }).text;
    expect(text).toContain("<div><dt>fractions</dt><dd>8, 1, 1</dd></div>");
    expect(text).toContain("<dt>roi.margin</dt><dd>0.1</dd>");
    expect(text).toMatch(/<td class="name">width<\/td><td>8<\/td>\s*<td>9<\/td>/);
    expect(text).toMatch(/<td class="name">extra.deep<\/td><td><\/td>\s*<td>yes<\/td>/);
    expect(settingsTables(undefined).text).toBe("");
  });

  test("how to read each figure", () => {
    for (const id of ["scores", "violins", "cases", "ablation", "training"])
      expect(section(page, id)).toContain("<b>How to read.</b>");
  });

  test("caveats: overfit, few cases, missing regions, the coarse network's tumor", () => {
    const facts = JSON.parse(readFileSync(join(full.folder, "run.json"), "utf8"));
    const { metrics } = full;
    expect(caveats(facts, metrics)).toEqual([
      "The data are synthetic: these scores say nothing about patients.",
      "Few test cases (4): a mean over them can change much with the next ones.",
      "Predictions keep the 2 components of which the coarse network found most.",
      "A mass in which any tumor is found is tumor as a whole.",
    ]);
    const real = { ...facts, data: { ...facts.data, synthetic: false }, options: {} };
    const many = { ...metrics, cases: Array.from({ length: 10 }, () => metrics.cases[0]) };
    expect(caveats(real, many)).toEqual([]);
    const paper = { ...real, options: { keepLargest: 2, coarseMasks: "regions", tumorRule: "voxels" } };
    expect(caveats(paper, many)).toEqual(["Predictions keep the 2 largest components."]);
    expect(caveats(real, many, "beside")[0]).toContain('tumor row of "coarse alone" compares masses with tumors');
    expect(caveats(real, many, "alone")[0]).toContain("its tumor scores compare masses with tumors");
    expect(caveats({ ...real, split: { ...facts.split, overfit: true } }, many)[0]).toMatch(/^Overfit check/);
    const fold = { ...facts.split, test: facts.split.val, origin: { file: "splits_final.json", fold: 2 } };
    expect(caveats({ ...real, split: fold }, many)[0]).toMatch(/^The scored cases are the validation cases of a fold/);
    const none = many.cases.map((one) => ({ ...one, tumor: { ...one.tumor, reference: 0 } }));
    expect(caveats(real, { ...many, cases: none })).toEqual([
      "No case has tumor in its reference; by the KiTS rule a prediction without any scores 1 there.",
    ]);
  });
});

describe("one file that asks for nothing", () => {
  test("no script, no address, pictures and plots inside", () => {
    expect(page).not.toMatch(/<script|<link|<iframe|javascript:|@import/i);
    const addresses = [...page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s]*)/gi)].map(([, address]) => address);
    expect(addresses.filter((a) => !/^(data:image\/png;base64,|#[a-z]+$|http:\/\/www\.w3\.org\/)/.test(a))).toEqual([]);
    expect(page).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`);
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of page.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(id);
    expect(page).not.toMatch(/undefined|NaN|\[object/);
  });

  test("tags are closed", () => {
    const open: string[] = [];
    const body = page.slice(page.indexOf("<html"));
    for (const [, slash, name, , self] of body.matchAll(/<(\/?)([a-z][\w]*)((?:"[^"]*"|'[^']*'|[^>"'])*?)(\/?)>/g)) {
      if (self === "/" || ["meta", "img", "br"].includes(name)) continue;
      if (slash === "/") expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  test("the pictures are PNG files: the CT once per slice, then its layers", () => {
    const pictures = [...section(page, "cases").matchAll(/data:image\/png;base64,([\w+/=]+)/g)].map(([, data]) =>
      decode(Buffer.from(data, "base64")),
    );
    expect(pictures.length).toBe(4 * 2 * 4);
    expect(pictures.slice(0, 4).map(({ channels }) => channels)).toEqual([1, 4, 4, 4]);
    expect(pictures.every(({ width, height }) => width <= 300 && height <= 225)).toBe(true);
    expect(
      section(page, "cases")
        .match(/<figcaption>[^<]*/g)!
        .slice(0, 4),
    ).toEqual(["CT", "reference", "prediction", "confidence: masses"].map((text) => `<figcaption>${text}`));
  });

  test("the same files give the same bytes", async () => {
    const plots = readdirSync(join(full.folder, "plots"));
    const before = plots.map((name) => readFileSync(join(full.folder, "plots", name), "utf8"));
    expect(readFileSync(await writeReport(full.folder), "utf8")).toBe(page);
    expect(plots.map((name) => readFileSync(join(full.folder, "plots", name), "utf8"))).toEqual(before);
    expect(plots).toEqual(expect.arrayContaining(["violin-dice.svg", "violin-jaccard.svg", "coarse-loss.svg"]));
    expect(before.every((text) => /^<\?xml[\s\S]*<\/svg>\n$/.test(text))).toBe(true);
  });

  test("text from files stays text", async () => {
    const evil = `<script>alert("x")</script>&<img src=x onerror='y'>`;
    const text = await pageOf(
      {
        data: { note: evil, license: evil },
        facts: { preset: evil, node: evil, options: { [evil]: evil } as never, status: "failed", error: evil },
        ablation: true,
      },
      ({ folder }) => {
        const path = join(folder, "ablation.json");
        const ablation = JSON.parse(readFileSync(path, "utf8")) as Ablation;
        Object.assign(ablation.rows[0], { name: evil, title: evil });
        writeFileSync(path, JSON.stringify({ ...ablation, notes: [evil] }));
        log(folder, { ...epochLog("kidney", 1, 1, 4, true, new Rng(1)), warnings: [evil] });
      },
    );
    expect(text).not.toMatch(/<script|<img src=x/);
    expect(text.split("&#60;script&#62;alert(&#34;x&#34;)&#60;/script&#62;&#38;").length).toBeGreaterThan(10);
    expect(html`<b title="${evil}">${[evil, 1, undefined, html`<i></i>`]}</b>`.text).toBe(
      `<b title="${escaped(evil)}">${escaped(evil)}\n1\n\n<i></i></b>`,
    );
    const [one] = full.metrics.cases;
    const named = caseTable([{ name: evil, metrics: { ...full.metrics, cases: [{ ...one, id: evil }] } }]).text;
    expect(named).not.toContain("<script");
    expect(named).toContain(`data-case="${escaped(evil)}"`);
  });

  const escaped = (text: string): string => text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
});

describe("files that are not there", () => {
  test("a coarse network alone", async () => {
    const text = await pageOf({ fine: false });
    expect(text).not.toContain("coarse alone");
    expect(text).toContain("its tumor scores compare masses with tumors");
    expect(section(text, "slices")).toContain("coarse network");
    expect(text).not.toMatch(/<figcaption>confidence|confidence 0/);
    expect(text).not.toContain('id="ablation"');
  });

  test("no discriminators, and one test case", async () => {
    const text = await pageOf({ discriminators: false, tests: 1 });
    expect(text).toContain("kidney: loss terms");
    expect(text).not.toMatch(/kidney: (confidence|difficulty|discriminator)/);
    expect(text).not.toContain("<figcaption>confidence");
    expect(text).toContain("1 test case,");
    expect(text).toContain("n = 1");
    expect(text).not.toMatch(/±\s+\d/); // one case has no deviation
    expect(text).not.toMatch(/undefined|NaN/);
  });

  test("no log, no splits.json, no coarse scores", async () => {
    const text = await pageOf({}, ({ folder }) => {
      for (const name of ["log.jsonl", "splits.json", "stages/coarse/metrics.json"]) rmSync(join(folder, name));
    });
    expect(text).not.toMatch(/id="training"|id="warnings"|coarse alone/);
    expect(text).toContain("case_00003");
    expect(section(text, "slices")).toContain("cascade"); // the folders of its stages tell
  });

  test("surfaces that were not measured", async () => {
    const text = await pageOf({}, ({ folder }) => {
      const path = join(folder, "metrics.json");
      const metrics = JSON.parse(readFileSync(path, "utf8")) as Metrics;
      for (const of of [metrics.mean, ...metrics.cases]) {
        for (const region of regionNames) {
          const { surfaceDice: _, hd95: __, asd: ___, ...rest } = of[region] as RegionScore;
          Object.assign(of, { [region]: rest });
        }
      }
      writeFileSync(path, JSON.stringify({ ...metrics, tolerances: null }));
    });
    expect(row(section(text, "scores"), 'data-region="tumor"', 'data-model="cascade"').map(Number.isNaN)).toEqual([
      ...[false, true, false, true, false, false],
    ]);
    expect(text).not.toMatch(/undefined|NaN/);
  });

  test("run.json and metrics.json must be there, and the test cases' data", async () => {
    const { folder, data } = await writeFixture(join(work, "broken"), { cases: 3, tests: 1, epochs: 1 });
    rmSync(join(data, "case_00002"), { recursive: true });
    await expect(writeReport(folder)).rejects.toThrow(
      `${data}: must hold case_00002, which the run was scored on; give its folder back`,
    );
    rmSync(join(folder, "metrics.json"));
    await expect(writeReport(folder)).rejects.toThrow(/metrics\.json: the file must be readable.*run the evaluation/);
    rmSync(join(folder, "run.json"));
    await expect(writeReport(folder)).rejects.toThrow(DataError);
  });
});

describe("log.jsonl", () => {
  const line = (epoch: number, trainLoss: number): string =>
    JSON.stringify({ ...epochLog("kidney", epoch, 5, 0, false, new Rng(1)), trainLoss });
  const losses = async (text: string): Promise<number[]> => {
    writeFileSync(join(full.folder, "log.jsonl"), text);
    return (await readRun(full.folder)).log.get("kidney")!.map(({ trainLoss }) => trainLoss);
  };
  let before: string;
  beforeAll(() => void (before = readFileSync(join(full.folder, "log.jsonl"), "utf8")));
  afterAll(() => writeFileSync(join(full.folder, "log.jsonl"), before));

  test("a stage that was trained again counts from where it started", async () => {
    expect(await losses([line(1, 9), line(2, 8), line(3, 7), line(2, 1), ""].join("\n"))).toEqual([9, 1]);
  });

  test("a last line cut short by a killed run is left out; another broken line is named", async () => {
    expect(await losses(`${line(1, 9)}\n{"stage": "kid`)).toEqual([9]);
    await expect(losses(`${line(1, 9)}\nnot json\n${line(2, 8)}\n`)).rejects.toThrow(
      /log\.jsonl, line 2: the file must hold valid JSON, found .*; delete that line/,
    );
  });
});

describe("many cases", () => {
  test("shows the worst, some about the median, and the best", async () => {
    const { folder, metrics } = await writeFixture(join(work, "many"), { cases: 8, tests: 6, epochs: 1 });
    const path = await writeReport(folder, { cases: { worst: 2, median: 1, best: 1 } });
    const text = section(readFileSync(path, "utf8"), "cases");
    const order = worstFirst(metrics.cases).map(({ id }) => id);
    expect([...text.matchAll(/<h3>(case_\d+)/g)].map(([, id]) => id)).toEqual([order[0], order[1], order[3], order[5]]);
    expect([...text.matchAll(/<h3 class="group">([^<]*)/g)].map(([, title]) => title)).toEqual([
      "The 2 worst",
      "1 about the median",
      "The 1 best",
    ]);
    expect(text).toContain("Shown are 4 of\n6 cases");
    expect(readFileSync(path, "utf8").match(/data-case=/g)!.length).toBe(18); // the table has all
  });
});

describe("overlays", () => {
  test("a picture per case with the confidence map, and a sheet", async () => {
    const volumes = (id: string) => ({
      image: join(full.data, id, "imaging.nii.gz"),
      label: join(full.data, id, "segmentation.nii.gz"),
    });
    const ids = full.metrics.cases.map(({ id }) => id);
    await writeOverlays(full.folder, { caseById: volumes }, ids);
    for (const id of ids) {
      const { width, height } = decode(readFileSync(join(full.folder, "overlays", `${id}.png`)));
      expect([width, height]).toEqual([4 * 320 + 6, 240]);
    }
    expect(decode(readFileSync(join(full.folder, "overlays.png"))).height).toBe(4 * (192 + 10) + 10);
    expect(existsSync(join(full.folder, "report.html"))).toBe(true);
  });
});
