// The dashboard's server: one page on 127.0.0.1 that follows a run folder. It reads files and nothing else, so it serves a
// run of another process, or one that ended long ago, as well; and what a browser does never reaches the training.

import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { OptionError } from "../../errors.ts";
import { style } from "../report/style.ts";
import { Feed } from "./feed.ts";
import { sentFiles } from "./folder.ts";
import { pageScript, pageStyle } from "./page.gen.ts";
import { pageHtml } from "./pageHtml.ts";

/** What a dashboard shows, and where. */
export interface DashboardOptions {
  /** The run folder; it need not be there yet. */
  readonly folder: string;
  /** The first port to try; 0 for any. Default 6007. */
  readonly port?: number;
  readonly say: (text: string) => void;
}

/** A page that is served. */
export interface Dashboard {
  readonly url: string;
  /** Sends what is newest, and ends the server. */
  close(): Promise<void>;
}

/** Beside TensorBoard's. */
export const DASHBOARD_PORT = 6007;
const PORTS = 20; // tried, one after another

/** Pages run their own script only; the report, which has none, no script at all. */
const POLICIES: Readonly<Record<string, string>> = {
  "report.html": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";

/** Serves the dashboard of a run folder. Throws OptionError where no port is free. */
export async function startDashboard({ folder, port = DASHBOARD_PORT, say }: DashboardOptions): Promise<Dashboard> {
  const feed = new Feed(folder);
  const server = createServer((request, response) => answer(folder, feed, request, response));
  const found = await listen(server, port, say);
  server.on("error", (error) => say(`warning: dashboard: ${error.message}`)); // no reason to end a run
  return {
    url: `http://127.0.0.1:${found}/`,
    close: async () => {
      await feed.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        setTimeout(() => server.closeAllConnections(), 200).unref(); // what a slow browser has not taken by then is lost
      });
    },
  };
}

async function listen(server: Server, first: number, say: (text: string) => void): Promise<number> {
  for (let port = first; port < first + PORTS && port <= 65_535; port++) {
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      server.once("error", resolve);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", resolve);
        resolve(null);
      });
    });
    if (!error) {
      if (port !== first) say(`dashboard: port ${first} is in use, took ${port}`);
      return (server.address() as AddressInfo).port;
    }
    if (error.code !== "EADDRINUSE" && error.code !== "EACCES")
      throw new OptionError(`--dashboard: port ${port} must be free, found ${error.message}; choose another`);
  }
  throw new OptionError(`--dashboard: one of the ports ${first} to ${first + PORTS - 1} must be free; choose another`);
}

/** A page elsewhere may not talk to this server under a name that leads here (DNS rebinding). */
const LOCAL = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;

function answer(folder: string, feed: Feed, request: IncomingMessage, response: ServerResponse): void {
  const end = (status: number, text: string): void => {
    response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(`${text}\n`);
  };
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  response.setHeader("Cache-Control", "no-store");
  if (!LOCAL.test(request.headers.host ?? "")) return end(403, "this page is at http://127.0.0.1 only");
  if (request.method !== "GET") return end(405, "GET only");
  const name = (request.url ?? "/").replace(/\?.*$/s, "").slice(1);
  response.setHeader("Content-Security-Policy", POLICIES[name] ?? POLICY);
  if (name === "events") {
    response.writeHead(200, { "Content-Type": "text/event-stream" }).write("retry: 2000\n\n");
    return void feed.add(response);
  }
  const own = Object.hasOwn(pages, name) ? pages[name] : null;
  if (own) return void response.writeHead(200, { "Content-Type": own.type }).end(own.text);
  if (!Object.hasOwn(sentFiles, name)) return end(404, "not found");
  const file = createReadStream(join(folder, name));
  file.on("error", () => (response.headersSent ? response.destroy() : end(404, "not there yet")));
  file.on("open", () => {
    response.writeHead(200, { "Content-Type": sentFiles[name] });
    file.pipe(response);
  });
  response.on("close", () => file.destroy());
}

const pages: Readonly<Record<string, { type: string; text: string }>> = {
  "": { type: "text/html; charset=utf-8", text: pageHtml },
  "dashboard.js": { type: "text/javascript; charset=utf-8", text: pageScript },
  "dashboard.css": { type: "text/css; charset=utf-8", text: `${style}${pageStyle}` },
};
