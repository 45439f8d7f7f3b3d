// Killed at any moment and resumed, a run ends with the bytes of one that was left alone. WGRAD_KILLS=50 kills more often.
// Signals that ask it to end, and a second run in its folder.
import type { ChildProcess } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writePhantom } from "../../src/kits/phantom.ts";
import { Rng } from "../../src/random.ts";
import { shownScalars } from "../tensorboard/readEvents.ts";
import { expectSame, expectWhole, made, runTiny, temporaries, type Ended, type Ending } from "./tinyRun.ts";

const KILLS = Number(process.env.WGRAD_KILLS ?? 3);
let work: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "wgrad-resume-"));
  await writePhantom(join(work, "data"), { cases: 4, slices: 6, size: 48 });
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Runs the command in a folder of `work`. */
const run = (out: string, args: readonly string[], ending: Ending = {}): Promise<Ended> =>
  runTiny(join(work, "data"), join(work, out), args, ending);
const madeIn = (out: string): Record<string, string> => made(join(work, out));

/** All that a dashboard says until it ends. */
const pageOf = async (url: string): Promise<string> => (await fetch(`${url}events`)).text();

/** What TensorBoard shows of the epochs of a run, by stage and tag; but for speed and the memory of the process. */
function shownIn(out: string): Map<string, Map<number, number>> {
  const stages = readdirSync(join(work, out, "tensorboard")).sort();
  const all = stages.flatMap((stage) =>
    [...shownScalars(join(work, out, "tensorboard", stage))].map(
      ([tag, steps]) => [`${stage}: ${tag}`, steps] as const,
    ),
  );
  return new Map(all.filter(([tag]) => !/loss\/step|per second|process/.test(tag)));
}

/** Where kills fall: in the n-th change of a file of some kind, n below `changes`, or after some time. */
const MOMENTS: readonly { name: string; pattern?: string; changes?: number }[] = [
  { name: "preprocessing", pattern: "/cache/", changes: 14 },
  { name: "checkpoint writing", pattern: "write .*safetensors", changes: 15 },
  { name: "training" },
  { name: "any file", pattern: "/killed/", changes: 120 },
  { name: "any time" },
];

/** Runs or resumes "killed", and kills it at such a moment, if it does not end before. */
async function runToKill({ name, pattern, changes }: (typeof MOMENTS)[number], rng: Rng): Promise<Ended> {
  if (name === "preprocessing") rmSync(join(work, "cache"), { recursive: true, force: true });
  const ms = rng.range(0, 5000);
  const later = (child: ChildProcess) => void setTimeout(() => child.kill("SIGKILL"), ms);
  if (name === "training") return run("killed", ["--resume"], { when: /a training step takes/, then: later });
  if (!pattern) return run("killed", ["--resume"], { ms: 2 * ms });
  return run("killed", ["--resume"], { killAt: `${pattern}:${1 + rng.integer(changes!)}` });
}

