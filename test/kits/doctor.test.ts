// Every kind of damage in one tree: each gets its row with a fix, the rest of the tree is read all the same.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diagnose } from "../../src/kits/doctor.ts";
import { kitsGeometry } from "../../src/kits/geometry.ts";
import { writeNifti } from "../../src/kits/nifti.ts";
import { writePhantom } from "../../src/kits/phantom.ts";

const command = new URL("../../dist/doctor-kits.js", import.meta.url).pathname;
let work: string;
const at = (...path: string[]) => join(work, ...path);

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-doctor-"));
  await writePhantom(at("good"), { cases: 1, slices: 40, size: 256 });
  await writePhantom(at("bad"), { cases: 6, slices: 8, size: 32 });
  const file = (index: number, name: string) => at("bad", `case_0000${index}`, `${name}.nii.gz`);
  rmSync(file(0, "imaging"));
  truncateSync(file(1, "imaging"), 2000);
  const bytes = readFileSync(file(2, "segmentation"));
  bytes[bytes.length >> 1] ^= 0xff;
  writeFileSync(file(2, "segmentation"), bytes);
  const geometry = kitsGeometry([20, 32, 32], [3, 0.8, 0.8]);
  await writeNifti(file(3, "segmentation"), new Uint8Array(20 * 32 * 32).fill(7), geometry); // unknown label, other grid
  const flat = kitsGeometry([4, 32, 24], [3, 12, 12]);
  await writeNifti(file(4, "imaging"), new Int16Array(4 * 32 * 24).fill(40), flat);
  await writeNifti(file(4, "segmentation"), new Uint8Array(4 * 32 * 24), flat);
  writeFileSync(file(5, "imaging"), "<html>404</html>");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("doctor", () => {
  test("a whole tree: nothing, exit code 0", () => {
    const { status, stdout } = spawnSync(process.execPath, [command, "--data", at("good")], { encoding: "utf8" });
    expect(stdout.trim()).toMatch(/1 cases: 0 errors, 0 warnings$/);
    expect(status).toBe(0);
  });

  test("each fault is named with its file and fix, and none hides another", async () => {
    const { findings, cases } = await diagnose(at("bad"));
    expect(cases).toBe(6);
    const of = (id: string) =>
      findings
        .filter((f) => f.id === id && !/unusual for a CT|has only 8|has only 7|has only 9/.test(f.problem)) // as the phantom is
        .map(({ severity, file, problem }) => `${severity} ${file}: ${problem}`);
    expect(of("case_00000")).toEqual(["error imaging.nii.gz: is missing"]);
    expect(of("case_00001")).toEqual([expect.stringMatching(/^error imaging.nii.gz: the file is cut short/)]);
    expect(of("case_00002")).toEqual([
      expect.stringMatching(/^error segmentation.nii.gz: the (file|gzip data) is (damaged|cut short)/),
    ]);
    expect(of("case_00003")[0]).toMatch(/^error segmentation.nii.gz: labels of .* found 7 \(20480 voxels\)/);
    expect(of("case_00003").at(-1)).toMatch(/shows no kidney/);
    expect(of("case_00004")).toEqual([
      "warning imaging.nii.gz: slices are 32 x 24, not square",
      "warning imaging.nii.gz: has only 4 slices",
      "warning imaging.nii.gz: values run from 40 to 40",
      "warning segmentation.nii.gz: shows no kidney",
    ]);
    expect(of("case_00005").length).toBe(1);
    expect(findings.some((f) => f.problem === "spacing 3 x 12 x 12 mm is unusual for a CT")).toBe(true);
    expect(findings.every(({ fix }) => fix.length > 0)).toBe(true);
  });

  test("the table, the exit code, and a folder that is no tree", () => {
    const run = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: "utf8" });
    const bad = run("--data", at("bad"));
    expect(bad.status).toBe(1);
    expect(bad.stdout).toMatch(/^ +case +file +problem +fix$/m);
    expect(bad.stdout).toMatch(/6 cases: \d+ errors, \d+ warnings/);
    expect(JSON.parse(run("--data", at("bad"), "--json").stdout).findings.length).toBeGreaterThan(8);
    mkdirSync(at("void"));
    const none = run("--data", at("void"));
    expect([none.status, none.stderr]).toEqual([1, expect.stringMatching(/doctor:kits: .*no case folders found/)]);
  });
});
