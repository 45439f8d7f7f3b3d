// Which of several kernels was measured to be the fastest for a shape on this adapter. Kept between runs: in Node as a
// file of the user's cache folder, in a browser in its local storage.

import { debugLog } from "../debug.ts";
import { hashString } from "../random.ts";
import { amount, must, object, plain, recordOf, text } from "../structure.ts";
import type { AdapterInfo } from "./adapter.ts";
import { readKept, writeKept } from "./host.ts";

/** The fastest candidate as plain data, its time, and that of the one a rule would have taken. */
export interface Choice {
  readonly choice: unknown;
  readonly ms: number;
  readonly ruleMs: number;
}

export interface Choices {
  readonly entries: Map<string, Choice>;
  /** Counts changes; what was decided by older choices is out of date. */
  version: number;
}

/** False where the environment variable WGRAD_TUNE is 0: rules decide, and nothing is measured or read. */
export function tuningAllowed(): boolean {
  return typeof process === "undefined" || process.env?.WGRAD_TUNE !== "0";
}

/** What was measured on this adapter before. A file that cannot be read counts as none. */
export async function loadChoices(info: AdapterInfo): Promise<Choices> {
  const entries = new Map<string, Choice>();
  const json = tuningAllowed() ? await readKept(fileName(info)) : null;
  if (json === null) return { entries, version: 0 };
  try {
    const saved: unknown = JSON.parse(json);
    must(saved, savedChoices, fileName(info), "it will be written anew");
    for (const [key, choice] of Object.entries((saved as Saved).entries)) entries.set(key, choice);
  } catch (error) {
    debugLog(1, `${fileName(info)}: not read, ${(error as Error).message}`);
  }
  return { entries, version: 0 };
}

interface Saved {
  readonly adapter: string;
  readonly driver: string;
  readonly entries: Readonly<Record<string, Choice>>;
}

/** What is chosen only counts where it is among an operation's candidates; that it can be compared suffices here. */
const savedChoices = object<Saved>({
  adapter: text,
  driver: text,
  entries: recordOf(object<Choice>({ choice: plain(3), ms: amount, ruleMs: amount })),
});

/** Keeps what was measured for later runs. Where that cannot be written it holds for this one. */
export async function saveChoices({ name, driver }: AdapterInfo, { entries }: Choices): Promise<void> {
  const content: Saved = { adapter: name, driver, entries: Object.fromEntries(entries) };
  const file = fileName({ name, driver });
  try {
    await writeKept(file, `${JSON.stringify(content, null, 1)}\n`);
  } catch (error) {
    debugLog(1, `${file}: not written, ${(error as Error).message}`);
  }
}

function fileName({ name, driver }: Pick<AdapterInfo, "name" | "driver">): string {
  return `tune-${hashString(`${name} ${driver}`).toString(16)}.json`;
}
