// A KiTS tree from where it is published: what is missing or damaged is fetched, what is whole stays.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { InterruptedError, watchInterrupts } from "../interrupt.ts";
import { lockRun } from "../lock.ts";
import { startProgress, type Progress, type ProgressMode } from "../progress.ts";
import { told } from "../doctor.ts";
import { openRecord, readChecksums, type Checksums, type ChecksumRecord } from "./checksums.ts";
import { fetchFile, FileError, type FetchOptions, type WantedFile } from "./file.ts";
import { addressIn, addressOf, caseId, parseCases, sourceOf, type Source } from "./sources.ts";
import { glanceAt, verifyFile } from "./verify.ts";

/** What is fetched, from where, and how patiently. */
export interface DownloadOptions {
  /** Folder of the case folders, made if needed; in a clone of a challenge's repository, its folder of cases is taken. */
  readonly out: string;
  /** kits23, kits21 or kits19; default kits23. */
  readonly dataset?: string;
  /** Numbers of cases such as "0-9,20"; default all that have a label. */
  readonly cases?: string;
  /** Default both. */
  readonly only?: "images" | "labels";
  /** Files at a time; default 4. */
  readonly jobs?: number;
  /** Instead of the images' own address; see addressOf. */
  readonly baseUrl?: string;
  /** Instead of the folder of the labels. */
  readonly labelsUrl?: string;
  /** File of SHA-256 checksums that the files must have. */
  readonly checksums?: string;
  /** Read files that are here already once more. */
  readonly verify?: boolean;
  /** Seconds without a byte after which a server counts as stalled; default 60. */
  readonly stallSeconds?: number;
  /** Requests in a row that bring nothing new before a file is given up; default 5. */
  readonly tries?: number;
  /** Seconds before the second of them; default 1. */
  readonly waitSeconds?: number;
  readonly progress?: ProgressMode;
  readonly say?: (text: string) => void;
}

/** What is there now. */
export interface DownloadResult {
  readonly folder: string;
  /** Files that were here and are whole. */
  readonly present: number;
  readonly fetched: number;
  readonly bytes: number;
  /** One message per file that could not be had. */
  readonly failures: readonly string[];
}

/**
 * Downloads a dataset. A file has its name only when it is whole: its checksum fits where one is known, and it reads as a
 * volume of the size that it states. A file that fails does not stop the others. Throws OptionError for bad options,
 * DataError where the disk refuses, InterruptedError after Ctrl-C; each leaves what a later call goes on from.
 */
export async function download(options: DownloadOptions): Promise<DownloadResult> {
  const source = sourceOf(options.dataset ?? "kits23");
  const folder = treeFolder(resolve(options.out), source);
  const files = filesOf(source, folder, options);
  const given = options.checksums === undefined ? new Map<string, string>() : await readChecksums(options.checksums);
  const unlock = await lockRun(folder);
  const stop = new AbortController();
  const say = options.say ?? ((text: string) => console.error(text));
  const follows = "what has arrived stays, and the same command goes on from there";
  const unwatch = watchInterrupts(say, follows, () => stop.abort());
  const progress = startProgress({ label: source.title, total: files.length, unit: "files", mode: options.progress });
  try {
    const record = await openRecord(folder);
    const result = { present: 0, fetched: 0, bytes: 0, failures: [] };
    const rate = { since: performance.now(), bytes: 0, perSecond: 0 };
    const job = { options, given, record, progress, stop, result, rate };
    await fetchAll(job, files).finally(() => record.close());
    return { folder, ...result };
  } finally {
    progress.stop();
    unwatch();
    unlock();
  }
}

/** The folder of cases in a clone of the challenge's repository, else the folder itself. */
function treeFolder(out: string, { cloned }: Source): string {
  return cloned.map((below) => join(out, below)).find((path) => existsSync(path)) ?? out;
}

