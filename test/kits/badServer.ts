// A server on this machine that does to files whatever servers do, and the small volumes that it serves.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll } from "vitest";
import { kitsMatrix, niftiBytes } from "./craft.ts";

/** What the server does with one request; the files' own bytes where it does nothing special. */
export type Deed = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => void;

/** What is served, what is done with requests, and what was asked for. */
export interface Web {
  base: string;
  /** By path. */
  files: Map<string, Buffer>;
  /** What is done to the next requests for a path, one after another; the first of "*" to all. */
  deeds: Record<string, Deed[]>;
  /** "PATH", or "PATH from 1000" for a request with a range. */
  asked: string[];
}

/** A server that goes away with the test file. */
export function startWeb(): Web {
  const web: Web = { base: "", files: new Map(), deeds: {}, asked: [] };
  const server = createServer((request, response) => {
    const path = request.url!;
    const from = /^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1];
    web.asked.push(from === undefined ? path : `${path} from ${from}`);
    const bytes = web.files.get(path);
    const deed = web.deeds[path]?.shift() ?? web.deeds["*"]?.[0];
    if (deed) deed(request, response, bytes ?? Buffer.alloc(0));
    else if (bytes) serve(request, response, bytes);
    else status(404)(request, response, Buffer.alloc(0));
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    web.base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  return web;
}

/** Address of the first image. */
export const IMAGE = "/images/case_00000.nii.gz";

/** Serves three cases of KiTS23, and forgets what was done and asked before. */
export function publish(web: Web): void {
  web.deeds = {};
  web.asked = [];
  web.files.clear();
  web.files.set("/labels/kits23.json", Buffer.from("[]"));
  for (let n = 0; n < 3; n++) {
    web.files.set(`/images/case_0000${n}.nii.gz`, volume(n));
    web.files.set(`/labels/case_0000${n}/segmentation.nii.gz`, label());
  }
}

export const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Noise: gzip does not shrink it, so that files arrive in several pieces. */
export function volume(seed: number): Buffer {
  let x = seed + 1;
  const noise = Uint8Array.from({ length: 6 * 128 * 128 * 2 }, () => ((x = (x * 48271) % 0x7fffffff) >> 8) & 255);
  const values = new Int16Array(noise.buffer);
  return gzipSync(niftiBytes({ dims: [6, 128, 128], values, sform: kitsMatrix(3, 1, 1), pixdim: [3, 1, 1] }));
}

export const label = () =>
  gzipSync(
    niftiBytes({
      dims: [6, 128, 128],
      values: new Uint8Array(6 * 128 * 128),
      type: "uint8",
      sform: kitsMatrix(3, 1, 1),
      pixdim: [3, 1, 1],
    }),
  );

const etagOf = (bytes: Uint8Array) => `"${sha(bytes).slice(0, 16)}"`;

/** A good server: ranges, If-Range, 416. */
export const serve: Deed = (request, response, bytes) => {
  const etag = etagOf(bytes);
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? NaN);
  const same = request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
  if (Number.isNaN(from) || !same)
    return void response.writeHead(200, { etag, "content-length": bytes.length }).end(bytes);
  if (from >= bytes.length) return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response
    .writeHead(206, { etag, "content-range": range, "content-length": bytes.length - from })
    .end(bytes.subarray(from));
};

/** Sends half of what is asked for, and breaks off when that has been read. */
export const truncate: Deed = (request, response, bytes) => {
  const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
  const rest = bytes.subarray(from);
  const head = {
    etag: etagOf(bytes),
    "content-length": rest.length,
    ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  };
  response.writeHead(from > 0 ? 206 : 200, head);
  response.write(rest.subarray(0, rest.length >> 1), () => setTimeout(() => response.destroy(), 200));
};
export const stall: Deed = (_, response, bytes) => {
  response.writeHead(200, { etag: etagOf(bytes), "content-length": bytes.length });
  response.write(bytes.subarray(0, 1000)); // and nothing more
};
/** Takes a second for all, and sends something all the time. */
export const drip: Deed = (_, response, bytes) => {
  response.writeHead(200, { "content-length": bytes.length });
  const size = Math.ceil(bytes.length / 10);
  for (let k = 0; k < 10; k++)
    setTimeout(() => response[k < 9 ? "write" : "end"](bytes.subarray(k * size, (k + 1) * size)), 100 * (k + 1));
};
export const silent: Deed = () => undefined;
export const corrupt: Deed = (request, response, bytes) => {
  const other = Buffer.from(bytes);
  other[other.length >> 1] ^= 1;
  serve(request, response, other);
};
export const status =
  (code: number, headers = {}): Deed =>
  (_, response) =>
    void response.writeHead(code, headers).end("no");
export const ignoreRange: Deed = (_, response, bytes) =>
  void response.writeHead(200, { "content-length": bytes.length }).end(bytes);

/** Knows ranges, but not If-Range. */
export const rangesOnly: Deed = (request, response, bytes) => {
  delete request.headers["if-range"];
  serve(request, response, bytes);
};
/** A server that gives files another ETag, or none and then knows no If-Range. */
const tagged =
  (etag: string | null): Deed =>
  (request, response, bytes) => {
    const send = response.writeHead.bind(response) as (code: number, head: object) => ServerResponse;
    const without = (head: Record<string, unknown>) =>
      Object.fromEntries(Object.entries(head).filter(([name]) => name !== "etag"));
    response.writeHead = ((code: number, head: Record<string, unknown>) =>
      send(code, etag === null ? without(head) : { ...head, etag })) as never;
    const wanted = request.headers["if-range"];
    if (etag !== null && wanted !== undefined && wanted !== etag) delete request.headers.range;
    rangesOnly(request, response, bytes);
  };
/** One of many servers, each with an ETag of its own. */
export const otherEtag = tagged('"other"');
export const noEtag = tagged(null);
/** Says nothing by which versions of a file could be told apart. */
export const stallBlind: Deed = (_, response, bytes) => {
  response.writeHead(200, { "transfer-encoding": "chunked" });
  response.write(bytes.subarray(0, 1000));
};
export const blindRange: Deed = (request, response, bytes) => {
  const from = Number(/\d+/.exec(request.headers.range ?? "")?.[0]);
  response.writeHead(206, { "content-range": `bytes ${from}-${bytes.length - 1}/*` }).end(bytes.subarray(from));
};
