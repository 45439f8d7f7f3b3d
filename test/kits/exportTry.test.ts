// export:kits: what the JSON beside the networks says is enough to get the labels of the run.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, init } from "../../src/index.ts";
import { saveCheckpoint } from "../../src/kits/checkpointFile.ts";
import { exportRun } from "../../src/kits/exportKits.ts";
import type { Step } from "../../src/kits/exportSpec.ts";
import { stageNames, type RunOptions, type StageName } from "../../src/kits/options.ts";
import { drawPhantomCase } from "../../src/kits/phantom.ts";
import { saveFacts } from "../../src/kits/run.ts";
import { segment, type NetworkWeights } from "../../src/kits/segment.ts";
import { checkThrows } from "../check.ts";
import { labelsByJson } from "./exportedCascade.ts";
import { saveTinyWeights, tinyOptions } from "./tinyCascade.ts";

const command = new URL("../../dist/export-kits.js", import.meta.url).pathname;
const work = mkdtempSync(join(tmpdir(), "wgrad-export-"));
const scan = narrowScan();

beforeAll(() => init());
afterAll(() => {
  rmSync(work, { recursive: true });
  close();
});

/** A phantom without its outermost columns, so that slices are not square, between two slices of air on each side. */
function narrowScan(): { data: Int16Array; header: { shape: [number, number, number] } } {
  const { image, geometry } = drawPhantomCase(0, { slices: 9, size: 40 });
  const [S, H, W] = geometry.shape;
  const data = image.filter((_, i) => i % W >= 3 && i % W < W - 3);
  const plane = H * (W - 6);
  data.fill(-1024, 0, 2 * plane).fill(-1024, (S - 2) * plane);
  return { data, header: { shape: [S, H, W - 6] } };
}

/** Logits that are added to the background: random networks find their targets nearly everywhere. */
type Fewer = Partial<Record<StageName, number>>;

/** A run folder of random networks, and its exported files. */
async function exported(name: string, options: RunOptions, fewer: Fewer) {
  const [run, out] = [join(work, name), join(work, `${name} exported`)];
  const weights = await saveTinyWeights(options, run);
  for (const stage of stageNames) {
    const { model } = weights[stage] as NetworkWeights;
    model["head.3.bias"].data[0] += fewer[stage] ?? 0;
    const metadata = { stage, epoch: "3", validationLoss: "0.5" };
    await saveCheckpoint(join(run, "checkpoints", stage, "best.safetensors"), model, metadata);
  }
  await saveFacts(run, {
    ...{ status: "finished", wgrad: "0", node: "0", preset: "phantom", started: "" },
    adapter: { name: "", driver: "", software: true },
    ...{ options, stages: ["coarse", "kidney", "masses", "tumor"] },
    data: { title: "", root: "x", synthetic: true, license: "", note: "", cases: 3, slices: 18, key: "" },
    split: { unit: "case", seed: 0, fractions: [1, 1, 1], overfit: false, train: [], val: [], test: [] },
  });
  await exportRun(run, out);
  return { run, out, weights };
}

/** At most one voxel in a thousand differs: where two classes are equally probable, rounding decides. */
function expectSameLabels(found: Uint8Array, expected: Uint8Array, values: readonly number[]): void {
  const counts = values.map((value) => expected.filter((v) => v === value).length);
  expect(Math.min(...counts) / expected.length, `shares of ${counts.join(", ")}`).toBeGreaterThan(0.005);
  expect(found.length).toBe(expected.length);
  expect(found.filter((v, i) => v !== expected[i]).length).toBeLessThanOrEqual(expected.length / 1000);
}

const seed = 13; // with it networks find something here and nothing there
const { roi } = tinyOptions();
const joined = tinyOptions({
  seed,
  window: 400,
  level: 40,
  keepLargest: 1,
  roi: { ...roi, minArea: 0.01, neighbours: 1 },
});
Object.assign(joined.coarse, { channels: 2, recompute: true });
const paper: Partial<RunOptions> = {
  seed,
  coarseMasks: "regions",
  tumorRule: "voxels",
  roi: { ...roi, neighbours: 1 },
};
const whole = tinyOptions({ seed, roi: { ...roi, from: "none" }, tumorRule: "voxels", keepLargest: 0 });

