// Downloads from a server on this machine that does to files whatever servers do: cuts, stalls, damages, changes, refuses them.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { download, type DownloadOptions } from "../../src/kits/download/download.ts";
import { openRecord } from "../../src/kits/download/checksums.ts";
import { openDataset } from "../../src/kits/datasets/open.ts";
import { scratch } from "./craft.ts";
import {
  IMAGE,
  blindRange,
  corrupt,
  drip,
  ignoreRange,
  label,
  noEtag,
  otherEtag,
  publish,
  rangesOnly,
  sha,
  silent,
  stall,
  stallBlind,
  startWeb,
  status,
  truncate,
  volume,
  type Deed,
} from "./badServer.ts";

const folder = scratch();
const web = startWeb();

let out = "";
let runs = 0;
beforeEach(() => {
  out = join(folder, `tree-${runs++}`);
  publish(web);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) vi.stubEnv(name, undefined);
});

const get = (more: Partial<DownloadOptions> = {}) =>
  download({
    ...{ out, cases: "0-2", baseUrl: `${web.base}/images`, labelsUrl: `${web.base}/labels` },
    ...{ jobs: 2, waitSeconds: 0.01, stallSeconds: 30, progress: "silent" as const, say: () => undefined },
    ...more,
  });
const one = (more: Partial<DownloadOptions> = {}) => get({ cases: "0", only: "images", ...more });
/** For servers that stall. */
const briefly = { stallSeconds: 0.3 };
const image = () => join(out, "case_00000/imaging.nii.gz");
const isWhole = () => expect(readFileSync(image()).equals(web.files.get(IMAGE)!)).toBe(true);
const leftBehind = () => readdirSync(out, { recursive: true, encoding: "utf8" }).filter((name) => /\.part/.test(name));

describe("a whole download", () => {
  test("is a tree that --data reads as KiTS23, with checksums; again it asks for nothing", async () => {
    expect(await get()).toMatchObject({ fetched: 7, present: 0, failures: [] });
    const { spec, cases } = await openDataset(out);
    expect([spec.name, cases.length]).toEqual(["kits23", 3]);
    expect(readFileSync(join(out, "SHA256SUMS"), "utf8")).toContain(
      `${sha(web.files.get(IMAGE)!)}  case_00000/imaging.nii.gz\n`,
    );
    expect(spawnSync("sha256sum", ["-c", "--quiet", "SHA256SUMS"], { cwd: out }).status).toBe(0);
    expect(leftBehind()).toEqual([]);
    web.asked = [];
    expect(await get()).toMatchObject({ fetched: 0, present: 7 });
    expect(web.asked).toEqual([]);
  });

  test("in a clone of the repository goes to its case folders and keeps the labels there", async () => {
    mkdirSync(join(out, "dataset/case_00000"), { recursive: true });
    writeFileSync(join(out, "dataset/case_00000/segmentation.nii.gz"), label());
    expect(await get({ cases: "0" })).toMatchObject({ folder: join(out, "dataset"), fetched: 2, present: 1 });
    expect((await openDataset(out)).cases.length).toBe(1);
  });

  test("fetches what is missing, cut short or, with verify, damaged", async () => {
    await get();
    rmSync(image());
    truncateSync(join(out, "case_00001/imaging.nii.gz"), 1000);
    const third = join(out, "case_00002/imaging.nii.gz");
    const bytes = readFileSync(third);
    bytes[bytes.length >> 1] ^= 1;
    writeFileSync(third, bytes);
    web.asked = [];
    expect(await get()).toMatchObject({ fetched: 2, present: 5 });
    expect(web.asked.sort()).toEqual([IMAGE, "/images/case_00001.nii.gz"]);
    expect(await get({ verify: true })).toMatchObject({ fetched: 1, present: 6, failures: [] });
    expect(readFileSync(third).equals(web.files.get("/images/case_00002.nii.gz")!)).toBe(true);
  });

  test("patterns name files in other ways, and redirects are followed to another folder", async () => {
    web.files.set("/old/master_00000.nii.gz", volume(9));
    web.deeds["/moved/master_00000.nii.gz"] = [status(302, { location: "../old/master_00000.nii.gz" })];
    await one({ baseUrl: `${web.base}/moved/master_{number}.nii.gz` });
    expect(readFileSync(image()).equals(web.files.get("/old/master_00000.nii.gz")!)).toBe(true);
    web.deeds["*"] = [status(302, { location: IMAGE })];
    rmSync(out, { recursive: true });
    expect((await one()).failures[0]).toContain("leads to too many redirects");
  });
});

