// Event files: the bytes of TensorBoard's own writer, files that end anywhere, and what a reader finds in them.
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, describe, expect, test } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { crc32c, encodeEvent, encodeRecord, SummaryWriter, type Event } from "../../src/tensorboard/index.ts";
import { readEvents, readFolder } from "./readEvents.ts";

const work = mkdtempSync(join(tmpdir(), "wgrad-events-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const fixture = readFileSync(new URL("../fixtures/tensorboard.tfevents", import.meta.url));

/** Those of test/fixtures/tensorboard_events.py. */
const events: Event[] = [
  { wallTime: 1700000000, fileVersion: "brain.Event:2" },
  { wallTime: 1700000000.25, step: 7, sessionStart: true },
  {
    wallTime: 1700000001.5,
    step: 300,
    values: [
      { kind: "scalar", tag: "loss/train", value: 0.125 },
      { kind: "scalar", tag: "loss/validation", value: NaN },
      { kind: "scalar", tag: "zero", value: 0 },
    ],
  },
  {
    wallTime: 1700000002,
    step: 5_000_000_000,
    values: [
      {
        ...{ kind: "image", tag: "overlay", width: 3, height: 2, channels: 3 },
        png: Uint8Array.from({ length: 200 }, (_, i) => i),
      },
    ],
  },
  { wallTime: 1700000003, values: [{ kind: "text", tag: "options", text: "a **b** \u00e9" }] },
  {
    wallTime: 1700000004,
    step: 1,
    values: [
      {
        ...{ kind: "histogram", tag: "weights" },
        histogram: { min: -1, max: 3, count: 4, sum: 4, sumSquares: 12, limits: [1, 3], counts: [2, 2] },
      },
    ],
  },
];

describe("encoding", () => {
  test("CRC-32C of RFC 3720", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
  });

  test("gives the bytes of TensorBoard's own writer", () => {
    const bytes = Buffer.concat(events.map((event) => encodeRecord(encodeEvent(event))));
    expect(bytes.toString("hex")).toBe(fixture.toString("hex"));
  });

  test("the reader of these tests finds in that file what TensorBoard's writer was given", () => {
    const found = readEvents(fixture);
    expect(found.map(({ step }) => step)).toEqual([0, 7, 300, 5_000_000_000, 0, 1]);
    expect(found.map(({ start }) => start)).toEqual([false, true, false, false, false, false]);
    expect(found[2].values.map(({ scalar }) => scalar)).toEqual([0.125, NaN, 0]);
    expect(found[4].values[0].text).toBe("a **b** \u00e9");
  });

  test("a file cut at any byte gives its whole records, and a damaged byte ends them", () => {
    const ends: number[] = [0];
    for (const event of events) ends.push(ends.at(-1)! + encodeRecord(encodeEvent(event)).length);
    for (let length = 0; length <= fixture.length; length++)
      expect(readEvents(fixture.subarray(0, length)).length).toBe(ends.filter((end) => end <= length).length - 1);
    for (const at of [ends[2] + 3, ends[2] + 20, ends[3] - 1]) {
      const damaged = Buffer.from(fixture);
      damaged[at] ^= 4;
      expect(readEvents(damaged).length).toBe(2);
    }
  });
});

describe("SummaryWriter", () => {
  test("writes what a reader finds", async () => {
    const folder = join(work, "first");
    const writer = new SummaryWriter(folder);
    expect(existsSync(folder)).toBe(false); // a file without values is none
    writer.addScalar("loss", 0.5, 3);
    writer.addScalars({ "dice/kidney": 0.75, "dice/tumor": NaN }, 3);
    writer.addImage("overlay", { width: 2, height: 1, data: Uint8Array.of(255, 0, 0, 0, 255, 0) }, 3);
    writer.addImage("grey", { width: 2, height: 1, data: Uint8Array.of(9, 8) });
    writer.addText("options", "| a | b |", 0);
    writer.addHistogram("weights", [0, 1, 1, 2, NaN, 4], 3, 4);
    await writer.close();
    const [[version, start, ...rest], ...others] = readFolder(folder);
    expect(others).toEqual([]);
    expect([version.version, version.step, start.start, start.step]).toEqual(["brain.Event:2", 0, true, 0]);
    expect(Math.abs(version.wallTime - Date.now() / 1000)).toBeLessThan(600);
    expect(rest.map(({ step }) => step)).toEqual([3, 3, 3, 0, 0, 3]);
    const [loss, dice, overlay, grey, options, weights] = rest.map(({ values }) => values);
    expect(loss).toEqual([{ tag: "loss", scalar: 0.5 }]);
    expect(dice.map(({ tag, scalar }) => [tag, scalar])).toEqual([
      ["dice/kidney", 0.75],
      ["dice/tumor", NaN],
    ]);
    expect(overlay[0].image).toMatchObject({ width: 2, height: 1, channels: 3 });
    expect([...decode(overlay[0].image!.png).data]).toEqual([255, 0, 0, 0, 255, 0]);
    expect([...decode(grey[0].image!.png).data]).toEqual([9, 8]);
    expect(options[0].text).toBe("| a | b |");
    expect(weights[0].histogram).toEqual({ limits: [1, 2, 3, 4], counts: [1, 2, 1, 1] });
  });

  test("goes on in a file of its own from a step on, also after one that was torn", async () => {
    const folder = join(work, "second");
    const first = new SummaryWriter(folder);
    for (let step = 1; step <= 5; step++) first.addScalar("loss", step, step);
    await first.close();
    const path = join(folder, readdirSync(folder)[0]);
    writeFileSync(path, readFileSync(path).subarray(0, -3));
    const second = new SummaryWriter(folder, { purgeStep: 4 });
    second.addScalar("loss", 40, 4);
    await second.flush();
    second.addScalar("loss", 50, 5);
    await second.close();
    const files = readFolder(folder);
    const steps = files.map((events) => events.flatMap(({ step, values }) => values.map(() => step)));
    expect(steps).toEqual([
      [1, 2, 3, 4],
      [4, 5],
    ]);
    expect(files[1][1]).toMatchObject({ start: true, step: 4 });
  });

  test("refuses what cannot be shown, and says what", async () => {
    const writer = new SummaryWriter(join(work, "third"));
    expect(() => writer.addScalar("a", 1, 1.5)).toThrow(
      new OptionError("SummaryWriter: step must be a whole number from 0, got 1.5"),
    );
    expect(() => writer.addImage("a", { width: 2, height: 2, data: new Uint8Array(5) })).toThrow(
      "addImage: data must hold 1, 3 or 4 bytes for each of 2 x 2 pixels, found 5 bytes",
    );
    await writer.close();
    expect(() => writer.addScalar("a", 1)).toThrow("it is closed");
    expect(existsSync(join(work, "third"))).toBe(false);
  });

  test("tells of a file that cannot be written, once it is asked", async () => {
    appendFileSync(join(work, "file"), "");
    const writer = new SummaryWriter(join(work, "file", "events"), { flushSeconds: 0 });
    writer.addScalar("a", 1);
    writer.addScalar("a", 2, 1);
    await expect(writer.flush()).rejects.toThrow(/ENOTDIR|EEXIST/);
    await expect(writer.close()).rejects.toThrow(/ENOTDIR|EEXIST/);
  });
});
