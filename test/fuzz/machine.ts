// What is kept for the machine: the kernels that were measured to be the fastest, and the lock of a run folder.

import { strict as assert } from "node:assert";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { loadChoices, saveChoices, type Choice, type Choices } from "../../src/gpu/choices.ts";
import { cacheFolder } from "../../src/gpu/nodeCache.ts";
import { lockRun } from "../../src/kits/lock.ts";
import { assertKinds, kindsOf, type Format } from "./format.ts";
import { pick } from "./mutateBytes.ts";
import { mutatedJsonFile } from "./mutateJson.ts";

const info = { name: "llvmpipe", driver: "Mesa", software: true } as Parameters<typeof loadChoices>[0];
const entries: Record<string, Choice> = {
  "conv 1f 8 16": { choice: { kernel: "patch", tile: { OC: 2, OX: 4 } }, ms: 1.5, ruleMs: 2 },
  "conv 1f 8 32": { choice: { kernel: "tiled", tile: null }, ms: 0.25, ruleMs: 0.5 },
};

/** A damaged file counts as none; what is not damaged can be compared with the candidates. */
export const choices: Format = {
  name: "tuned kernels",
  inputs: 2000,
  prepare: async () => {
    const known: Choices = { entries: new Map(Object.entries(entries)), version: 0 };
    await saveChoices(info, known);
    const [file] = readdirSync(cacheFolder());
    return (rng) => {
      mkdirSync(cacheFolder(), { recursive: true });
      const content = { adapter: "llvmpipe", driver: "Mesa", entries };
      writeFileSync(join(cacheFolder(), file), mutatedJsonFile(content, rng));
      return {
        read: () => loadChoices(info),
        judge: (value) => {
          for (const { choice, ms, ruleMs } of (value as Choices).entries.values()) {
            JSON.stringify(choice);
            assert([ms, ruleMs].every((time) => Number.isFinite(time) && time >= 0));
          }
        },
      };
    };
  },
};

/** Either the folder is taken over, or the error says by whom it is held. */
export const lock: Format = {
  name: "run.lock",
  inputs: 1000,
  prepare: async (folder) => {
    const holder = { pid: process.pid, host: hostname(), since: "2026-01-02T03:04:05.000Z" };
    const kinds = kindsOf([holder]);
    return (rng) => {
      const seed = pick([holder, { ...holder, pid: process.ppid }, { ...holder, host: "elsewhere" }], rng);
      const bytes = mutatedJsonFile(seed, rng);
      mkdirSync(join(folder, "run.lock"), { recursive: true });
      writeFileSync(join(folder, "run.lock", "holder"), bytes);
      return {
        read: async () => {
          try {
            (await lockRun(folder))();
            return null;
          } catch (error) {
            // Only a lock that is made as it must be may keep a run out.
            assertKinds(JSON.parse(new TextDecoder().decode(bytes)), kinds);
            throw error;
          }
        },
        judge: () => assert(!readdirSync(folder).includes("run.lock"), "the lock is still there"),
      };
    };
  },
};