describe("a run that is killed", () => {
  test("and resumed, again and again, ends with the bytes of one that was not", async () => {
    let heard: Promise<string> | undefined;
    const whole = await run("whole", ["--dashboard", "0"], {
      when: /dashboard: http\S+\n/,
      then: (_, err) => (heard = pageOf(/dashboard: (\S+)/.exec(err)![1])),
    });
    expect(whole.status).toBe(0); // with a page open
    const statuses = [...(await heard!).matchAll(/"status":"(\w+)"|event: (end)/g)].map(
      ([, status, end]) => status ?? end,
    );
    expect(statuses.slice(-3)).toEqual(["running", "finished", "end"]);
    const expected = madeIn("whole");
    const shown = shownIn("whole");
    expect([...shown.keys()].length).toBeGreaterThan(20);
    const rng = new Rng(20, "kills");
    const fell: Record<string, number> = {};
    let [kills, halfWritten, runs] = [0, 0, 0];
    do {
      rmSync(join(work, "killed"), { recursive: true, force: true });
      runs++;
      let ended: Ended;
      do {
        const moment = MOMENTS[kills % MOMENTS.length];
        ended = kills < KILLS ? await runToKill(moment, rng) : await run("killed", ["--resume"]);
        if (ended.killed) {
          kills++;
          fell[moment.name] = (fell[moment.name] ?? 0) + 1;
          halfWritten += Number(temporaries(work).length > 0);
          for (const folder of ["killed", "cache"]) await expectWhole(join(work, folder));
        } else expect(ended.err).not.toContain("train:kits:");
      } while (ended.killed);
      expect(ended.status).toBe(0);
      expectSame(madeIn("killed"), expected);
      expect(shownIn("killed")).toEqual(shown);
      expect(temporaries(work)).toEqual([]); // in the run folder and beside it, where slices are kept
    } while (kills < KILLS);
    expect(fell.preprocessing).toBeGreaterThan(0);
    expect(halfWritten).toBeGreaterThan(0);
    console.log(
      `${kills} kills survived in ${runs} runs: ${JSON.stringify(fell)}, ${halfWritten} left something half-written`,
    );
  }, 7_200_000);

  test("a damaged training state is passed over for the one before, with a message", async () => {
    await run("damaged", [], { when: /coarse epoch 2/, then: (child) => child.kill("SIGKILL") });
    const folder = join(work, "damaged/checkpoints/coarse");
    const states = readdirSync(folder)
      .filter((name) => name.startsWith("state-"))
      .sort();
    expect(states.length).toBe(3);
    const newest = join(folder, states.at(-1)!);
    const bytes = readFileSync(newest);
    bytes[bytes.length - 9] ^= 4;
    writeFileSync(newest, bytes);
    truncateSync(join(folder, states.at(-2)!), 1000);
    const { status, err } = await run("damaged", ["--resume"]);
    expect(err).toMatch(/state-.*the checksum does not fit; the file is damaged; passed over for the one before/);
    expect(err).toMatch(/state-.*cut off; passed over for the one before/);
    expect(status).toBe(0);
    expectSame(madeIn("damaged"), madeIn("whole"));
  });

  test("Ctrl-C once ends it with a checkpoint, twice at once; SIGTERM is Ctrl-C", async () => {
    const once = await run("stopped", [], { when: /kidney epoch 1/, then: (child) => child.kill("SIGINT") });
    expect(once.status).toBe(130);
    expect(once.err).toMatch(/train:kits: interrupted; --resume --out .*stopped goes on from here/);
    expect(JSON.parse(readFileSync(join(work, "stopped/run.json"), "utf8")).status).toBe("interrupted");
    const twice = await run("stopped", ["--resume"], {
      when: /masses epoch 1/,
      then: (child) => {
        child.kill("SIGINT");
        setTimeout(() => child.kill("SIGINT"), 1);
      },
    });
    expect(twice.status).toBe(130);
    // As if it had been killed when run.json had its line of the kidney network, whose states were still there.
    const states = ["masses", "kidney"].map((stage) => join(work, "stopped/checkpoints", stage));
    const state = readdirSync(states[0]).find((name) => name.startsWith("state-"))!;
    copyFileSync(join(states[0], state), join(states[1], state));
    // What schedulers send before they kill.
    const asked = await run("stopped", ["--resume"], { when: /tumor epoch 1/, then: (child) => child.kill("SIGTERM") });
    expect(asked.status).toBe(130);
    expect(asked.err).toMatch(/train:kits: interrupted; --resume --out .*stopped goes on from here/);
    expect((await run("stopped", ["--resume"])).status).toBe(0);
    expectSame(madeIn("stopped"), madeIn("whole"));
  });

  test("a second one is refused while the first is at work in the folder; what a killed one left is no hindrance", async () => {
    let second: Promise<Ended> | undefined;
    const first = await run("shared", [], {
      when: /coarse epoch 1/,
      then: (child) => {
        second = run("shared", ["--resume"]).finally(() => child.kill("SIGKILL"));
      },
    });
    expect(first.killed).toBe(true);
    const { status, err } = await second!;
    expect(status).toBe(1);
    expect(err).toMatch(/shared is in use by process \d+ on .* since .*; wait for it or choose another --out/);
    const third = await run("shared", ["--resume"], {
      when: /coarse: goes on after epoch/,
      then: (child) => child.kill("SIGKILL"),
    });
    expect(third.killed).toBe(true);
  });

  test("goes on with its own settings only", async () => {
    const { status, err } = await run("whole", ["--resume", "--width", "8"]);
    expect(status).toBe(1);
    expect(err).toContain("--resume goes on with the settings of the run in");
  });
});
