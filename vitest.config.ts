import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 240_000,
    hookTimeout: 120_000,
    // Each file has a process and a device of its own. On a software adapter most of a cold run is compiling shaders, one after
    // another within a file, so files run side by side; more than four only take memory.
    pool: "forks",
    env: { WGRAD_TUNE: "0" }, // what was tuned on a machine must not change what is tested
    maxWorkers: Math.min(4, availableParallelism()),
  },
});
