// The lock of a run folder: of many processes one holds it, and what killed ones left is taken over by one only.
import { build } from "esbuild";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lockRun } from "../../src/kits/lock.ts";

const PROCESSES = 6;
let work: string;
let racer: string;

/** Takes the lock as often as it can until there is a file "over", and leaves it as a killed process would. */
const RACER = `
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { lockRun } from "${new URL("../../src/kits/lock.ts", import.meta.url).pathname}";
const [folder, dead] = process.argv.slice(2);
let taken = 0;
while (!existsSync(folder + "/over")) {
  try {
    await lockRun(folder);
  } catch (error) {
    if (!/in use by process/.test(error.message)) throw error;
    continue;
  }
  taken++;
  closeSync(openSync(folder + "/inside", "wx")); // fails where two are inside
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
  rmSync(folder + "/inside");
  const [name] = readdirSync(folder + "/run.lock");
  const path = folder + "/run.lock/" + name;
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), pid: Number(dead) }));
}
console.log(taken);
`;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-lock-"));
  racer = join(work, "racer.mjs");
  const stdin = { contents: RACER, resolveDir: work };
  await build({ stdin, outfile: racer, bundle: true, format: "esm", platform: "node" });
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** The number of a process that has ended. */
const deadPid = (): number => spawnSync(process.execPath, ["-e", ""]).pid;

test("processes that race for a dead one's lock take it one at a time", async () => {
  const folder = join(work, "raced");
  mkdirSync(folder);
  const ended = Array.from({ length: PROCESSES }, () => {
    const child = spawn(process.execPath, [racer, folder, String(deadPid())]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    return new Promise<{ taken: number; err: string }>((resolve) =>
      child.on("close", () => resolve({ taken: Number(out), err })),
    );
  });
  await new Promise((resolve) => setTimeout(resolve, 4000));
  writeFileSync(join(folder, "over"), "");
  const results = await Promise.all(ended);
  expect(results.map(({ err }) => err).join("")).toBe("");
  expect(results.filter(({ taken }) => taken > 0).length).toBeGreaterThan(1);
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("a living process and one of another machine hold it; the message says who and what to do", async () => {
  const folder = join(work, "held");
  const lock = (holder: object) => {
    mkdirSync(join(folder, "run.lock"), { recursive: true });
    writeFileSync(join(folder, "run.lock", "holder"), JSON.stringify({ since: "2026-01-01", ...holder }));
  };
  lock({ pid: process.ppid, host: hostname() });
  await expect(lockRun(folder)).rejects.toThrow(
    `${folder} is in use by process ${process.ppid} on ${hostname()} since 2026-01-01; wait for it or choose another --out; if it is gone, delete ${folder}/run.lock`,
  );
  lock({ pid: deadPid(), host: "elsewhere" });
  await expect(lockRun(folder)).rejects.toThrow("on elsewhere since");
  expect(readdirSync(folder)).toEqual(["run.lock"]);
});

test("it is given back, and one that the power failed before says nothing", async () => {
  const folder = join(work, "free");
  (await lockRun(folder))();
  expect(existsSync(join(folder, "run.lock"))).toBe(false);
  mkdirSync(join(folder, "run.lock"));
  writeFileSync(join(folder, "run.lock", "holder"), "");
  const unlock = await lockRun(folder);
  const [name] = readdirSync(join(folder, "run.lock"));
  expect(JSON.parse(readFileSync(join(folder, "run.lock", name), "utf8")).pid).toBe(process.pid);
  unlock();
});