/** What makes up the tree: the patients' data, then label and image of each case. */
function filesOf(source: Source, folder: string, options: DownloadOptions): WantedFile[] {
  const { only, baseUrl = source.images, labelsUrl = source.labels } = options;
  const labelled = new Set(parseCases(source.cases));
  const allowed = new Set([...labelled, ...parseCases(source.unlabelled)]);
  const numbers = parseCases(options.cases ?? source.cases, allowed);
  if (numbers.length === 0) throw new OptionError(`--cases must name at least one case, found ${options.cases}`);
  const file = (name: string, url: string): WantedFile => ({ name, path: join(folder, name), url });
  const label = (n: number) => `${caseId(n)}/${source.labelFile}`;
  const ofCase = (n: number) => [
    ...(only === "images" || !labelled.has(n) ? [] : [file(label(n), addressIn(labelsUrl, label(n)))]),
    ...(only === "labels" ? [] : [file(`${caseId(n)}/imaging.nii.gz`, addressOf(baseUrl, caseId(n)))]),
  ];
  const metadata = only === "images" ? [] : [file(source.metadata, addressIn(labelsUrl, source.metadata))];
  return [...metadata, ...numbers.flatMap(ofCase)];
}

/** One download under way. */
interface Job {
  readonly options: DownloadOptions;
  /** Checksums that the user gave. */
  readonly given: Checksums;
  readonly record: ChecksumRecord;
  readonly progress: Progress;
  /** Ends all requests. */
  readonly stop: AbortController;
  readonly result: { present: number; fetched: number; bytes: number; failures: string[] };
  /** Bytes of all files since the rate was last taken, and that rate. */
  readonly rate: { since: number; bytes: number; perSecond: number };
}

/** Gives each file its turn, `jobs` at a time, until something stops them all. */
async function fetchAll(job: Job, files: readonly WantedFile[]): Promise<void> {
  const { stop, options } = job;
  const queue = [...files];
  let fatal: unknown;
  const worker = async () => {
    for (let file = queue.shift(); file && !stop.signal.aborted; file = queue.shift())
      try {
        await fetchOne(job, file);
      } catch (error) {
        if (stop.signal.aborted) return;
        fatal = error; // a full disk: nothing else can go on either
        stop.abort();
      }
  };
  await Promise.all(Array.from({ length: options.jobs ?? 4 }, worker));
  if (fatal !== undefined) throw fatal;
  if (stop.signal.aborted) throw new InterruptedError("interrupted; the same command goes on from here");
}

async function fetchOne(job: Job, file: WantedFile): Promise<void> {
  const { record, progress, result } = job;
  try {
    if (await isPresent(job, file)) result.present++;
    else {
      const before = record.sums.get(file.name);
      const sum = await fetchFile(file, job.given.get(file.name), fetchOptions(job));
      if (before !== undefined && before !== sum)
        progress.log(`${file.name}: is another file than the one recorded before; it was published anew`);
      await record.add(file.name, sum);
      result.fetched++;
    }
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    result.failures.push(error.message);
    progress.log(error.message);
  }
  progress.increment(1, shown(job));
}

/** True if the file is here and whole. One that nobody looked at yet is read, others only with `verify`. */
async function isPresent({ options, given, record, progress }: Job, { name, path }: WantedFile): Promise<boolean> {
  if (!existsSync(path)) return false;
  const known = record.sums.get(name);
  const wanted = given.get(name) ?? known;
  try {
    if (known !== undefined && known === wanted && !options.verify) await glanceAt(path);
    else await record.add(name, await verifyFile(path, wanted));
    return true;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    progress.log(`${name}: is not whole (${told(error.message, path).problem}) and is fetched again`);
    return false;
  }
}

/** Milliseconds over which the rate is taken. */
const WINDOW = 500;

function fetchOptions(job: Job): FetchOptions {
  const { stallSeconds = 60, tries = 5, waitSeconds = 1 } = job.options;
  const { result, rate } = job;
  const onBytes = (count: number) => {
    result.bytes += count;
    rate.bytes += count;
    const passed = performance.now() - rate.since;
    if (passed < WINDOW) return;
    Object.assign(rate, { since: performance.now(), bytes: 0, perSecond: (1000 * rate.bytes) / passed });
    job.progress.increment(0, shown(job));
  };
  return { stallSeconds, tries, waitSeconds, signal: job.stop.signal, onBytes };
}

function shown({ result, rate }: Job): Record<string, string> {
  return { got: formatBytes(result.bytes), at: `${formatBytes(rate.perSecond)}/s` };
}

/** "512 B", "3.2 MB", "1.21 GB", in powers of 1000 as servers count. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const k = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** k).toPrecision(3))} ${units[k]}`;
}
