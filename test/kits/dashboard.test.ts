// The dashboard's server: what a page hears of a run that begins, goes on, ends or dies, and what it cannot ask for.
import { spawnSync } from "node:child_process";
import { EventEmitter } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Feed } from "../../src/kits/dashboard/feed.ts";
import { pageHtml } from "../../src/kits/dashboard/pageHtml.ts";
import { startDashboard, type Dashboard } from "../../src/kits/dashboard/server.ts";
import type { CurvesPart, LivePart, RunPart } from "../../src/kits/dashboard/wire.ts";
import { facts, line, live } from "./dashboardRun.ts";

const work = mkdtempSync(join(tmpdir(), "wgrad-dashboard-"));
let folder: string;
let said: string[] = [];
const open: Dashboard[] = [];

beforeAll(() => {
  folder = join(work, "run");
});
afterEach(async () => {
  for (const dashboard of open.splice(0)) await dashboard.close();
  rmSync(folder, { recursive: true, force: true });
  said = [];
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function served(port = 0): Promise<string> {
  const dashboard = await startDashboard({ folder, port, say: (text) => said.push(text) });
  open.push(dashboard);
  return dashboard.url;
}

const write = (name: string, content: unknown): void => {
  mkdirSync(join(folder, "validation"), { recursive: true });
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
};

/** A page: the newest of each part, and waiting for one that is as wanted. */
async function page(url: string) {
  const parts: { run?: RunPart; live?: LivePart; curves?: CurvesPart; end?: object } = {};
  const control = new AbortController();
  const { body } = await fetch(`${url}events`, { signal: control.signal });
  const heard = new EventEmitter();
  const reading = (async () => {
    let text = "";
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
        if (name) Object.assign(parts, { [name]: JSON.parse(data) });
        heard.emit("part");
      }
    }
  })().catch(() => undefined);
  const until = async (holds: (now: typeof parts) => unknown): Promise<typeof parts> => {
    while (!holds(parts)) await new Promise((resolve) => heard.once("part", resolve));
    return parts;
  };
  return { until, close: () => (control.abort(), reading) };
}

test("a page sees a run from before its start to after its end; a later one sees the same at once", async () => {
  const url = await served();
  const first = await page(url);
  expect((await first.until(({ run, curves }) => run && curves)).run!.status).toBe("waiting");
  write("live.json", live({ training: null, phase: { ...live().phase!, label: "preprocess 64" } }));
  expect((await first.until(({ live }) => live!.phase)).live!.phase).toMatchObject({
    text: "preprocess 64: 24 of 96 images",
    share: 0.25,
    detail: "12.5 images/s, 6 s left",
  });
  write("run.json", facts());
  write("log.jsonl", line("coarse", 1) + line("kidney", 1));
  write("live.json", live());
  write("validation/kidney.png", "png");
  const now = await first.until(
    ({ live, run, curves }) => live!.plots.length && run!.pictures.length && curves!.length,
  );
  expect(now.run).toMatchObject({ status: "running", synthetic: true, report: false });
  expect(now.run!.stages.map(({ state }) => state)).toEqual(["waiting", "running", "waiting", "waiting"]);
  expect(now.run!.warnings).toEqual(["coarse, epoch 1: careful", "kidney, epoch 1: careful"]);
  expect(now.run!.settings).toContain("<table");
  expect(now.live!.plots.map(({ series }) => series[0].points)).toEqual([
    [2, 1.5].map((y, i) => ({ x: 0.5 * (i + 1), y })),
    [0.6, null].map((y, i) => ({ x: 0.5 * (i + 1), y })),
  ]);
  expect(now.curves!.map(({ stage }) => stage)).toEqual(["coarse", "kidney"]);
  expect(now.curves![0].plots.map(({ title }) => title)).toContain("coarse: images/s");
  appendFileSync(join(folder, "log.jsonl"), line("kidney", 2));
  await first.until(({ live }) => live!.tiles[0].value === "2 / 3");
  const second = await page(url);
  expect(await second.until(({ run, live, curves }) => run && live && curves)).toEqual(await first.until(() => true));
  rmSync(join(folder, "live.json"));
  write("report.html", "<p>report");
  write("run.json", facts({ status: "finished", finished: "2026-01-01T01:00:00.000Z" }));
  for (const one of [first, second]) expect((await one.until(({ run }) => run!.report)).run!.status).toBe("finished");
  await first.close(); // a page that goes leaves the others
  appendFileSync(join(folder, "log.jsonl"), line("kidney", 3));
  await second.until(({ live }) => live!.tiles[0].value === "3 / 3");
  await open.pop()!.close();
  expect((await second.until(({ end }) => end)).end).toEqual({});
});

test("a run whose process is gone is shown as killed, one that failed with its error", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  write("run.json", facts());
  write("live.json", live({ pid }));
  const first = await page(await served());
  expect((await first.until(({ run }) => run)).run!.status).toBe("killed");
  write("live.json", live());
  await first.until(({ run }) => run!.status === "running"); // gone on with
  rmSync(join(folder, "live.json"));
  write("run.json", facts({ status: "failed", error: "no room" }));
  expect((await first.until(({ run }) => run!.error)).run).toMatchObject({ status: "failed", error: "no room" });
  await first.close();
});

