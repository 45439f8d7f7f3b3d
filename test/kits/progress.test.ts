import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { chooseMode, formatDuration, startProgress } from "../../src/kits/progress.ts";

/** A stream that keeps what was written. */
function recorder(isTTY = false) {
  const written: string[] = [];
  const stream = { isTTY, columns: 120, write: (text: string) => (written.push(text), true), on: () => stream };
  return { written, stream: stream as unknown as NodeJS.WriteStream };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe("plain lines", () => {
  it("prints one line per tenth, with speed and time left", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "train", total: 1000, mode: "lines", stream });
    for (let i = 0; i < 1000; i++) {
      vi.advanceTimersByTime(10); // 100 images/s
      progress.increment(1, { loss: 0.123456 });
    }
    progress.stop();
    expect(written).toHaveLength(10);
    expect(written[2]).toBe("train: 300/1000 images (30 %)  100 images/s  7 s left  loss 0.1235\n");
    expect(written[9]).toBe("train: 1000/1000 images (100 %)  100 images/s  loss 0.1235\n");
  });

  it("is never silent for longer than 30 s, even inside one slow step", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "train", total: 1000, mode: "lines", stream });
    vi.advanceTimersByTime(10_000);
    progress.update(1);
    vi.advanceTimersByTime(95_000);
    expect(written).toHaveLength(3);
    expect(written[0]).toContain("train: 1/1000 images (0 %)  0.100 images/s");
    progress.stop();
    vi.advanceTimersByTime(120_000);
    expect(written.length).toBeLessThanOrEqual(4);
  });

  it("counts the 30 s from the last line", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "p", total: 10, mode: "lines", stream });
    vi.advanceTimersByTime(29_000);
    progress.update(1);
    vi.advanceTimersByTime(29_000);
    expect(written).toHaveLength(1);
    progress.stop();
  });

  it("leaves what was done before a resume out of the speed", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "train", total: 100, start: 50, unit: "steps", mode: "lines", stream });
    vi.advanceTimersByTime(5000);
    progress.update(60);
    progress.stop();
    expect(written).toEqual(["train: 60/100 steps (60 %)  2.00 steps/s  20 s left\n"]);
  });

  it("shows the last state once if it stops half way, and ignores later calls", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "p", total: 100, mode: "lines", stream });
    vi.advanceTimersByTime(1000);
    progress.update(15);
    progress.update(17);
    progress.stop();
    progress.stop();
    progress.update(50);
    expect(written.map((line) => line.slice(0, 9))).toEqual(["p: 15/100", "p: 17/100"]);
  });

  it("passes other lines on", () => {
    const { written, stream } = recorder();
    const progress = startProgress({ label: "p", total: 0, mode: "lines", stream });
    progress.log("checkpoint written");
    progress.stop();
    expect(written).toEqual(["checkpoint written\n"]);
  });
});

describe("other modes", () => {
  it("silent writes nothing", () => {
    const { written, stream } = recorder(true);
    const progress = startProgress({ label: "p", total: 10, mode: "silent", stream });
    progress.update(10);
    progress.log("x");
    vi.advanceTimersByTime(60_000);
    progress.stop();
    expect(written).toEqual([]);
  });

  it("bar draws count, speed and time left, and comes back after a line of its own", () => {
    const { written, stream } = recorder(true);
    const progress = startProgress({ label: "train", total: 200, mode: "bar", stream });
    vi.advanceTimersByTime(1000);
    progress.update(50, { loss: 0.5 });
    vi.advanceTimersByTime(1000);
    expect(written.join("")).toContain("train [=======");
    expect(written.join("")).toContain("25 %  50/200 images  50.0 images/s  3 s left  loss 0.5");
    written.length = 0;
    progress.log("checkpoint written");
    expect(written.join("")).toMatch(/checkpoint written\n[^]*50\/200 images/);
    progress.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("auto is lines in pipes and in CI, a bar on a terminal", () => {
    const before = process.stdout.isTTY;
    vi.stubEnv("CI", "");
    try {
      process.stdout.isTTY = true;
      expect(chooseMode("auto", recorder(true).stream)).toBe("bar");
      expect(chooseMode("auto", recorder(false).stream)).toBe("lines");
      vi.stubEnv("CI", "true");
      expect(chooseMode("auto", recorder(true).stream)).toBe("lines");
      vi.stubEnv("CI", "");
      process.stdout.isTTY = false;
      expect(chooseMode("auto", recorder(true).stream)).toBe("lines");
    } finally {
      process.stdout.isTTY = before;
    }
  });

  it("never touches standard output, and goes to standard error by default", () => {
    const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      const progress = startProgress({ label: "p", total: 2, mode: "lines" });
      progress.update(1);
      progress.log("x");
      progress.stop();
      expect(out).not.toHaveBeenCalled();
      expect(err).toHaveBeenCalledTimes(2);
    } finally {
      out.mockRestore();
      err.mockRestore();
    }
  });

  it("refuses a total that is not a number", () => {
    expect(() => startProgress({ label: "p", total: NaN })).toThrow(
      "startProgress: total must be a number from 0, found NaN",
    );
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0 s"],
    [59.4, "59 s"],
    [60, "1 min 00 s"],
    [125, "2 min 05 s"],
    [3600, "1 h 00 min"],
    [4020, "1 h 07 min"],
    [NaN, "?"],
  ])("%d s is %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));
});
