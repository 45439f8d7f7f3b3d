// Whether kernels have become slower since a recorded run. Machines differ from day to day, so a case counts by its share of
// the ceiling, which a fixed kernel measures in the same run.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What is compared of a result file. */
export interface Recorded {
  readonly adapter: { readonly name: string };
  readonly date: string;
  readonly rows: readonly { readonly name: string; readonly ofCeiling: number }[];
}

export interface Slower {
  readonly name: string;
  /** Times the recorded time, both beside the ceiling. */
  readonly factor: number;
}

/** Medians on a shared machine spread by up to this much. */
const ALLOWED = 1.3;

/** The cases in both runs that take more than 1.3 times as long as recorded. */
export function slowerThan(recorded: Recorded, rows: Recorded["rows"], allowed = ALLOWED): Slower[] {
  const before = new Map(recorded.rows.map(({ name, ofCeiling }) => [name, ofCeiling]));
  return rows.flatMap(({ name, ofCeiling }) => {
    const factor = (before.get(name) ?? 0) / ofCeiling;
    return factor > allowed ? [{ name, factor }] : [];
  });
}

/** The last run of kernels recorded in `folder` for an adapter; null if there is none. */
export function lastRecorded(folder: string, adapter: string): Recorded | null {
  const runs = readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .flatMap((file): Recorded[] => {
      const { adapter, date, rows } = JSON.parse(readFileSync(join(folder, file), "utf8")) as Partial<Recorded>;
      const kernels = rows?.every((row) => typeof row.ofCeiling === "number") ?? false;
      return adapter && date && kernels ? [{ adapter, date, rows: rows! }] : [];
    })
    .filter((run) => run.adapter.name === adapter);
  return runs.reduce<Recorded | null>((last, run) => (last && last.date > run.date ? last : run), null);
}