describe("what is interrupted goes on", () => {
  test("a server that breaks off again and again: each request asks for the rest", async () => {
    web.deeds[IMAGE] = [truncate, truncate, truncate, truncate];
    expect(await one({ tries: 2 })).toMatchObject({ fetched: 1, failures: [] });
    isWhole();
    const size = web.files.get(IMAGE)!.length;
    expect(web.asked.slice(0, 3)).toEqual([
      IMAGE,
      `${IMAGE} from ${size >> 1}`,
      `${IMAGE} from ${(size >> 1) + (Math.ceil(size / 2) >> 1)}`,
    ]);
  });

  test("a stall, before or within the answer, ends after the time that is given", async () => {
    web.deeds[IMAGE] = [silent, stall];
    await one(briefly);
    isWhole();
    expect(web.asked).toEqual([IMAGE, IMAGE, `${IMAGE} from 1000`]);
    web.deeds["*"] = [silent];
    rmSync(out, { recursive: true });
    expect((await one({ ...briefly, tries: 2 })).failures[0]).toBe(
      `${image()}: ${web.base}${IMAGE} did not go on for 0.3 s; check the network and run again`,
    );
  });

  test("a slow server does not stall as long as it sends something", async () => {
    web.deeds[IMAGE] = [drip];
    await one({ stallSeconds: 0.7 });
    expect(web.asked).toEqual([IMAGE]);
    isWhole();
  });

  test("a part of an earlier run is gone on with, in another process too", async () => {
    web.deeds[IMAGE] = [stall];
    expect((await one({ ...briefly, tries: 1 })).failures.length).toBe(1);
    expect(leftBehind().sort()).toEqual(["case_00000/imaging.nii.gz.part", "case_00000/imaging.nii.gz.part.json"]);
    web.asked = [];
    await one();
    expect(web.asked).toEqual([`${IMAGE} from 1000`]);
    isWhole();
  });

  test("a part of which nothing is known, or of another address, is not gone on with", async () => {
    web.deeds[IMAGE] = [stall];
    await one({ ...briefly, tries: 1 });
    writeFileSync(`${image()}.part.json`, '{"url":');
    web.asked = [];
    await one();
    expect(web.asked).toEqual([IMAGE]);
    isWhole();
    rmSync(image());
    web.deeds[IMAGE] = [stall];
    await one({ ...briefly, tries: 1 });
    web.files.set("/mirror/case_00000.nii.gz", web.files.get(IMAGE)!);
    web.asked = [];
    await one({ baseUrl: `${web.base}/mirror/` });
    expect(web.asked).toEqual(["/mirror/case_00000.nii.gz"]);
    isWhole();
  });

  test("a file that changed in between starts anew, whether or not the server knows If-Range", async () => {
    for (const [k, deed] of [undefined, rangesOnly, noEtag].entries()) {
      web.deeds[IMAGE] = [stall];
      await one({ ...briefly, tries: 1 });
      const before = web.files.get(IMAGE)!;
      web.files.set(IMAGE, volume(100 + k));
      expect(web.files.get(IMAGE)!.length).not.toBe(before.length);
      if (deed) web.deeds[IMAGE] = [deed];
      web.asked = [];
      expect(await one()).toMatchObject({ fetched: 1, failures: [], bytes: web.files.get(IMAGE)!.length });
      expect(web.asked).toEqual(deed ? [`${IMAGE} from 1000`, IMAGE] : [`${IMAGE} from 1000`]);
      isWhole();
      rmSync(image());
    }
  });

  test("bytes of two files that no server tells apart do not count as one", async () => {
    web.deeds[IMAGE] = [stallBlind];
    await one({ ...briefly, tries: 1 });
    const other = volume(77);
    web.files.set(IMAGE, other);
    web.deeds[IMAGE] = [blindRange];
    expect(await one()).toMatchObject({ fetched: 1, failures: [] });
    isWhole();
    expect(web.asked.at(-1)).toBe(IMAGE); // from the start, after the mixture was found damaged
  });

  test("a server without ranges starts anew; a part longer than the file does, too; one as long as the file is whole", async () => {
    web.deeds[IMAGE] = [stall];
    await one({ ...briefly, tries: 1 });
    web.deeds[IMAGE] = [ignoreRange];
    await one();
    isWhole();
    const whole = web.files.get(IMAGE)!;
    const end = `${IMAGE} from ${whole.length}`;
    for (const [bytes, size, requests] of [
      [whole, null, [end]],
      [whole, whole.length, []],
      [Buffer.concat([whole, Buffer.alloc(5)]), null, [`${IMAGE} from ${whole.length + 5}`, IMAGE]],
    ] as const) {
      rmSync(image());
      writeFileSync(`${image()}.part`, bytes);
      const facts = { url: `${web.base}${IMAGE}`, etag: null, modified: null, size, sha256: null };
      writeFileSync(`${image()}.part.json`, JSON.stringify(facts));
      web.asked = [];
      expect(await one()).toMatchObject({ fetched: 1, failures: [] });
      expect(web.asked).toEqual(requests);
      isWhole();
    }
  });
});

