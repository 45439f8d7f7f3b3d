import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One GPU process at a time: software adapters already use every core.
    fileParallelism: false,
    pool: "forks",
  },
});
