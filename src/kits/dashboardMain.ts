#!/usr/bin/env node
// npm run dashboard:kits: the page of --dashboard for a run of another process, or one that has ended.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { DataError } from "../errors.ts";
import { kitsCommand, runCommand, say } from "./commandLine.ts";
import { openDashboard, portArgument } from "./dashboard/command.ts";
import { DASHBOARD_PORT } from "./dashboard/server.ts";
import { untilInterrupted } from "./interrupt.ts";

const command = kitsCommand(
  "dashboard:kits",
  "Serves a page that follows a run of train:kits, or shows one that has ended, until Ctrl-C.",
  "watching.md",
)
  .requiredOption("--run <folder>", "run folder of train:kits")
  .option("--port <n>", "port on 127.0.0.1; the next free one is taken if it is in use", portArgument, DASHBOARD_PORT)
  .parse();

await runCommand("dashboard:kits", async () => {
  const options = command.opts<{ run: string; port: number }>();
  const folder = resolve(options.run);
  if (!["run.json", "run.lock"].some((name) => existsSync(join(folder, name))))
    throw new DataError(
      `--run: ${folder} must be the folder of a run, found no run.json there; give train:kits' --out`,
    );
  const dashboard = await openDashboard(folder, options.port, say);
  say("Ctrl-C ends it");
  await untilInterrupted();
  await dashboard.close();
});