describe("a failure is one message with file, address and fix, and the others go on", () => {
  const message = async (deed: Deed, more: Partial<DownloadOptions> = {}) => {
    web.deeds = { [IMAGE]: Array.from({ length: 9 }, () => deed) };
    const result = await get({ tries: 2, ...more });
    expect(result).toMatchObject({ fetched: 6 });
    expect(result.failures.length).toBe(1);
    expect(existsSync(image())).toBe(false);
    rmSync(out, { recursive: true });
    return result.failures[0];
  };
  const start = () => `${image()}: ${web.base}${IMAGE} `;

  test("404, 403, 500, 429, a web page, packed bytes", async () => {
    expect(await message(status(404))).toBe(
      `${start()}is answered with 404 Not Found; it is not there: check --cases and the base URL`,
    );
    expect(web.asked.filter((path) => path === IMAGE).length).toBe(1);
    expect(await message(status(403))).toContain("403 Forbidden; the server wants a login");
    web.asked = [];
    expect(await message(status(500))).toContain("500 Internal Server Error; run again later");
    expect(web.asked.filter((path) => path === IMAGE).length).toBe(2);
    expect(await message(status(429, { "retry-after": "0.01" }))).toContain("429 Too Many Requests; run again later");
    expect(await message(status(200, { "content-type": "text/html" }))).toContain(
      "is a web page there; open the address",
    );
    expect(await message((_, r, bytes) => void r.writeHead(200, { "content-encoding": "gzip" }).end(bytes))).toContain(
      "comes packed as gzip",
    );
  });

  test("damaged, twice: it never gets its name, and nothing of it is kept", async () => {
    web.deeds[IMAGE] = [corrupt];
    await one();
    isWhole(); // the second time it was well
    rmSync(out, { recursive: true });
    expect(await message(corrupt)).toMatch(
      /arrived damaged: (the (file|gzip data) is damaged|must have|.*checksum).*; the server's copy may be damaged/,
    );
    web.deeds[IMAGE] = [corrupt, corrupt];
    await one();
    expect(leftBehind()).toEqual([]);
  });

  test("a volume that is shorter than its header says, with sound gzip", async () => {
    web.files.set(IMAGE, gzipSync(gunzipSync(volume(0)).subarray(0, 100_000)));
    const { failures } = await one();
    expect(failures[0]).toMatch(
      /arrived damaged: the header claims \[6,128,128\] int16 voxels \(196960 bytes\), found 100000 bytes/,
    );
  });

  test("no server at all", async () => {
    const { failures } = await one({ baseUrl: "http://127.0.0.1:9/x", tries: 1 });
    expect(failures[0]).toMatch(/broke off: (connect ECONNREFUSED 127\.0\.0\.1:9|bad port); check the network/);
    vi.stubEnv("HTTPS_PROXY", "http://127.0.0.1:1");
    vi.stubEnv("NODE_USE_ENV_PROXY", "");
    const { failures: behind } = await one({ baseUrl: "http://127.0.0.1:9/x", tries: 1 });
    vi.unstubAllEnvs();
    expect(behind[0]).toMatch(/a proxy is set, which Node 22\.21 and 24 use with NODE_USE_ENV_PROXY=1$/);
  });

  test("options", async () => {
    await expect(get({ cases: "0-x" })).rejects.toThrow("--cases must be numbers and ranges such as 0-9,20, found 0-x");
    await expect(get({ cases: "350" })).rejects.toThrow("--cases names 350, which the dataset does not have");
    await expect(get({ dataset: "lits" })).rejects.toThrow(
      "--dataset must be one of kits23, kits21, kits19, found lits",
    );
    await expect(get({ baseUrl: "file:///etc" })).rejects.toThrow("a base URL must begin with http:// or https://");
  });
});

