// What the command lines need of the dashboard.

import { InvalidArgumentError } from "commander";
import { untilInterrupted } from "../interrupt.ts";
import { startDashboard, type Dashboard } from "./server.ts";

type Say = (text: string) => void;

/** A port on the command line. */
export function portArgument(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError("must be a port from 0 (any) to 65535.");
}

/** Serves the dashboard of a run folder on the port that was asked for, `true` for the usual one, and says where. */
export async function openDashboard(folder: string, asked: number | true, say: Say): Promise<Dashboard> {
  const dashboard = await startDashboard({ folder, port: asked === true ? undefined : asked, say });
  say(`dashboard: ${dashboard.url}`);
  return dashboard;
}

/** Ends the dashboard; at a terminal, where somebody may be looking, only after Ctrl-C. A script is not to wait. */
export async function endDashboard(dashboard: Dashboard, say: Say): Promise<void> {
  if (process.stdin.isTTY) {
    say(`dashboard: ${dashboard.url} stays until Ctrl-C`);
    await untilInterrupted();
  }
  await dashboard.close();
}