describe("from the scan to labels by the JSON and onnxruntime alone, as the run segments it", () => {
  const rules = new Set<string>();
  const variants: [string, RunOptions, Fewer, labels: number[]][] = [
    ["joined", joined, { coarse: 0.5, masses: 0.2, tumor: 0.2 }, [0, 1, 2]],
    ["paper", tinyOptions(paper), { coarse: 1, masses: 0.2 }, [0, 1, 2, 3]],
    ["nothing coarse", tinyOptions(paper), { coarse: 40 }, [0, 1, 2, 3]],
    ["no coarse network", whole, {}, [0, 1, 2, 3]],
  ];
  test.each(variants)("%s", async (name, options, fewer, values) => {
    const { out, weights } = await exported(name, options, fewer);
    const { labels: expected } = await segment(scan, options, weights);
    const found = await labelsByJson(out, scan.data, scan.header.shape);
    found.rules.forEach((rule) => rules.add(rule));
    console.log(
      name,
      [0, 1, 2, 3].map((k) => expected.filter((v) => v === k).length),
      found.labels.filter((v, i) => v !== expected[i]).length,
      [...found.rules],
    );
    void values; void expectSameLabels;
    const edit=(file:string,f:(j:any)=>void)=>async()=>{const path=join(out,file);const before=readFileSync(path,"utf8");const j=JSON.parse(before);f(j);writeFileSync(path,JSON.stringify(j));try{const r=await labelsByJson(out,scan.data,scan.header.shape);return r.labels.filter((v,i)=>v!==expected[i]).length}catch(e){return String(e)}finally{writeFileSync(path,before)}};
    const step=(l:any[],n:string)=>l.find(s=>s.step===n);
    const drop=(n:string)=>edit("cascade.json",j=>{j.postprocessing=j.postprocessing.filter((s:any)=>s.step!==n)});
    const muts:Record<string,()=>Promise<unknown>>={
      same: edit("cascade.json",()=>{}),
      lesions: drop("whole lesions"), join: drop("join"), keep: drop("keep largest"),
      rank: edit("cascade.json",j=>{const k=step(j.postprocessing,"keep largest"); if(k) k.rank=["voxels"]}),
      comps: edit("cascade.json",j=>{const k=step(j.postprocessing,"keep largest"); if(k) k.components++}),
      coarsekeep: edit("coarse.json",j=>{j.postprocessing=j.postprocessing.filter((s:any)=>s.step!=="keep largest")}),
      minK: edit("kidney.json",j=>{step(j.preprocessing,"region").minArea=0}),
      minM: edit("masses.json",j=>{step(j.preprocessing,"region").minArea=0}),
      joinedT: edit("tumor.json",j=>{step(j.preprocessing,"region").joined=null}),
      margT: edit("tumor.json",j=>{step(j.preprocessing,"region").margin*=1.5}),
      thrM: edit("masses.json",j=>{step(j.postprocessing,"threshold").atLeast=0.6}),
      thrT: edit("tumor.json",j=>{step(j.postprocessing,"threshold").atLeast=0.6}),
      neighM: edit("masses.json",j=>{for(const e of step(j.preprocessing,"region").emptySlices??[]) if(e.slices) e.slices=0}),
      kidM: edit("masses.json",j=>{const r=step(j.preprocessing,"region"); r.emptySlices=r.emptySlices?.filter((e:any)=>!e.labels)}),
      clip: edit("tumor.json",j=>{Object.assign(step(j.preprocessing,"clip"),{low:-130,high:410});step(j.preprocessing,"window").from=[-130,410]}),
    };
    const res:string[]=[]; for(const [k,f] of Object.entries(muts)) {if(name==="no coarse network"&&k==="coarsekeep")continue; res.push(k+": "+await f());}
    console.log("MUT",name,res.join(", "));
  });

  test("slices without what a region is for met every rule", () => {
    expect([...rules].sort()).toEqual([
      ...["1,2,3: case", "1,2,3: neighbours", "1,2,3: whole slice"],
      ...["2,3: case", "2,3: case 1,2,3", "2,3: neighbours", "2,3: neighbours 1,2,3", "2,3: slice 1,2,3"],
      ...["2,3: whole slice", "left out"],
    ]);
  });
});