describe("checksums", () => {
  const sums = (line: string) => {
    const path = join(folder, "SUMS");
    writeFileSync(path, line);
    return path;
  };

  test("given ones: a sound volume with another checksum is refused; a file that is here with another one is fetched again", async () => {
    const right = sums(`# images\n${sha(web.files.get(IMAGE)!)} *./dataset/case_00000/imaging.nii.gz\n`);
    expect(await one({ checksums: right })).toMatchObject({ fetched: 1 });
    const old = web.files.get(IMAGE)!;
    web.files.set(IMAGE, volume(50));
    const next = sums(`${sha(web.files.get(IMAGE)!)}  case_00000/imaging.nii.gz\n`);
    expect(await one({ checksums: next })).toMatchObject({ fetched: 1, failures: [] });
    isWhole();
    web.files.set(IMAGE, old);
    rmSync(image());
    expect((await one({ checksums: next })).failures[0]).toMatch(
      /arrived damaged: must have the checksum [0-9a-f]{64}, found [0-9a-f]{64};/,
    );
    await expect(one({ checksums: sums("abc  x\n") })).rejects.toThrow("SUMS, line 1: must be 64 hexadecimal digits");
  });

  test("published in a redirect", async () => {
    const linked = (sum: string) => status(302, { location: "/elsewhere", "x-linked-etag": `"${sum}"` });
    web.files.set("/elsewhere", volume(0));
    web.deeds[IMAGE] = [linked(sha(web.files.get("/elsewhere")!))];
    expect(await one()).toMatchObject({ fetched: 1 });
    rmSync(image());
    web.deeds[IMAGE] = [linked("0".repeat(64)), linked("0".repeat(64))];
    expect((await one()).failures[0]).toMatch(/must have the checksum 0{64}/);
  });

  test("published in a redirect, they tell whether a part is of the same file, whatever its ETag", async () => {
    web.files.set("/one", volume(0));
    const linked = () => status(302, { location: "/one", "x-linked-etag": `"${sha(web.files.get("/one")!)}"` });
    for (const [change, from] of [
      [() => undefined, " from 1000"],
      [() => web.files.set("/one", volume(5)), ""],
    ] as const) {
      web.deeds = { [IMAGE]: [linked()], "/one": [stall] };
      await one({ ...briefly, tries: 1 });
      change();
      web.deeds = { [IMAGE]: [linked()], "/one": [otherEtag] };
      web.asked = [];
      const bytes = web.files.get("/one")!.length - (from === "" ? 0 : 1000);
      expect(await one()).toMatchObject({ fetched: 1, failures: [], bytes });
      expect(web.asked).toEqual([`${IMAGE} from 1000`, `/one${from}`]);
      expect(readFileSync(image()).equals(web.files.get("/one")!)).toBe(true);
      rmSync(image());
    }
  });

  test("a torn record counts as far as it is whole", async () => {
    await get();
    truncateSync(join(out, "SHA256SUMS"), 100);
    await (await openRecord(out)).add("new", "f".repeat(64)); // and the process is killed before it puts them in order
    expect([...(await openRecord(out)).sums.keys()]).toEqual(["case_00000/imaging.nii.gz", "new"]);
    expect(await get()).toMatchObject({ present: 7, fetched: 0 });
    expect(readFileSync(join(out, "SHA256SUMS"), "utf8").split("\n").length).toBe(9);
  });
});