test("files that are damaged or half-written are a line among the warnings, and mended ones are shown", async () => {
  write("run.json", '{"status": "fin');
  write("log.jsonl", `${line("coarse", 1)}{"stage": "co`);
  const first = await page(await served());
  const { run, curves } = await first.until((now) => now.run && now.curves);
  expect(run!.status).toBe("waiting");
  expect(run!.warnings[0]).toMatch(/run\.json: the file must hold valid JSON/);
  expect(curves!.length).toBe(1);
  write("log.jsonl", line("coarse", 1) + line("coarse", 2));
  expect((await first.until((now) => now.live!.tiles[0].value === "2 / 3")).run!.warnings).toEqual(run!.warnings);
  write("run.json", facts({ status: "finished" }));
  await first.until((now) => now.run!.status === "finished" && now.run!.warnings.length === 1);
  await first.close();
});

/** Status and body of a request as it is, which fetch would tidy. */
function asked(url: string, path: string, options: { method?: string; host?: string } = {}) {
  const { port } = new URL(url);
  const { method, host = `127.0.0.1:${port}` } = options;
  return new Promise<{ status: number; text: string; headers: Record<string, unknown> }>((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers: { host } }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data));
      response.on("end", () => resolve({ status: response.statusCode!, text, headers: response.headers }));
    });
    sent.on("error", reject).end();
  });
}

test("only a few files are sent, to pages of this machine, and nothing is taken", async () => {
  write("report.html", "<p>report");
  write("run.json", facts());
  write("validation/coarse.png", "png");
  writeFileSync(join(work, "secret.png"), "secret");
  const url = await served();
  expect(await asked(url, "/")).toMatchObject({ status: 200, text: pageHtml });
  expect((await asked(url, "/dashboard.js")).headers["content-type"]).toMatch("javascript");
  expect((await asked(url, "/dashboard.css")).text).toContain(".uplot");
  expect(await asked(url, "/validation/coarse.png?version=1")).toMatchObject({ status: 200, text: "png" });
  const report = await asked(url, "/report.html");
  expect(report).toMatchObject({ status: 200, text: "<p>report" });
  expect(report.headers["content-security-policy"]).not.toContain("script-src");
  expect((await asked(url, "/validation/tumor.png")).status).toBe(404); // allowed, not there
  const others = ["/run.json", "/log.jsonl", "/../secret.png", "/validation/../../secret.png", "/%2e%2e/secret.png"];
  for (const path of [...others, "//etc/passwd", "/validation/", "/constructor", "/__proto__", "/report.html/", "/%00"])
    expect((await asked(url, path)).status, path).toBe(404);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
    expect((await asked(url, "/", { method })).status, method).toBe(405);
  for (const host of [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:6007",
    "evil.example:127.0.0.1",
  ])
    expect((await asked(url, "/events", { host })).status, host).toBe(403);
  expect((await asked(url, "/", { host: "localhost:7000" })).status).toBe(200); // a port that is forwarded
});

test("the page asks no other server, and says so to the browser", async () => {
  expect(pageHtml).not.toMatch(/https?:|\/\//);
  const url = await served();
  expect((await asked(url, "/")).headers["content-security-policy"]).toContain("default-src 'none'");
  expect((await asked(url, "/dashboard.css")).text).not.toMatch(/url\(|@import/);
});

test("a browser that reads nothing is sent nothing more until it does, and then what is newest", async () => {
  write("run.json", facts());
  write("log.jsonl", line("coarse", 1));
  const feed = new Feed(folder);
  const events: string[] = [];
  const slow = Object.assign(new EventEmitter(), {
    writableNeedDrain: false,
    write: (text: string) => void events.push(text),
    end: (text: string) => void events.push(text),
  });
  await feed.add(slow as unknown as ServerResponse);
  const before = events.length;
  expect(before).toBe(3);
  slow.writableNeedDrain = true;
  for (let epoch = 2; epoch <= 5; epoch++) {
    appendFileSync(join(folder, "log.jsonl"), line("coarse", epoch));
    await feed.look();
  }
  expect(events.length).toBe(before);
  slow.writableNeedDrain = false;
  slow.emit("drain");
  const curves = events.slice(before).filter((text) => text.startsWith("event: curves"));
  expect(curves.length).toBe(1);
  expect(JSON.parse(/data: (.*)/.exec(curves[0])![1])[0].plots[0].series[0].points.length).toBe(5);
  await feed.close();
});

test("a port in use is passed over with a message", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  const url = await served(port);
  const found = Number(new URL(url).port);
  expect(found).toBeGreaterThan(port);
  expect(said).toEqual([`dashboard: port ${port} is in use, took ${found}`]);
  other.close();
});
