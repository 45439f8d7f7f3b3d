// One request for a file, or for the rest of it: bytes go to a part file as they arrive, and beside it lies what the server
// said of the file, so that a later request can go on, or sees that the file is another one now.

import { existsSync } from "node:fs";
import { mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import packageJson from "../../../package.json" with { type: "json" };
import { WgradError } from "../../errors.ts";
import { count, nullable, object, text } from "../../structure.ts";
import { writeError } from "../atomic.ts";
import { readJson } from "../json.ts";

/** What went wrong, in words that follow the file's name, and what to do. */
export class AttemptError extends Error {
  readonly fix: string;
  /** False where asking again gives the same answer. */
  readonly again: boolean;
  /** Seconds that the server asks to wait. */
  readonly after: number;

  constructor(what: string, fix: string, { again = false, after = 0, cause }: AttemptErrorOptions = {}) {
    super(what, { cause });
    this.fix = fix;
    this.again = again;
    this.after = after;
  }
}

interface AttemptErrorOptions {
  again?: boolean;
  after?: number;
  cause?: unknown;
}

/** FILE.part.json: what the server said of the file whose first bytes are in FILE.part. */
export interface PartFacts {
  readonly url: string;
  readonly etag: string | null;
  readonly modified: string | null;
  /** Bytes of the whole file, where the server says so. */
  readonly size: number | null;
  /** SHA-256 that the server publishes. */
  readonly sha256: string | null;
}

const partFile = object<PartFacts>({
  url: text,
  etag: nullable(text),
  modified: nullable(text),
  size: nullable(count),
  sha256: nullable(text),
});

export interface AttemptOptions {
  /** Seconds without a byte after which the server counts as stalled. */
  readonly stallSeconds: number;
  /** Ends the request. */
  readonly signal: AbortSignal;
  /** Told of bytes as they are written. */
  readonly onBytes: (count: number) => void;
}

/** Most redirects that are followed. */
const REDIRECTS = 10;
const GOES_ON = "run again: it goes on from there";

/**
 * Fetches `url` into the file `part`, going on where that ends. Returns what the server says of the whole file. Throws
 * AttemptError for what the server or the network did, DataError where the part cannot be written.
 */
export async function attempt(url: string, part: string, options: AttemptOptions): Promise<PartFacts> {
  const { stallSeconds, signal } = options;
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), 1000 * stallSeconds);
  const onBytes = (count: number) => {
    timer.refresh();
    options.onBytes(count);
  };
  try {
    return await fetchInto(part, url, AbortSignal.any([signal, stalled.signal]), onBytes);
  } catch (error) {
    if (error instanceof AttemptError || error instanceof WgradError || signal.aborted) throw error;
    throw stalled.signal.aborted
      ? new AttemptError(`did not go on for ${stallSeconds} s`, "check the network and run again", { again: true })
      : new AttemptError(`broke off: ${innermost(error)}`, networkFix(), { again: true, cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function fetchInto(
  part: string,
  url: string,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<PartFacts> {
  const before = await readPart(url, part);
  if (before && before.held === before.facts.size) return before.facts;
  const { response, sha256 } = await request(url, before, signal);
  try {
    if (response.status === 416 && before) return await atEnd(response, before, part);
    await refuse(response);
    const { start, size } = placeOf(response, before);
    const { headers } = response;
    const facts = { url, etag: headers.get("etag"), modified: headers.get("last-modified"), size, sha256 };
    if (start > 0 && before && isOther(facts, before.facts)) {
      await removePart(part);
      throw new AttemptError("has changed on the server meanwhile", "run again", { again: true });
    }
    await writePart(part, facts, start, response, onBytes);
    const held = (await stat(part)).size;
    if (size !== null && held !== size)
      throw new AttemptError(`ended after ${held} of ${size} bytes`, GOES_ON, { again: true });
    return facts;
  } finally {
    await response.body?.cancel().catch(() => undefined); // a body that is not read holds its connection
  }
}

/** The server has nothing after the part: it is whole, or of another file. */
async function atEnd({ headers }: Response, { held, facts }: Part, part: string): Promise<PartFacts> {
  const total = /^bytes \*\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1];
  if (Number(total) === held) return { ...facts, size: held };
  await removePart(part);
  throw new AttemptError("is shorter on the server than its part here", "run again: it starts anew", { again: true });
}

/** Removes a part file and what is known of it. */
export async function removePart(part: string): Promise<void> {
  await rm(part, { force: true });
  await rm(`${part}.json`, { force: true });
}

interface Part {
  readonly facts: PartFacts;
  /** Bytes that are there. */
  readonly held: number;
}

/** The part of an earlier attempt, or null: one of which nothing is known, or of another address, is removed. */
async function readPart(url: string, part: string): Promise<Part | null> {
  if (!existsSync(part)) return null;
  const facts = await readJson<PartFacts>(`${part}.json`, partFile).catch(() => null);
  const held = (await stat(part)).size;
  if (facts && facts.url === url && held > 0 && held <= (facts.size ?? Infinity)) return { facts, held };
  await removePart(part);
  return null;
}

/** Asks for the file, or for what follows the part, and follows redirects, of which each may name the file's checksum. */
async function request(
  url: string,
  before: Part | null,
  signal: AbortSignal,
): Promise<{ response: Response; sha256: string | null }> {
  const headers = new Headers({ "accept-encoding": "identity", "user-agent": `wgrad/${packageJson.version}` });
  if (before) {
    headers.set("range", `bytes=${before.held}-`);
    const validator = strong(before.facts.etag) ?? before.facts.modified;
    if (validator) headers.set("if-range", validator);
  }
  let sha256: string | null = null;
  let at = url;
  for (let i = 0; i <= REDIRECTS; i++) {
    const response = await fetch(at, { headers, signal, redirect: "manual" });
    sha256 ??= publishedSum(response.headers);
    const to = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || to === null) return { response, sha256 };
    await response.body?.cancel();
    if (sha256 !== null) {
      // That says more than the ETag of one of the many servers that may come next.
      headers.delete("if-range");
      if (sha256 !== before?.facts.sha256) headers.delete("range");
    }
    at = new URL(to, at).href;
    if (!/^https?:/.test(at)) break;
  }
  throw new AttemptError(`leads to too many redirects, or astray to ${at}`, "check the address");
}

/** A weak validator promises no equal bytes. */
function strong(etag: string | null): string | null {
  return etag !== null && etag.startsWith('"') ? etag : null;
}

/** Hugging Face names the SHA-256 of a large file in its redirect. */
function publishedSum(headers: Headers): string | null {
  return /^"?([0-9a-f]{64})"?$/.exec(headers.get("x-linked-etag") ?? "")?.[1] ?? null;
}

const ABSENT = [404, 410];
const REFUSED = [401, 403];
const LATER = [408, 425, 429];

/** Throws AttemptError for an answer that does not carry the file. */
async function refuse({ status, statusText, headers }: Response): Promise<void> {
  if (status === 200 || status === 206) {
    const encoding = headers.get("content-encoding") ?? "identity";
    if (/^text\/html/i.test(headers.get("content-type") ?? ""))
      throw new AttemptError("is a web page there", "open the address in a browser: it may ask for a login or terms");
    if (encoding !== "identity")
      throw new AttemptError(`comes packed as ${encoding}`, "use a server that sends files as they are");
    return;
  }
  const said = `is answered with ${status}${statusText ? ` ${statusText}` : ""}`;
  if (ABSENT.includes(status)) throw new AttemptError(said, "it is not there: check --cases and the base URL");
  if (REFUSED.includes(status)) throw new AttemptError(said, "the server wants a login: use a mirror with --base-url");
  const again = status >= 500 || LATER.includes(status);
  throw new AttemptError(said, again ? "run again later" : "check the address", { again, after: waitOf(headers) });
}

/** Seconds of Retry-After, at most ten minutes; a date does not count. */
function waitOf(headers: Headers): number {
  const seconds = Number(headers.get("retry-after") ?? 0);
  return seconds > 0 ? Math.min(seconds, 600) : 0;
}

/** Where in the file the answer's bytes belong, and how long the file is. A server that ignores ranges starts anew. */
function placeOf({ status, headers }: Response, before: Part | null): { start: number; size: number | null } {
  if (status === 200) {
    const length = headers.get("content-length");
    return { start: 0, size: length === null ? null : Number(length) };
  }
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  if (first === undefined || Number(first) !== (before?.held ?? 0))
    throw new AttemptError("is answered with another range than was asked for", "use another server", { again: true });
  return { start: Number(first), size: total === "*" ? (before?.facts.size ?? null) : Number(total) };
}

/** True if an answer with the rest of a file is of another file than its part. */
function isOther(now: PartFacts, before: PartFacts): boolean {
  if (now.sha256 !== null && before.sha256 !== null) return now.sha256 !== before.sha256;
  const differ = (a: unknown, b: unknown) => a !== null && b !== null && a !== b;
  return differ(now.size, before.size) || differ(strong(now.etag), strong(before.etag));
}

/** Writes what the server said of the file, and its bytes from `start` on as they come. Throws DataError where the disk refuses. */
async function writePart(
  part: string,
  facts: PartFacts,
  start: number,
  { body }: Response,
  onBytes: (count: number) => void,
): Promise<void> {
  const writing = <T>(work: Promise<T>): Promise<T> =>
    work.catch(async (error: unknown) => {
      throw await writeError(part, "the download", error, GOES_ON);
    });
  await writing(mkdir(dirname(part), { recursive: true }));
  if (start === 0) await rm(part, { force: true }); // first: bytes of one file must never lie beside facts of another
  await writing(writeFile(`${part}.json`, JSON.stringify(facts)));
  const file = await writing(open(part, "a"));
  try {
    for await (const bytes of body ?? []) {
      await writing(file.appendFile(bytes));
      onBytes(bytes.length);
    }
  } finally {
    await file.close();
  }
}

/** The innermost cause, which says more than "fetch failed". */
function innermost(error: unknown): string {
  const { cause, message, code } = error as Error & { code?: string };
  if (cause instanceof Error) return innermost(cause);
  return message || code || "no reason given";
}

/** fetch uses a proxy only where Node is told to. */
function networkFix(): string {
  const proxy = process.env.HTTPS_PROXY ?? process.env.https_proxy ?? process.env.HTTP_PROXY ?? process.env.http_proxy;
  const told = process.env.NODE_USE_ENV_PROXY === "1";
  return proxy && !told
    ? "a proxy is set, which Node 22.21 and 24 use with NODE_USE_ENV_PROXY=1"
    : "check the network and run again";
}
