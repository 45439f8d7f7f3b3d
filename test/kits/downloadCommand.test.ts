// npm run download:kits as a user meets it: exit codes, Ctrl-C, a full disk, two at a time.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { IMAGE, publish, stall, startWeb } from "./badServer.ts";
import { scratch } from "./craft.ts";

const command = new URL("../../dist/download-kits.js", import.meta.url).pathname;
const folder = scratch();
const web = startWeb();

let out = "";
let runs = 0;
beforeEach(() => {
  out = join(folder, `tree-${runs++}`);
  publish(web);
});
const image = () => join(out, "case_00000/imaging.nii.gz");
const isWhole = () => expect(readFileSync(image()).equals(web.files.get(IMAGE)!)).toBe(true);

describe("the command", () => {
  const args = (...more: string[]) => [
    ...[command, "--out", out, "--base-url", `${web.base}/images`, "--labels-url", `${web.base}/labels`],
    ...["--progress", "lines", ...more],
  ];
  const run = (...more: string[]) =>
    new Promise<{ code: number | null; err: string }>((resolve) => {
      const child = spawn(process.execPath, args(...more), { stdio: ["ignore", "ignore", "pipe"] });
      let err = "";
      child.stderr.on("data", (text) => (err += text));
      child.on("close", (code) => resolve({ code, err }));
    });

  test("ends with 0 where all is well, with 1 and a count where files failed", async () => {
    const well = await run("--cases", "0-1");
    expect(well.err).toMatch(/5 files fetched \(394 kB\), 0 were here\n$/);
    expect(well.code).toBe(0);
    web.files.delete("/images/case_00002.nii.gz");
    const ill = await run("--cases", "0-2");
    expect(ill.err).toMatch(/case_00002.imaging\.nii\.gz: http:.* is answered with 404/);
    expect(ill.err).toMatch(/1 files fetched .*, 5 were here, 1 failed: run the same command again\n$/);
    expect(ill.code).toBe(1);
    expect((await run("--cases", "2", "--progress", "silent")).err).toMatch(/^.*answered with 404.*\n.*1 failed.*\n$/);
  });

  test("Ctrl-C ends with 130 and leaves the part to go on from", async () => {
    web.deeds[IMAGE] = [stall];
    const child = spawn(process.execPath, args("--cases", "0", "--only", "images"), {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    while (!existsSync(`${image()}.part`)) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 200));
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(err).toContain("what has arrived stays");
    expect(code).toBe(130);
    web.asked = [];
    expect((await run("--cases", "0", "--only", "images")).code).toBe(0);
    expect(web.asked).toEqual([`${IMAGE} from 1000`]);
    isWhole();
  });

  test("a full disk is one message that names file and fix; what was there stays", async () => {
    const limited = ["-c", 'ulimit -f "$0" && exec "$@"', "100", process.execPath];
    const hook = ["--import", 'data:text/javascript,process.on("SIGXFSZ",()=>{})']; // without a listener the signal ends it
    const child = spawn("bash", [...limited, ...hook, ...args("--cases", "0")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(1);
    expect(err).toMatch(
      /download:kits: .*imaging\.nii\.gz\.part: the download must be writable, found .*\(EFBIG\).*; make room in .* and run again: it goes on from there/,
    );
    expect(existsSync(join(out, "case_00000/segmentation.nii.gz"))).toBe(true);
    expect((await run("--cases", "0")).code).toBe(0);
    isWhole();
  });

  test("a second download into the same folder is refused while the first is under way", async () => {
    web.deeds[IMAGE] = [stall];
    const first = run("--cases", "0", "--stall-seconds", "1");
    while (!existsSync(`${image()}.part`)) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await run("--cases", "0")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/download:kits: .* is in use by process/),
    });
    expect((await first).code).toBe(0);
  });
});
