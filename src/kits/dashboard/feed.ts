// What pages hear of a run: server-sent events, one for each part that has changed.

import type { ServerResponse } from "node:http";
import { FolderReader, type Snapshot } from "./folder.ts";
import { partsOf } from "./parts.ts";

const POLL = 500; // ms between looks at the folder

/** A browser that listens, and what it was sent of each part. */
interface Listener {
  readonly response: ServerResponse;
  readonly sent: Map<string, string>;
}

/** What all pages are shown. The folder is read only while there is one. */
export class Feed {
  readonly #reader: FolderReader;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #shown: Snapshot | null = null;
  /** The newest parts by name, as JSON. */
  #parts = new Map<string, string>();

  constructor(folder: string) {
    this.#reader = new FolderReader(folder);
  }

  /** Sends all parts to a page, and from then on what changes. */
  async add(response: ServerResponse): Promise<void> {
    const listener: Listener = { response, sent: new Map() };
    this.#listeners.add(listener);
    response.on("drain", () => this.#send(listener));
    response.on("close", () => this.#listeners.delete(listener));
    response.on("error", () => this.#listeners.delete(listener));
    await this.look();
    this.#timer ??= setInterval(() => void this.look(), POLL).unref();
  }

  /** Sends what is newest, and that nothing follows. */
  async close(): Promise<void> {
    await this.look();
    if (this.#timer) clearInterval(this.#timer);
    for (const { response } of this.#listeners) response.end("event: end\ndata: {}\n\n");
  }

  /** Reads the folder, after the look before has ended, and sends what is new. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#read()).catch(() => undefined); // the next look may succeed
    return this.#looking;
  }

  async #read(): Promise<void> {
    if (this.#listeners.size === 0) return;
    const snapshot = await this.#reader.read();
    if (snapshot !== this.#shown)
      this.#parts = new Map(Object.entries(partsOf(snapshot)).map(([name, part]) => [name, JSON.stringify(part)]));
    this.#shown = snapshot;
    for (const listener of this.#listeners) this.#send(listener);
  }

  /** Sends the parts that are news to a page; one that has not taken the last waits, and then gets the newest. */
  #send({ response, sent }: Listener): void {
    for (const [name, part] of this.#parts) {
      if (response.writableNeedDrain) return;
      if (sent.get(name) === part) continue;
      response.write(`event: ${name}\ndata: ${part}\n\n`);
      sent.set(name, part);
    }
  }
}
